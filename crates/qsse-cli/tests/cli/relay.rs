//! A way to a server that a test can interrupt.
#![expect(
    clippy::unwrap_used,
    reason = "where the relay fails, so does the test"
)]

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

/// Larger than any datagram.
const DATAGRAM: usize = 1 << 16;

/// Passes the datagrams of one client to a server, and the answers back, until the tests' process
/// ends.
pub(crate) struct Relay {
    /// Where the client finds the server, as HOST:PORT.
    pub(crate) address: String,
    silenced: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) fn start(server: &str) -> Self {
        let bind = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (inside, outside) = (Arc::new(bind()), Arc::new(bind()));
        let address = inside.local_addr().unwrap().to_string();
        let silenced = Arc::new(AtomicBool::new(false));
        let client = Arc::new(Mutex::new(None));

        let server = server.to_owned();
        let (from, to, known) = (inside.clone(), outside.clone(), client.clone());
        thread::spawn(move || {
            let mut datagram = vec![0; DATAGRAM];
            while let Ok((length, client)) = from.recv_from(&mut datagram) {
                *known.lock().unwrap() = Some(client);
                // What cannot be sent is lost, as on any way.
                let _ = to.send_to(&datagram[..length], &server);
            }
        });
        let drops = silenced.clone();
        thread::spawn(move || {
            let mut datagram = vec![0; DATAGRAM];
            while let Ok((length, _)) = outside.recv_from(&mut datagram) {
                let client = *client.lock().unwrap();
                if let (false, Some(client)) = (drops.load(SeqCst), client) {
                    let _ = inside.send_to(&datagram[..length], client);
                }
            }
        });
        Self { address, silenced }
    }

    /// Drops what the server sends from now on, or passes it again. What the client sends is always
    /// passed.
    pub(crate) fn silence_server(&self, silenced: bool) {
        self.silenced.store(silenced, SeqCst);
    }
}
