//! One run: a server, its clients, a window.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::bench::Bench;
use super::cores::{CLIENT_CORE, pinned};
use super::network::Network;
use super::process::Process;
use super::server::Server;
use crate::LOAD;
use crate::payload::USUAL_BYTES;
use crate::work::{Counted, Latency, Load, Peer, Role, Task, Work};

/// For thousands of clients to connect.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is run, with whatever system.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) task: Task,
    pub(super) role: Role,
    pub(super) clients: usize,
    /// Other clients that come and go meanwhile, so many at a time.
    pub(super) newcomers: usize,
    pub(super) distinct: bool,
    pub(super) resumed: bool,
    pub(super) event_bytes: usize,
    /// Packets lost each way, in percent, once all clients are there.
    pub(super) loss_percent: f64,
}

impl Order {
    /// Clients of one kind, with events of the usual size, on a network that loses nothing.
    pub(super) fn new(task: Task, role: Role, clients: usize) -> Self {
        Self {
            task,
            role,
            clients,
            newcomers: 0,
            distinct: false,
            resumed: false,
            event_bytes: USUAL_BYTES,
            loss_percent: 0.0,
        }
    }
}

/// What one run has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// What was counted, a second.
    pub(super) per_s: f64,
    /// Cores that the server kept busy.
    pub(super) server_cores: f64,
    /// Cores that the clients kept busy.
    pub(super) client_cores: f64,
    /// Microseconds of the server's CPU for each thing counted.
    pub(super) server_us_each: f64,
    /// The smallest count of one client, as a share of the mean.
    pub(super) slowest_share: f64,
    /// How long it took, where that was looked at.
    pub(super) latency: Latency,
    /// Bytes of memory of the server for each client, where that was looked at.
    pub(super) bytes_each: f64,
}

/// Runs it with one system.
pub(super) fn measure(bench: &Bench<'_>, peer: Peer, order: &Order) -> Result<Sample> {
    let work = work(bench, peer, order);
    // Dropped last, when nobody is in it any more.
    let mut network = network(bench, order)?;
    let mut server = Server::start(bench, &work, network.as_ref())?;
    let memory_before = server.memory()?;
    let mut clients = clients(bench, &work, order, &server, network.as_ref())?;
    clients.expect("ready", PATIENCE).context("the clients")?;
    if order.role == Role::Hold {
        // Buffers of handshakes are let go.
        std::thread::sleep(bench.args.window());
        let bytes_each = (server.memory()? - memory_before) / order.clients as f64;
        return Ok(Sample {
            bytes_each,
            ..Sample::none()
        });
    }
    network.as_mut().map_or(Ok(()), Network::lose)?;
    server.publish(&work, order.clients).context("the server")?;
    let newcomers = newcomers(bench, &work, order, &server, network.as_ref())?;
    clients.tell("count")?;
    let begin = clients.expect("begin", bench.args.warm_up() + PATIENCE);
    begin.context("the clients")?;
    let before = (server.cpu()?, clients.cpu()?);
    let end = clients.line(bench.args.window() + PATIENCE);
    let after = (server.cpu()?, clients.cpu()?);
    let counted: Counted = serde_json::from_str(&end.context("the clients")?)?;
    if let Some(newcomers) = newcomers {
        let begin = newcomers.expect("begin", PATIENCE);
        begin.context("the newcomers")?;
        let end = newcomers.line(PATIENCE).context("the newcomers")?;
        let came: Counted = serde_json::from_str(&end)?;
        ensure!(came.count > 0, "nobody else came");
    }
    ensure!(counted.count > 0, "nothing came in the window");
    Ok(Sample::of(&counted, before, after))
}

impl Sample {
    fn none() -> Self {
        Self {
            per_s: 0.0,
            server_cores: 0.0,
            client_cores: 0.0,
            server_us_each: 0.0,
            slowest_share: 0.0,
            latency: Latency::default(),
            bytes_each: 0.0,
        }
    }

    /// With seconds of CPU of server and clients before and after.
    fn of(counted: &Counted, before: (f64, f64), after: (f64, f64)) -> Self {
        let server = after.0 - before.0;
        Self {
            per_s: counted.count as f64 / counted.seconds,
            server_cores: server / counted.seconds,
            client_cores: (after.1 - before.1) / counted.seconds,
            server_us_each: server * 1e6 / counted.count as f64,
            slowest_share: counted.slowest_share,
            latency: counted.latency.unwrap_or_default(),
            ..Self::none()
        }
    }
}

fn work(bench: &Bench<'_>, peer: Peer, order: &Order) -> Work {
    Work {
        peer,
        task: order.task,
        event_bytes: order.event_bytes,
        certificates: bench.folder.path().to_owned(),
        resumed: order.resumed,
        server: None,
    }
}

fn network(bench: &Bench<'_>, order: &Order) -> Result<Option<Network>> {
    let is_own = bench.args.ethernet || order.loss_percent > 0.0;
    is_own.then(|| Network::new(order.loss_percent)).transpose()
}

/// Lets others come and go meanwhile.
fn newcomers(
    bench: &Bench<'_>,
    work: &Work,
    order: &Order,
    server: &Server,
    network: Option<&Network>,
) -> Result<Option<Process>> {
    if order.newcomers == 0 {
        return Ok(None);
    }
    let storm = Order {
        role: Role::Storm,
        clients: order.newcomers,
        ..order.clone()
    };
    let mut process = clients(bench, work, &storm, server, network)?;
    // Newcomers are elsewhere in the world, and what they compute holds up nobody.
    ensure!(process.step_back(), "newcomers need renice, of util-linux");
    let ready = process.expect("ready", PATIENCE);
    ready.context("the newcomers")?;
    process.tell("count")?;
    Ok(Some(process))
}

fn clients(
    bench: &Bench<'_>,
    work: &Work,
    order: &Order,
    server: &Server,
    network: Option<&Network>,
) -> Result<Process> {
    let load = Load {
        work: work.clone(),
        role: order.role,
        address: server.address,
        fingerprint: server.fingerprint.clone(),
        clients: order.clients,
        distinct: order.distinct,
        warm_up: bench.args.warm_up(),
        window: bench.args.window(),
    };
    let (program, orders) = (std::env::current_exe()?, serde_json::to_string(&load)?);
    Process::start(pinned(bench.args, CLIENT_CORE, network, &program).args([LOAD, &orders]))
}

/// One that has shown this rate and nothing else.
#[cfg(test)]
pub(super) fn sample_of(per_s: f64) -> Sample {
    Sample {
        per_s,
        ..Sample::none()
    }
}
