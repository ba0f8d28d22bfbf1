//! A way between a client and a server on loopback that can be cut as a network is: what is
//! under way waits, arrives late, or is lost with its connection.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::Error;

const CHUNK_BYTES: usize = 64 * 1024;

/// Takes connections on one port and carries them to another. Ends with the value; what is
/// connected by then ends with either side.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    way: Arc<Way>,
}

/// How a cut ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mending {
    /// What was sent meanwhile arrives now.
    Late,
    /// Every connection from before is broken, with what was under way.
    Lossy,
}

#[derive(Debug)]
struct Way {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_cut: bool,
    /// The way to the server is cut, and the way back is not.
    is_held: bool,
    has_ended: bool,
    /// Connections of an earlier one are broken.
    generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    There,
    Back,
}

impl Relay {
    /// Carries what comes on `port`, or on a free one when it is 0, to `to`.
    pub fn start(port: u16, to: u16) -> Result<Self, Error> {
        let refused = |error: std::io::Error| Error::new(format!("no relay on {port}: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(refused)?;
        let port = listener.local_addr().map_err(refused)?.port();
        let way = Arc::new(Way { state: Mutex::default(), changed: Condvar::new() });
        let own = Arc::clone(&way);
        thread::spawn(move || {
            for near in listener.incoming() {
                if own.lock().has_ended {
                    return;
                }
                let Ok(near) = near else { continue };
                let way = Arc::clone(&own);
                thread::spawn(move || way.connect(&near, to));
            }
        });
        Ok(Self { port, way })
    }

    /// From now on nothing arrives, and no connection ends.
    pub fn cut(&self) {
        self.way.lock().is_cut = true;
    }

    /// From now on what clients send waits, and what servers send arrives.
    pub fn hold(&self) {
        self.way.lock().is_held = true;
    }

    pub fn mend(&self, how: Mending) {
        let mut state = self.way.lock();
        (state.is_cut, state.is_held) = (false, false);
        if how == Mending::Lossy {
            state.generation += 1;
        }
        drop(state);
        self.way.changed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.way.lock().has_ended = true;
        self.mend(Mending::Lossy);
        // Wakes the one that waits for connections.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Way {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while that way is cut. Is a connection of that generation still whole?
    fn is_open(&self, generation: u64, direction: Direction) -> bool {
        let mut state = self.lock();
        while state.is_cut || (state.is_held && direction == Direction::There) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.generation == generation
    }

    fn connect(self: Arc<Self>, near: &TcpStream, to: u16) {
        let generation = self.lock().generation;
        let both = || -> std::io::Result<()> {
            if !self.is_open(generation, Direction::There) {
                return near.shutdown(Shutdown::Both);
            }
            let far = TcpStream::connect((Ipv4Addr::LOCALHOST, to))?;
            near.set_nodelay(true)?;
            far.set_nodelay(true)?;
            let (back_from, back_to) = (far.try_clone()?, near.try_clone()?);
            let own = Arc::clone(&self);
            thread::spawn(move || own.carry(&back_from, &back_to, (generation, Direction::Back)));
            self.carry(near, &far, (generation, Direction::There));
            Ok(())
        };
        // The other side learns of it by the end of its connection.
        let _ = both();
    }

    fn carry(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        (generation, direction): (u64, Direction),
    ) {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            if !self.is_open(generation, direction) || to.write_all(&chunk[..count]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pair() -> (Relay, TcpStream, TcpStream) {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Relay::start(0, server.local_addr().unwrap().port()).unwrap();
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).unwrap();
        let (accepted, _) = server.accept().unwrap();
        accepted.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (relay, client, accepted)
    }

    fn arrives(client: &mut TcpStream, server: &mut TcpStream, text: &str) {
        client.write_all(text.as_bytes()).unwrap();
        expect(server, text);
    }

    fn expect(server: &mut TcpStream, text: &str) {
        let mut found = vec![0; text.len()];
        server.read_exact(&mut found).unwrap();
        assert_eq!(found, text.as_bytes());
    }

    #[test]
    fn what_is_sent_over_a_cut_way_arrives_when_it_is_mended() {
        let (relay, mut client, mut server) = pair();
        arrives(&mut client, &mut server, "before");
        relay.cut();
        client.write_all(b"meanwhile").unwrap();
        server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(server.read(&mut [0; 1]).is_err(), "it came through");
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        relay.mend(Mending::Late);
        expect(&mut server, "meanwhile");
    }

    #[test]
    fn what_is_held_arrives_late_and_answers_arrive_meanwhile() {
        let (relay, mut client, mut server) = pair();
        arrives(&mut client, &mut server, "before");
        relay.hold();
        client.write_all(b"asked").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        arrives(&mut server, &mut client, "answered");
        server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(server.read(&mut [0; 1]).is_err(), "it came through");
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // What was sent arrives although its sender has given up.
        drop(client);
        relay.mend(Mending::Late);
        expect(&mut server, "asked");
    }

    #[test]
    fn a_lossy_mending_breaks_connections_and_loses_what_was_under_way() {
        let (relay, mut client, mut server) = pair();
        arrives(&mut client, &mut server, "before");
        relay.cut();
        client.write_all(b"meanwhile").unwrap();
        relay.mend(Mending::Lossy);
        let mut rest = Vec::new();
        let _ = server.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
}
