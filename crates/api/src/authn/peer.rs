//! The other end of a connection, as the transport knows it: its address and the
//! certificate that it has proved to hold.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use exchequer_access::AddressRange;
use exchequer_types::{ActorId, Timestamp};

/// Proxies in front of each other that are looked through.
const PROXIES_MAX: usize = 16;
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Who is at the other end. In the extensions of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// Of a client whose certificate an accepted authority vouches for.
    pub certificate: Option<Arc<PeerCertificate>>,
}

impl Peer {
    /// Where a call comes from: the nearest address that is none of `proxies`.
    pub(crate) fn nearest(&self, headers: &HeaderMap, proxies: &[AddressRange]) -> IpAddr {
        let is_proxy = |address: IpAddr| proxies.iter().any(|range| range.contains(address));
        let mut address = self.address.to_canonical();
        if !is_proxy(address) {
            return address;
        }
        // Each proxy adds whom it heard it from, at the end.
        let said = headers.get_all(FORWARDED_FOR).iter().rev();
        let said = said.filter_map(|value| value.to_str().ok());
        let hops = said.flat_map(|value| value.rsplit(',')).take(PROXIES_MAX);
        for hop in hops {
            // What cannot be read hides everything before it.
            let Ok(read) = hop.trim().parse::<IpAddr>() else { break };
            address = read.to_canonical();
            if !is_proxy(address) {
                break;
            }
        }
        address
    }
}

/// A client certificate that was verified when the connection began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// As RFC 4514 writes it, such as `CN=gateway,O=Acme`. May be empty.
    pub subject: String,
    pub expires_at: Timestamp,
}

impl PeerCertificate {
    /// Who acts with it: `cert:` and the subject, in which a byte that is no visible
    /// ASCII, and `%`, stand as `%` and two digits. None when there is no subject, or
    /// when it is longer than an actor's id may be.
    pub fn actor(&self) -> Option<ActorId> {
        use core::fmt::Write as _;
        if self.subject.is_empty() {
            return None;
        }
        let mut actor = String::from("cert:");
        for byte in self.subject.bytes() {
            if byte.is_ascii_graphic() && byte != b'%' {
                actor.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(actor, "%{byte:02X}");
            }
        }
        ActorId::parse(actor).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: EDG-06
    #[test]
    fn subjects_become_actors_that_cannot_be_mistaken() {
        let actor = |subject: &str| {
            let (subject, expires_at) = (subject.to_owned(), Timestamp::MAX);
            PeerCertificate { subject, expires_at }.actor().map(ActorId::into_string)
        };
        assert_eq!(actor("CN=gateway,O=Acme").unwrap(), "cert:CN=gateway,O=Acme");
        assert_eq!(actor("CN=a b%20é").unwrap(), "cert:CN=a%20b%2520%C3%A9");
        assert_eq!(actor(""), None);
        assert_eq!(actor(&"x".repeat(124)), None);
    }
}
