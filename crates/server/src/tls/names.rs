//! What certificates say of themselves.

use exchequer_api::authn::PeerCertificate;
use exchequer_types::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// What a client's certificate says of it. None when it cannot be read.
pub(super) fn peer(certificate: &CertificateDer<'_>) -> Option<PeerCertificate> {
    let read = Certificate::from_der(certificate).ok()?;
    let subject = read.tbs_certificate.subject.to_string();
    Some(PeerCertificate { subject, expires_at: until(&read) })
}

/// Until when the certificate holds.
pub(super) fn expires_at(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    Some(until(&Certificate::from_der(certificate).ok()?))
}

fn until(certificate: &Certificate) -> Timestamp {
    let at = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    Timestamp::saturating_from_micros(i64::try_from(at.as_micros()).unwrap_or(i64::MAX))
}
