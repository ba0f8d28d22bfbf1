//! Authorities of a test, and the keys and certificates that they make.

use exchequer_e2e::Res;
use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority that vouches for servers and for clients.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Res<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// A key, and the certificate of whoever answers at `host`.
    pub(crate) fn identity(&self, host: &str) -> Res<String> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![host.to_owned()])?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(format!("{}{certificate}{}", key.serialize_pem(), self.pem))
    }
}
