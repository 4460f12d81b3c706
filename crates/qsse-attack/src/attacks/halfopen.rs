//! [`HalfOpen`]: handshakes that prove their address and then fall silent.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use qsse_transport::rustls;
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig,
    TransportConfig,
};
use tokio::time::{Instant, sleep};

use crate::attack::{Attack, Tally};
use crate::clients::SERVER_NAME;
use crate::setup::{Scale, Setup};
use crate::target::{Target, hostile_address};

/// Begins handshakes, answers a Retry, and answers nothing else.
pub(crate) struct HalfOpen;

/// Handshakes begun in a second. A short run has to fill the server before the first time out.
fn rate(scale: Scale) -> f64 {
    scale.of(800.0, 300.0)
}

/// The pause between two looks at the socket.
const PAUSE: Duration = Duration::from_millis(1);

/// What a handshake costs the server at most, by a generous estimate.
const HANDSHAKE_BYTES: u64 = 64 << 10;

/// The handshakes that the server has in flight at most.
const HANDSHAKES: u64 = 1_024;

#[async_trait(?Send)]
impl Attack for HalfOpen {
    fn name(&self) -> &'static str {
        "halfopen"
    }

    fn about(&self) -> &'static str {
        "hundreds of handshakes a second that answer a Retry and then nothing"
    }

    fn unit(&self) -> &'static str {
        "handshakes"
    }

    fn setup(&self, _: Scale) -> Setup {
        Setup {
            bound: HANDSHAKES * HANDSHAKE_BYTES,
            shown_by: &[
                "handshakes_retried",
                "handshakes_timed_out",
                "handshakes_displaced",
                "handshakes_refused{",
            ],
            ..Setup::default()
        }
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let mut dialer = Dialer::new(target.address)?;
        let (begun, rate) = (Instant::now(), rate(target.scale));
        let mut dialled = 0;
        while Instant::now() < until {
            while f64::from(dialled) < begun.elapsed().as_secs_f64() * rate {
                dialer.begin()?;
                dialled += 1;
                tally.done(1);
            }
            dialer.answer();
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// A socket from which handshakes are begun.
struct Dialer {
    socket: UdpSocket,
    server: SocketAddr,
    endpoint: Endpoint,
    config: ClientConfig,
    /// Those that wait for a Retry.
    waiting: HashMap<ConnectionHandle, Connection>,
}

impl Dialer {
    fn new(server: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(hostile_address(9), 0))?;
        socket.set_nonblocking(true)?;
        let endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
        let mut config = ClientConfig::new(Arc::new(crypto()?));
        let mut transport = TransportConfig::default();
        transport.mtu_discovery_config(None);
        config.transport_config(Arc::new(transport));
        Ok(Self {
            socket,
            server,
            endpoint,
            config,
            waiting: HashMap::new(),
        })
    }

    /// Sends the first packet of a handshake.
    fn begin(&mut self) -> Result<()> {
        let (now, config) = (std::time::Instant::now(), self.config.clone());
        let begun = self.endpoint.connect(now, config, self.server, SERVER_NAME);
        let (handle, mut connection) = begun.context("a handshake cannot be begun")?;
        self.send(&mut connection);
        self.waiting.insert(handle, connection);
        Ok(())
    }

    /// Answers each Retry that has come. All else is dropped.
    fn answer(&mut self) {
        let mut datagram = [0; 2_048];
        while let Ok((length, from)) = self.socket.recv_from(&mut datagram) {
            let datagram = &datagram[..length];
            if !datagram.first().is_some_and(|first| is_retry(*first)) {
                continue;
            }
            let (now, mut response) = (std::time::Instant::now(), Vec::new());
            let event = self
                .endpoint
                .handle(now, from, None, None, datagram.into(), &mut response);
            if let Some(DatagramEvent::ConnectionEvent(handle, event)) = event
                && let Some(mut connection) = self.waiting.remove(&handle)
            {
                connection.handle_event(event);
                self.send(&mut connection);
            }
        }
    }

    fn send(&self, connection: &mut Connection) {
        let mut packet = Vec::new();
        let now = std::time::Instant::now();
        if let Some(transmit) = connection.poll_transmit(now, 1, &mut packet) {
            // A packet that the system does not take is like one that is lost.
            let _ = self.socket.send_to(&packet[..transmit.size], self.server);
        }
    }
}

/// Whether this is the first byte of a Retry (RFC 9000, 17.2.5).
fn is_retry(first: u8) -> bool {
    first & 0b1000_0000 != 0 && (first >> 4) & 0b11 == 0b11
}

/// Returns crypto that trusts nobody: no handshake comes so far that it matters.
fn crypto() -> Result<QuicClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![qsse_proto::ALPN.to_vec()];
    Ok(config.try_into()?)
}
