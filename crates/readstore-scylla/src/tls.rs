//! TLS to the nodes, by OpenSSL: the driver's other way would bring a second cryptography
//! library, and a cluster's program has OpenSSL from the client of Kafka. What was wrong with
//! a certificate is remembered here, because the driver only says that the handshake failed.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode};
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::{X509, X509Ref, X509StoreContextRef, X509VerifyResult};
use scylla::client::session::TlsContext;

use crate::{OpenError, Tls};

/// What OpenSSL calls a certificate for another name, or for another address.
const OTHER_NAME: i32 = 62;
const OTHER_ADDRESS: i32 = 64;
/// Names of a certificate that an error shows.
const NAMES_MAX: usize = 4;

/// What the driver connects with, and what it finds wrong.
pub(crate) struct Connector {
    pub(crate) context: TlsContext,
    pub(crate) doubts: Doubts,
}

/// The last certificate that was not taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubts(Arc<Mutex<Option<Doubt>>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Nobody who is trusted vouches for it, or not now.
    Untrusted(String),
    /// It is for somebody else.
    OtherName(String),
}

impl Doubts {
    pub(crate) fn last(&self) -> Option<Doubt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, doubt: Doubt) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(doubt);
    }
}

impl Connector {
    pub(crate) fn new(tls: &Tls) -> Result<Self, OpenError> {
        let doubts = Doubts::default();
        let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(unusable)?;
        builder.set_cert_store(authorities(tls.ca_pem.as_deref())?);
        if let Some((chain, key)) = &tls.client_pem {
            present(&mut builder, chain, key)?;
        }
        // An empty one would be compared with nothing.
        let name = tls.certificate_name.as_deref().filter(|it| !it.is_empty());
        if let Some(name) = name {
            let named = builder.verify_param_mut().set_host(name);
            named.map_err(unusable)?;
        }
        let (is_named, noted) = (name.is_some(), doubts.clone());
        builder.set_verify_callback(SslVerifyMode::PEER, move |is_well, found| {
            is_well || is_taken(found, is_named, &noted)
        });
        Ok(Self { context: builder.into(), doubts })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("doubts", &self.doubts).finish_non_exhaustive()
    }
}

/// The driver has each certificate compared with the node's address. Where a name is given,
/// that name is compared as well, and counts alone.
fn is_taken(found: &mut X509StoreContextRef, is_named: bool, noted: &Doubts) -> bool {
    let error = found.error();
    let is_other = matches!(error.as_raw(), OTHER_NAME | OTHER_ADDRESS);
    if is_named && error.as_raw() == OTHER_ADDRESS {
        found.set_error(X509VerifyResult::OK);
        return true;
    }
    noted.note(if is_other {
        let names = found.current_cert().map(names).unwrap_or_default();
        Doubt::OtherName(format!("{}: it is for {names}", error.error_string()))
    } else {
        Doubt::Untrusted(error.error_string().to_owned())
    });
    false
}

fn names(certificate: &X509Ref) -> String {
    let names: Vec<String> = certificate
        .subject_alt_names()
        .into_iter()
        .flatten()
        .filter_map(|name| {
            let address = |it: &[u8]| {
                let v4 = <[u8; 4]>::try_from(it).map(IpAddr::from);
                v4.or_else(|_| <[u8; 16]>::try_from(it).map(IpAddr::from)).ok()
            };
            let address = |it: &[u8]| address(it).map(|it| it.to_string());
            name.dnsname().map(str::to_owned).or_else(|| name.ipaddress().and_then(address))
        })
        .take(NAMES_MAX)
        .collect();
    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
}

/// Those that are named, or the system's.
fn authorities(pem: Option<&str>) -> Result<X509Store, OpenError> {
    const KEY: &str = "scylla.ca_file";
    let certificates = if let Some(pem) = pem {
        let read = X509::stack_from_pem(pem.as_bytes()).map_err(|error| wrong(KEY, &error))?;
        if read.is_empty() {
            return Err(wrong(KEY, &"there is no certificate in it"));
        }
        read
    } else {
        let found = rustls_native_certs::load_native_certs().certs;
        found.iter().filter_map(|it| X509::from_der(it).ok()).collect()
    };
    let mut store = X509StoreBuilder::new().map_err(unusable)?;
    for certificate in certificates {
        store.add_cert(certificate).map_err(|error| wrong(KEY, &error))?;
    }
    Ok(store.build())
}

/// Shows this process's certificate where the nodes ask for one.
fn present(builder: &mut SslConnectorBuilder, chain: &str, key: &str) -> Result<(), OpenError> {
    const CERTIFICATE: &str = "scylla.cert_file";
    let chain = X509::stack_from_pem(chain.as_bytes());
    let mut chain = chain.map_err(|error| wrong(CERTIFICATE, &error))?.into_iter();
    let own = chain.next().ok_or_else(|| wrong(CERTIFICATE, &"there is no certificate in it"))?;
    builder.set_certificate(&own).map_err(|error| wrong(CERTIFICATE, &error))?;
    for certificate in chain {
        builder.add_extra_chain_cert(certificate).map_err(|error| wrong(CERTIFICATE, &error))?;
    }
    // Without the callback, a key under a password is asked for at the terminal.
    let key = PKey::private_key_from_pem_callback(key.as_bytes(), |_| Ok(0));
    key.and_then(|key| builder.set_private_key(&key))
        .and_then(|()| builder.check_private_key())
        .map_err(|error| wrong("scylla.key_file", &error))
}

fn wrong(key: &str, error: &dyn fmt::Display) -> OpenError {
    let message = format!("{key}: {error}: name a PEM file, of a key one without a password");
    OpenError::Settings { message: one_line(&message) }
}

fn unusable(error: ErrorStack) -> OpenError {
    OpenError::Settings { message: one_line(&format!("TLS cannot be set up: {error}")) }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(tls: &Tls) -> String {
        let error = Connector::new(tls).unwrap_err();
        assert!(matches!(error, OpenError::Settings { .. }), "{error:?}");
        error.to_string()
    }

    // REQ: KER-13
    #[test]
    fn files_that_hold_something_else_are_named() {
        assert!(Connector::new(&Tls::default()).is_ok(), "the system's authorities");
        let none = Tls { ca_pem: Some("no certificate".to_owned()), ..Tls::default() };
        assert!(said(&none).contains("scylla.ca_file: there is no certificate in it"));
        let cut_off = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
        let broken = said(&Tls { ca_pem: Some(cut_off), ..Tls::default() });
        assert!(broken.contains("scylla.ca_file") && !broken.contains('\n'), "{broken}");
        let client_pem = Some(("no".to_owned(), "secret-word".to_owned()));
        let own = said(&Tls { client_pem, ..Tls::default() });
        assert!(own.contains("scylla.cert_file") && !own.contains("secret-word"), "{own}");
    }
}
