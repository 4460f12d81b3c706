//! Servers, clients and waiting, for the tests of this folder.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use std::net::SocketAddr;
use std::time::Duration;

use qsse_transport::tls::{ClientTls, ServerTls};
use qsse_transport::{ClientEndpoint, Connection, ServerEndpoint, TransportConfig};

/// Longer than anything here takes unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const NO_NAMES: [&str; 0] = [];

/// Any free port of the loopback.
pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A server's configuration and that of a client who pins its certificate.
pub fn tls() -> (ServerTls, ClientTls) {
    let server = ServerTls::self_signed(NO_NAMES).unwrap();
    let client = ClientTls::pinned(server.fingerprint());
    (server, client)
}

/// Waits for `future`; fails the test when it hangs.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited in vain for: {what}"),
    }
}

/// Polls until `condition` holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Two ends of one connection, and what keeps them going.
pub struct Pair {
    pub server: ServerEndpoint,
    pub client: ClientEndpoint,
    /// The server's end.
    pub far: Connection,
    /// The client's end.
    pub near: Connection,
}

pub async fn pair() -> Pair {
    pair_with(&TransportConfig::server(), &TransportConfig::client()).await
}

pub async fn pair_with(server_config: &TransportConfig, client_config: &TransportConfig) -> Pair {
    let (server_tls, client_tls) = tls();
    let server = ServerEndpoint::bind(loopback(), &server_tls, server_config).unwrap();
    let client = ClientEndpoint::bind_with(loopback(), client_config).unwrap();
    let address = server.local_addr();
    let (far, near) = soon("both ends", async {
        tokio::join!(
            async { server.accept().await.unwrap().complete().await.unwrap() },
            async {
                client
                    .connect(address, "localhost", &client_tls, client_config)
                    .await
                    .unwrap()
            }
        )
    })
    .await;
    Pair {
        server,
        client,
        far,
        near,
    }
}

/// Accepts every client and keeps its connection until it closes.
pub fn serve(server: &ServerEndpoint) {
    let server = server.clone();
    tokio::spawn(async move {
        while let Some(handshake) = server.accept().await {
            tokio::spawn(async move {
                if let Ok(connection) = handshake.complete().await {
                    connection.closed().await;
                }
            });
        }
    });
}

/// Threads that each run a runtime, as a server's shards need them.
pub struct Threads {
    pub handles: Vec<tokio::runtime::Handle>,
    ends: Vec<(
        tokio::sync::oneshot::Sender<()>,
        std::thread::JoinHandle<()>,
    )>,
}

impl Threads {
    pub fn start(count: usize) -> Self {
        let mut threads = Self {
            handles: Vec::new(),
            ends: Vec::new(),
        };
        for _ in 0..count {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            threads.handles.push(runtime.handle().clone());
            let (end, ended) = tokio::sync::oneshot::channel();
            let thread = std::thread::spawn(move || {
                let _ = runtime.block_on(ended);
            });
            threads.ends.push((end, thread));
        }
        threads
    }

    /// Ends one of them, with all that runs on it; returns when it is gone.
    pub fn end(&mut self, index: usize) {
        let (end, thread) = self.ends.remove(index);
        drop(end);
        thread.join().unwrap();
    }
}
