//! That the node starts, comes back on its data, and that nothing of it is left.

use std::net::TcpStream;

use exchequer_services::{Cassandra, Users};

#[test]
fn a_node_listens_comes_back_on_its_port_and_goes() {
    let mut node = Cassandra::start(Users::Anybody).unwrap();
    let address = node.address();
    node.kill().unwrap();
    assert!(TcpStream::connect(&address).is_err());
    assert!(node.kill().is_err(), "it does not run");
    node.start_again().unwrap();
    assert!(TcpStream::connect(&address).is_ok());
    drop(node);
    assert!(TcpStream::connect(&address).is_err(), "{address} still listens");
}
