//! That servers start, and that nothing of them is left.

use std::net::TcpStream;

use exchequer_services::Kafka;

#[test]
fn one_broker_listens_until_the_value_goes() {
    let kafka = Kafka::start(1).unwrap();
    let address = kafka.bootstrap();
    assert!(TcpStream::connect(&address).is_ok(), "{address}");
    drop(kafka);
    assert!(TcpStream::connect(&address).is_err(), "{address} still listens");
}

#[test]
fn a_killed_node_comes_back_on_its_port() {
    let mut kafka = Kafka::start(1).unwrap();
    let address = kafka.bootstrap();
    kafka.kill_broker(1).unwrap();
    assert!(TcpStream::connect(&address).is_err());
    assert!(kafka.kill_broker(1).is_err(), "it does not run");
    kafka.start_broker(1).unwrap();
    assert!(TcpStream::connect(&address).is_ok());
}
