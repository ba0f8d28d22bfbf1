//! Ports of loopback that nobody listens on.

use std::net::{Ipv4Addr, TcpListener};

use crate::Error;

/// `count` different free ports. All are held until all are known, so that none comes twice.
pub fn free_ports(count: usize) -> Result<Vec<u16>, Error> {
    let refused = |error: std::io::Error| Error::new(format!("no free port on loopback: {error}"));
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(refused))
        .collect::<Result<_, _>>()?;
    held.iter()
        .map(|listener| listener.local_addr().map(|address| address.port()).map_err(refused))
        .collect()
}
