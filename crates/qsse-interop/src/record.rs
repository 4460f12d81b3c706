//! Records what the Go library's client and server say to each other, byte by byte.
//!
//! The client talks to a plain endpoint of ours that keeps what it is sent; then a plain client
//! sends the same to the Go server and keeps what that answers. Tests replay both against our
//! server and our client.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use qsse_testing::fixtures;
use qsse_testing::transcript::Transcript;
use qsse_transport::tls::ClientTls;
use qsse_transport::{
    ClientEndpoint, Connection, ConnectionError, RecvStream, ServerEndpoint, TransportConfig,
};

use crate::go::{GoClient, GoServer, Log, Peer};

/// The dialect's name in the handshake.
const ALPN: [&str; 1] = ["PROTOCOL_QUIC"];

/// Guards against waiting for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// A conversation to be had.
struct Scene {
    name: &'static str,
    about: &'static str,
    /// What the client asks for, and with what token.
    asks: &'static str,
    token: &'static str,
    server: Transcript,
    /// Topics of those asked for that the server lets it have.
    has: &'static [&'static str],
    /// How many lines the server answers.
    lines: usize,
}

pub(crate) async fn run(peer: &Peer, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for scene in scenes() {
        let Scene { name, about, .. } = scene;
        let transcript = tokio::time::timeout(PATIENCE, scene.play(peer))
            .await
            .with_context(|| format!("{name} is not over after {PATIENCE:?}"))??;
        let path = folder.join(name).with_extension("txt");
        let text = format!(
            "# {about}\n# The Go library's own client and server, recorded with `cargo xtask interop --record`.\n{transcript}"
        );
        std::fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}

fn scenes() -> Vec<Scene> {
    let server = |topics: &str| Transcript {
        topics: topics.split(',').map(str::to_owned).collect(),
        ..Transcript::default()
    };
    let guarded = || Transcript {
        token: Some("right".to_owned()),
        ..server("people")
    };
    let publish = |topic: &str, data: &[u8]| (topic.to_owned(), data.to_vec());
    let every: Vec<u8> = (0..=255).collect();
    vec![
        Scene {
            name: "events",
            about: "Data, none, all bytes there are, and all lengths of base 64's padding.",
            asks: "people",
            token: "",
            server: Transcript {
                published: vec![
                    publish("people", b"Ada"),
                    publish("people", b""),
                    publish("people", &every),
                    publish("people", b"Ad"),
                    publish("people", b"A"),
                ],
                ..server("people,other")
            },
            has: &["people"],
            lines: 5,
        },
        Scene {
            name: "topics",
            about: "Several topics, one of which JSON as Go writes it does not leave as it is.",
            asks: "people,ride.1,r&d",
            token: "",
            server: Transcript {
                published: vec![
                    publish("people", b"Ada"),
                    publish("ride.1", b"start"),
                    publish("r&d", b"<new>"),
                ],
                ..server("people,ride.1,r&d")
            },
            has: &["people", "ride.1", "r&d"],
            lines: 3,
        },
        Scene {
            name: "token",
            about: "A token that is accepted.",
            asks: "people",
            token: "right",
            server: Transcript {
                published: vec![publish("people", b"let in")],
                ..guarded()
            },
            has: &["people"],
            lines: 1,
        },
        Scene {
            name: "token_refused",
            about: "A token that is not.",
            asks: "people",
            token: "wrong",
            server: guarded(),
            has: &[],
            lines: 0,
        },
        Scene {
            name: "token_missing",
            about: "No token where one is needed.",
            asks: "people",
            token: "",
            server: guarded(),
            has: &[],
            lines: 0,
        },
        Scene {
            name: "topics_refused",
            about: "A topic that is not there, one that is not allowed, and one that is had.",
            asks: "nowhere,secret,people",
            token: "",
            server: Transcript {
                denied: vec!["secret".to_owned()],
                published: vec![publish("people", b"allowed")],
                ..server("people,secret")
            },
            has: &["people"],
            lines: 3,
        },
        Scene {
            name: "all_refused",
            about: "Nothing that is asked for is there.",
            asks: "nowhere,neither",
            token: "",
            server: server("people"),
            has: &[],
            lines: 2,
        },
        Scene {
            name: "no_topics",
            about: "A client that asks for nothing, and gets that.",
            asks: "",
            token: "",
            server: server("people"),
            has: &[],
            lines: 0,
        },
    ]
}

impl Scene {
    async fn play(self, peer: &Peer) -> Result<Transcript> {
        let log = Log::default();
        let offer = self.offer(peer, &log).await?;
        let (answer, close) = self.answer(peer, &log, &offer).await?;
        Ok(Transcript {
            offer,
            answer,
            close,
            ..self.server
        })
    }

    /// What the Go client sends.
    async fn offer(&self, peer: &Peer, log: &Log) -> Result<Vec<u8>> {
        let tls = fixtures::server_tls().with_alpn(ALPN);
        let config = TransportConfig::server();
        let endpoint = ServerEndpoint::bind("127.0.0.1:0".parse()?, &tls, &config)?;
        let arguments = ["--topics", self.asks, "--token", self.token];
        let _client = GoClient::start(peer, log, endpoint.local_addr(), &arguments)?;
        let handshake = endpoint.accept().await.context("the endpoint is open")?;
        let connection = handshake.complete().await?;
        let mut stream = connection.accept_uni().await?;
        read(&mut stream, usize::MAX).await
    }

    /// What the Go server does with that.
    async fn answer(
        &self,
        peer: &Peer,
        log: &Log,
        offer: &[u8],
    ) -> Result<(Vec<u8>, Option<(u64, String)>)> {
        let mut server = GoServer::start(peer, log, &arguments(&self.server)).await?;
        let endpoint = ClientEndpoint::bind("127.0.0.1:0".parse()?)?;
        let trust = ClientTls::pinned([server.fingerprint.parse()?]).with_alpn(ALPN);
        let config = TransportConfig::client();
        let connection = endpoint
            .connect(server.address, "localhost", &trust, &config)
            .await?;
        let mut stream = connection.open_uni().await?;
        let mut chunks = [Bytes::copy_from_slice(offer)];
        stream.write_all(&mut chunks).await?;
        stream.finish();
        for topic in self.has {
            server.subscribers(topic, 1).await?;
        }
        if self.lines == 0 {
            return Ok((
                Vec::new(),
                ended(&connection, self.server.token.is_some()).await?,
            ));
        }
        let mut stream = None;
        let mut answer = Vec::new();
        // One at a time: the library keeps no order between topics.
        let first = self.lines - self.server.published.len();
        for lines in first..=self.lines {
            if lines > first {
                let (topic, data) = &self.server.published[lines - first - 1];
                server.publish(topic, data).await?;
            }
            if lines > 0 {
                if stream.is_none() {
                    stream = Some(connection.accept_uni().await?);
                }
                let stream = stream.as_mut().expect("it is there now");
                let have = answer.iter().filter(|byte| **byte == b'\n').count();
                answer.extend(read(stream, lines - have).await?);
            }
        }
        Ok((answer, None))
    }
}

/// The peer's arguments for a server that is set up so.
fn arguments(server: &Transcript) -> Vec<&str> {
    let mut arguments = Vec::new();
    for topic in &server.denied {
        arguments.extend(["--deny", topic]);
    }
    if let Some(token) = &server.token {
        arguments.extend(["--token", token]);
    }
    // Lives as long as the process: a handful of short texts.
    let topics: &'static str = server.topics.join(",").leak();
    arguments.extend(["--topics", topics]);
    arguments
}

/// How the server ended the connection; if it was not to, it has not after a while.
async fn ended(connection: &Connection, expected: bool) -> Result<Option<(u64, String)>> {
    if !expected {
        let quiet = tokio::time::timeout(Duration::from_secs(1), connection.closed()).await;
        ensure!(quiet.is_err(), "the connection has ended");
        return Ok(None);
    }
    match connection.closed().await {
        ConnectionError::Closed { code, reason } => Ok(Some((code.get(), reason))),
        other => bail!("it ended otherwise: {other}"),
    }
}

/// Reads that many lines, or to the end of the stream.
async fn read(stream: &mut RecvStream, lines: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.iter().filter(|byte| **byte == b'\n').count() < lines {
        match stream.read_chunk().await? {
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(bytes)
}
