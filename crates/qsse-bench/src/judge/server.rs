//! Starts the server of any system.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::bench::Bench;
use super::cores::{SERVER_CORE, pinned};
use super::network::{self, Network};
use super::process::Process;
use crate::work::{Peer, Task, Work};
use crate::{SERVE, tls};

/// For a server to start, or to do what it is told.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that listens.
pub(super) struct Server {
    /// The server, and its publisher where that is another process.
    processes: Vec<Process>,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Its certificate, if it is not the one of all.
    pub(super) fingerprint: Option<String>,
}

impl Server {
    pub(super) fn start(bench: &Bench<'_>, work: &Work, network: Option<&Network>) -> Result<Self> {
        match work.peer {
            Peer::Nats => nats(bench, work, network),
            Peer::GoQsse => go(bench),
            _ => own(bench, work, network),
        }
        .with_context(|| format!("starting {}", work.peer.name()))
    }

    /// Lets it publish, now that this many subscribers are there.
    pub(super) fn publish(&mut self, work: &Work, subscribers: usize) -> Result<()> {
        let publisher = self.processes.last_mut().expect("there is one");
        if work.peer == Peer::GoQsse {
            let await_all = json!({"await": {"topic": "bench", "count": subscribers}});
            publisher.tell(&await_all.to_string())?;
            publisher.line(PATIENCE)?;
            let bytes = work.event_bytes;
            let flood = json!({"generate": {"topic": "bench", "count": u32::MAX, "bytes": bytes}});
            return publisher.tell(&flood.to_string());
        }
        match work.task {
            Task::Flood | Task::Steady { .. } => publisher.tell("publish"),
            Task::Welcome | Task::Take => Ok(()),
        }
    }

    /// Seconds of CPU so far, of all its processes.
    pub(super) fn cpu(&self) -> Result<f64> {
        self.processes.iter().map(Process::cpu).sum()
    }

    /// Bytes of memory, of the server alone.
    pub(super) fn memory(&self) -> Result<f64> {
        self.processes[0].memory()
    }
}

fn own(bench: &Bench<'_>, work: &Work, network: Option<&Network>) -> Result<Server> {
    let (process, address) = serving(bench, work, network)?;
    Ok(Server {
        processes: vec![process],
        address,
        fingerprint: None,
    })
}

impl Drop for Server {
    /// The publisher goes first: without its server it would complain.
    fn drop(&mut self) {
        while self.processes.pop().is_some() {}
    }
}

/// A process of this program, and what it says is its address.
fn serving(
    bench: &Bench<'_>,
    work: &Work,
    network: Option<&Network>,
) -> Result<(Process, SocketAddr)> {
    let orders = serde_json::to_string(work)?;
    let program = std::env::current_exe()?;
    let mut command = pinned(bench.args, SERVER_CORE, network, &program);
    let process = Process::start(command.args([SERVE, &orders]))?;
    let address = process.line(PATIENCE)?.parse()?;
    Ok((process, address))
}

fn nats(bench: &Bench<'_>, work: &Work, network: Option<&Network>) -> Result<Server> {
    let program = bench.args.nats_server.as_deref().context("no program")?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let (mut listens, mut publishers) = (address, address);
    if network.is_some() {
        // The other servers publish to themselves, where nothing is lost.
        listens.set_ip(Ipv4Addr::UNSPECIFIED.into());
        publishers.set_ip(network::SPARED.into());
    }
    let folder = bench.folder.path();
    let settings = folder.join("nats.conf");
    let path = |name| folder.join(name).display().to_string();
    let log = folder.join("nats.log");
    // Nobody is cut off for being slow within a run, and nobody is asked whether he is there.
    let text = format!(
        "listen: \"{listens}\"\nlog_file: {:?}\nmax_connections: 100000\n\
         ping_interval: \"1h\"\nwrite_deadline: \"60s\"\n\
         tls {{ cert_file: {:?}, key_file: {:?}, timeout: 30 }}\n",
        log,
        path(tls::CERTIFICATE),
        path(tls::KEY)
    );
    std::fs::write(&settings, text)?;
    std::fs::write(&log, "")?;
    let mut command = pinned(bench.args, SERVER_CORE, network, program);
    let command = command.arg("-c").arg(&settings).stderr(Stdio::null());
    let mut processes = vec![Process::start(command)?];
    wait_for(&log, "Server is ready")?;
    if matches!(work.task, Task::Flood | Task::Steady { .. }) {
        let work = Work {
            server: Some(publishers),
            ..work.clone()
        };
        processes.push(serving(bench, &work, network)?.0);
    }
    Ok(Server {
        processes,
        address,
        fingerprint: None,
    })
}

/// Waits until a log says so. Whether the server listens can be seen only in its own network.
fn wait_for(log: &Path, words: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(log)?.contains(words) {
        if Instant::now() > end {
            bail!("no \"{words}\" in its log");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn go(bench: &Bench<'_>) -> Result<Server> {
    let program = bench.args.go_peer.as_deref().context("no program")?;
    // The library tells nobody which port it was given.
    let address = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = pinned(bench.args, SERVER_CORE, None, program);
    let command = command.args(["server", "--address", &address.to_string()]);
    let command = command.args(["--topics", "bench"]).stderr(Stdio::null());
    let process = Process::start(command)?;
    let greeting: Value = serde_json::from_str(&process.line(PATIENCE)?)?;
    let fingerprint = greeting["fingerprint"].as_str().context("no fingerprint")?;
    Ok(Server {
        fingerprint: Some(fingerprint.to_owned()),
        processes: vec![process],
        address,
    })
}
