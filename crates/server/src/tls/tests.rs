//! Certificates of an authority made for the test, real sockets, and files that
//! change while connections come in.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use exchequer_api::authn::Peer;
use exchequer_runtime::{OnEnd, Runtime as _, TaskKind, TokioRuntime};
use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::service::Routes;
use tonic::transport::Server;

use super::live::Looked;
use super::*;

const SERVING: TaskKind = TaskKind { name: "test", on_end: OnEnd::Fine };

/// An authority that signs what the test asks for.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
struct Signed {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for `localhost` whose subject is `names`.
    fn sign(&self, names: &[(DnType, &str)]) -> Signed {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }

    fn server(&self) -> Signed {
        self.sign(&[(DnType::CommonName, "server")])
    }
}

/// A folder with the files of a server.
struct Folder {
    dir: tempfile::TempDir,
    files: Files,
}

impl Folder {
    fn new(signed: &Signed, clients: Option<&Authority>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let files = Files {
            certificates: path("server.pem"),
            key: path("server.key"),
            client_authorities: clients.map(|_| path("clients.pem")),
            require_client: false,
        };
        if let (Some(path), Some(authority)) = (&files.client_authorities, clients) {
            std::fs::write(path, &authority.pem).unwrap();
        }
        let folder = Self { dir, files };
        folder.put(signed);
        folder
    }

    fn put(&self, signed: &Signed) {
        std::fs::write(&self.files.certificates, &signed.certificate).unwrap();
        std::fs::write(&self.files.key, &signed.key).unwrap();
    }
}

/// Serves `live`, and says of each request whose it is.
async fn serve(live: &Arc<Live>, runtime: &TokioRuntime) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let who = |Extension(peer): Extension<Peer>| async move {
        let subject = peer.certificate.as_ref().map(|it| it.subject.clone());
        format!("{} {}", peer.address, subject.unwrap_or_else(|| "nobody".to_owned()))
    };
    let routes = Routes::from(Router::new().route("/who", get(who)));
    let incoming = incoming(listener, Some(Arc::clone(live)));
    let serving = Server::builder().accept_http1(true).add_routes(routes);
    let serving = serving.serve_with_incoming(incoming);
    runtime.spawn(
        SERVING,
        Box::pin(async move {
            serving.await.unwrap();
            Ok(())
        }),
    );
    address
}

/// A client that trusts `authority` and speaks `protocols`.
fn client(authority: &Authority, own: Option<&Signed>, protocols: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = CertificateDer::pem_slice_iter(own.certificate.as_bytes());
            let chain = chain.map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn connect(client: &TlsConnector, to: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to).await?;
    client.connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// One request on an open connection: the body of its answer.
async fn ask(stream: &mut TlsStream<TcpStream>) -> io::Result<String> {
    stream.write_all(b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let mut read = Vec::new();
    loop {
        let mut some = [0; 1_024];
        let count = stream.read(&mut some).await?;
        read.extend_from_slice(&some[..count]);
        let text = String::from_utf8_lossy(&read);
        let ended = text.split_once("\r\n\r\n").filter(|(head, body)| {
            let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
            length.is_some_and(|length| length.parse() == Ok(body.len()))
        });
        if let Some((_, body)) = ended {
            return Ok(body.to_owned());
        }
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text.into_owned()));
        }
    }
}

async fn ask_once(client: &TlsConnector, to: SocketAddr) -> io::Result<String> {
    ask(&mut connect(client, to).await?).await
}

/// The certificate that the server shows now.
async fn shown(client: &TlsConnector, to: SocketAddr) -> Vec<u8> {
    let stream = connect(client, to).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(signed: &Signed) -> Vec<u8> {
    CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap().to_vec()
}

// REQ: EDG-06
#[tokio::test]
async fn both_protocols_are_spoken_and_strangers_are_nobody() {
    let authority = Authority::new("authority");
    let folder = Folder::new(&authority.server(), None);
    let runtime = TokioRuntime::default();
    let live = Live::open(folder.files.clone()).unwrap();
    let address = serve(&live, &runtime).await;
    for (offered, agreed) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], Some(b"h2".as_slice())),
        (&[b"http/1.1".as_slice()][..], Some(b"http/1.1".as_slice())),
        (&[][..], None),
    ] {
        let stream = connect(&client(&authority, None, offered), address).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
    }
    let said = ask_once(&client(&authority, None, &[]), address).await.unwrap();
    assert_eq!(said, "127.0.0.1 nobody");
    // An authority that the client does not know.
    let stranger = Authority::new("stranger");
    connect(&client(&stranger, None, &[]), address).await.unwrap_err();
    // No TLS at all: the connection ends, and others go on.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
    ask_once(&client(&authority, None, &[]), address).await.unwrap();
}

// REQ: EDG-06
#[tokio::test]
async fn a_client_certificate_tells_who_it_is() {
    let (authority, people) = (Authority::new("servers"), Authority::new("clients"));
    let folder = Folder::new(&authority.server(), Some(&people));
    let runtime = TokioRuntime::default();
    let live = Live::open(folder.files.clone()).unwrap();
    let address = serve(&live, &runtime).await;
    let names = [(DnType::OrganizationName, "Acme Inc"), (DnType::CommonName, "gateway")];
    let gateway = people.sign(&names);
    let known = client(&authority, Some(&gateway), &[]);
    let said = ask_once(&known, address).await.unwrap();
    assert!(said.contains("CN=gateway") && said.contains("O=Acme Inc"), "{said}");
    // One who comes again on a resumed session is still the same.
    assert_eq!(ask_once(&known, address).await.unwrap(), said);
    let nobody = ask_once(&client(&authority, None, &[]), address).await.unwrap();
    assert_eq!(nobody, "127.0.0.1 nobody");
    // Signed by somebody else: not let in as nobody, but refused.
    let forged = Authority::new("clients").sign(&[(DnType::CommonName, "gateway")]);
    ask_once(&client(&authority, Some(&forged), &[]), address).await.unwrap_err();
    // Where it is demanded, nobody comes in without.
    let files = Files { require_client: true, ..folder.files.clone() };
    let live = Live::open(files).unwrap();
    let address = serve(&live, &runtime).await;
    ask_once(&client(&authority, None, &[]), address).await.unwrap_err();
    ask_once(&known, address).await.unwrap();
}

// REQ: EDG-06
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_change_under_load_without_a_failed_call() {
    const TURNS: usize = 8;
    let authority = Authority::new("authority");
    let folder = Folder::new(&authority.server(), None);
    let runtime = TokioRuntime::default();
    let live = Live::open(folder.files.clone()).unwrap();
    let address = serve(&live, &runtime).await;
    let client = client(&authority, None, &[]);
    let mut held = connect(&client, address).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let [done, failed] = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
    for _ in 0..4 {
        let (client, stop) = (client.clone(), Arc::clone(&stop));
        let (done, failed) = (Arc::clone(&done), Arc::clone(&failed));
        let calling = async move {
            while !stop.load(Ordering::SeqCst) {
                let asked = ask_once(&client, address).await;
                let count = if asked.is_ok() { &done } else { &failed };
                count.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        };
        runtime.spawn(SERVING, Box::pin(calling));
    }
    for _ in 0..TURNS {
        let next = authority.server();
        folder.put(&next);
        assert_eq!(live.look(), Looked::Renewed);
        assert_eq!(shown(&client, address).await, der(&next));
        assert_eq!(live.look(), Looked::Same);
        let before = done.load(Ordering::SeqCst);
        while done.load(Ordering::SeqCst) < before + 8 {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    assert!(done.load(Ordering::SeqCst) >= 8 * TURNS as u32);
    // The connection that was open all the time goes on.
    assert_eq!(ask(&mut held).await.unwrap(), "127.0.0.1 nobody");
}

// REQ: EDG-06
#[tokio::test]
async fn broken_files_change_nothing_until_they_are_whole() {
    let authority = Authority::new("authority");
    let first = authority.server();
    let folder = Folder::new(&first, None);
    let runtime = TokioRuntime::default();
    let live = Live::open(folder.files.clone()).unwrap();
    let address = serve(&live, &runtime).await;
    let client = client(&authority, None, &[]);
    let next = authority.server();
    let put = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
    let (certificate, key) = (&folder.files.certificates, &folder.files.key);
    let cut = &next.certificate[..next.certificate.len() / 2];
    for (path, text) in [
        (certificate, ""),
        (certificate, "not PEM\n"),
        (certificate, cut),
        // Whole, but the key is still the old one's.
        (certificate, next.certificate.as_str()),
        (key, ""),
        (key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
    ] {
        put(path, text);
        assert_eq!(live.look(), Looked::Refused, "{text}");
        assert_eq!(shown(&client, address).await, der(&first));
    }
    std::fs::remove_file(key).unwrap();
    assert_eq!(live.look(), Looked::Refused);
    assert_eq!(shown(&client, address).await, der(&first));
    folder.put(&next);
    assert_eq!(live.look(), Looked::Renewed);
    assert_eq!(shown(&client, address).await, der(&next));
    drop(folder.dir);
    assert_eq!(live.look(), Looked::Refused);
    ask_once(&client, address).await.unwrap();
}

// REQ: EDG-06
#[test]
fn a_start_with_broken_files_says_which() {
    let authority = Authority::new("authority");
    let (good, other) = (authority.server(), authority.server());
    let refused = |change: &dyn Fn(&Folder)| {
        let folder = Folder::new(&good, Some(&authority));
        change(&folder);
        folder.files.check().unwrap_err().to_string()
    };
    let put = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
    let said = refused(&|it| std::fs::remove_file(&it.files.key).unwrap());
    assert!(said.contains("cannot read") && said.contains("server.key"), "{said}");
    let said = refused(&|it| put(&it.files.certificates, &good.key));
    assert!(said.contains("server.pem holds no certificate"), "{said}");
    let said = refused(&|it| put(&it.files.key, &good.certificate));
    assert!(said.contains("server.key holds no private key"), "{said}");
    let said = refused(&|it| put(&it.files.key, &other.key));
    assert!(said.contains("do not belong together"), "{said}");
    let said = refused(&|it| put(&it.files.client_authorities.clone().unwrap(), ""));
    assert!(said.contains("clients.pem holds no certificate"), "{said}");
    let said = refused(&|it| put(&it.files.certificates, &"x".repeat(2 * 1024 * 1024)));
    assert!(said.contains("larger than"), "{said}");
    let nowhere =
        Files { certificates: PathBuf::from("nowhere.pem"), ..Folder::new(&good, None).files };
    assert!(nowhere.check().unwrap_err().to_string().contains("nowhere.pem"));
}

// REQ: EDG-06
#[tokio::test]
async fn a_client_that_never_shakes_hands_holds_up_nobody() {
    let authority = Authority::new("authority");
    let folder = Folder::new(&authority.server(), None);
    let runtime = TokioRuntime::default();
    let live = Live::open(folder.files.clone()).unwrap();
    let address = serve(&live, &runtime).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    ask_once(&client(&authority, None, &[]), address).await.unwrap();
    drop(silent);
}
