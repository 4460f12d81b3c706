//! Throughput to Go clients: our server against the peers' servers, in the same run.
//!
//! Every event goes to every client. The server is a process on one core, all clients share another
//! (with `taskset`, where that is installed), as processes of up to [`CLIENTS_PER_PROCESS`] clients
//! each. Deliveries in a fixed window after a warm-up count. Rounds alternate, and figures are
//! medians. What the clients' core and the server's core were busy tells which of the two is the
//! limit.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command as Plain;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use qsse_server::Server;
use qsse_testing::figures::Figures;
use tokio::process::Command;

use crate::go::{GoClient, GoServer, Log, Peer, Process, free_port};
use crate::line::{Line, Tally};
use crate::one_thread;
use crate::ours::payload;
use crate::program::line_of;

/// A Go process has a scheduler and a collector of its own; a hundred of them on a core would be
/// measured instead.
const CLIENTS_PER_PROCESS: usize = 25;

/// Before the window: handshakes are over, congestion windows are open.
const WARM_UP: Duration = Duration::from_secs(2);

const TOPIC: &str = "bench";

#[derive(clap::Args)]
pub(crate) struct Throughput {
    /// Numbers of clients.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100])]
    clients: Vec<usize>,
    /// Pairs of runs for each number.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of the window that counts.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Bytes of an event's data.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
}

/// What one run shows.
#[derive(Clone, Copy)]
struct Run {
    deliveries_per_s: f64,
    /// Of one core each.
    server_cpu: f64,
    clients_cpu: f64,
}

impl Throughput {
    pub(crate) fn run(&self, peers: &[Peer]) -> Result<()> {
        ensure!(!peers.is_empty(), "no --peer NAME=PATH is given");
        println!(
            "{}-byte events, every event to every Go client; medians of {} interleaved pairs of {} s; CPU in % of a core",
            self.bytes, self.rounds, self.seconds
        );
        for peer in peers {
            println!("\nclients and Go server: {}", peer.name);
            println!(
                "{:>7} | {:^42} | {:^42} | {:^13}",
                "", "our server", "Go server", "ratio of"
            );
            let columns = "deliveries/s  per CPU-s  server  clients";
            println!(
                "{:>7} | {columns:>42} | {columns:>42} | {:>6} {:>6}",
                "clients", "rate", "CPU-s"
            );
            for &clients in &self.clients {
                self.compare(peer, clients)?;
            }
        }
        Ok(())
    }

    fn compare(&self, peer: &Peer, clients: usize) -> Result<()> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..self.rounds {
            // Each goes first every other time.
            for is_ours in [round % 2 == 0, round % 2 != 0] {
                let run = one_thread()?.block_on(self.measure(peer, clients, is_ours))?;
                if is_ours {
                    ours.push(run)
                } else {
                    theirs.push(run)
                }
            }
        }
        let median = |runs: &[Run], figure: fn(&Run) -> f64| {
            let mut figures: Vec<f64> = runs.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        let row = |runs: &[Run]| {
            let (rate, server) = (
                median(runs, |run| run.deliveries_per_s),
                median(runs, |run| run.server_cpu),
            );
            let clients = median(runs, |run| run.clients_cpu);
            let shown = format!(
                "{rate:>14.0} {:>10.0} {:>7.0} {:>8.0}",
                rate / server,
                server * 100.0,
                clients * 100.0
            );
            (shown, rate, rate / server)
        };
        let (ours, theirs) = (row(&ours), row(&theirs));
        println!(
            "{clients:>7} | {:>42} | {:>42} | {:>6.2} {:>6.2}",
            ours.0,
            theirs.0,
            ours.1 / theirs.1,
            ours.2 / theirs.2
        );
        Ok(())
    }

    async fn measure(&self, peer: &Peer, clients: usize, is_ours: bool) -> Result<Run> {
        let log = Log::default();
        let result = self.measured(peer, clients, is_ours, &log).await;
        result.with_context(|| log.last(5).join("\n"))
    }

    async fn measured(&self, peer: &Peer, clients: usize, is_ours: bool, log: &Log) -> Result<Run> {
        let own = std::env::current_exe()?;
        let mut server = if is_ours {
            let mut command = pinned(0, &own);
            command.args(["serve", &self.bytes.to_string()]);
            Measured::ours(&mut command).await?
        } else {
            let arguments = ["--topics", TOPIC];
            let mut command = pinned(0, &peer.path);
            let server = GoServer::spawn(&mut command, log, free_port()?, &arguments).await?;
            Measured::Go(Box::new(server))
        };
        let mut processes = Vec::new();
        for first in (0..clients).step_by(CLIENTS_PER_PROCESS) {
            let count = (clients - first).min(CLIENTS_PER_PROCESS).to_string();
            let mut command = pinned(1, &peer.path);
            command.args(["client", "--address", &server.address().to_string()]);
            command.args(["--topics", TOPIC, "--tally", "--clients", &count]);
            processes.push(GoClient::spawn(&mut command, log)?);
        }
        server.begin(clients, self.bytes).await?;
        let mut counted = vec![Tally::default(); processes.len()];
        latest(&mut processes, &mut counted, WARM_UP).await?;
        let (before, used, started) = (counted.clone(), busy(&server, &processes)?, Instant::now());
        let window = Duration::from_secs_f64(self.seconds);
        latest(&mut processes, &mut counted, window).await?;
        let (seconds, after) = (started.elapsed().as_secs_f64(), busy(&server, &processes)?);
        ensure!(
            counted
                .iter()
                .all(|tally| tally.in_order && tally.missing == 0),
            "events are missing or out of order"
        );
        Ok(Run {
            deliveries_per_s: before.iter().zip(&counted).map(per_second).sum(),
            server_cpu: (after.0 - used.0) / seconds,
            clients_cpu: (after.1 - used.1) / seconds,
        })
    }
}

/// Reads tallies for that long.
async fn latest(processes: &mut [GoClient], counted: &mut [Tally], window: Duration) -> Result<()> {
    let end = tokio::time::Instant::now() + window;
    for (process, counted) in processes.iter_mut().zip(counted) {
        while let Ok(line) = tokio::time::timeout_at(end, process.next()).await {
            if let Line::Tally(tally) = line? {
                *counted = tally;
            }
        }
        while let Some(line) = process.said() {
            if let Line::Tally(tally) = line? {
                *counted = tally;
            }
        }
    }
    Ok(())
}

/// Between two tallies of a process, by its own clock.
fn per_second((before, after): (&Tally, &Tally)) -> f64 {
    let ms = after.ms.saturating_sub(before.ms).max(1);
    (after.count - before.count) as f64 * 1_000.0 / ms as f64
}

/// Seconds of CPU so far of the server and of all clients.
fn busy(server: &Measured, clients: &[GoClient]) -> Result<(f64, f64)> {
    let clients: Result<f64> = clients.iter().map(|client| cpu(client.process.pid())).sum();
    Ok((cpu(server.pid())?, clients?))
}

/// Seconds of CPU that a process has used; `taskset` becomes the program that it starts.
fn cpu(pid: u32) -> Result<f64> {
    const TICKS_PER_S: f64 = 100.0;
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(')').context("a name in brackets")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(ticks as f64 / TICKS_PER_S)
}

/// A program on one core, where that can be had.
fn pinned(core: usize, program: &PathBuf) -> Command {
    let core = core.to_string();
    let taskset = Plain::new("taskset").args(["-c", &core, "true"]).output();
    if !taskset.is_ok_and(|output| output.status.success()) {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core]).arg(program);
    command
}

/// A server under measurement.
enum Measured {
    Ours(Box<Process>, SocketAddr),
    Go(Box<GoServer>),
}

impl Measured {
    async fn ours(command: &mut Command) -> Result<Self> {
        let mut process = Process::start(command.stdout(std::process::Stdio::piped()))?;
        let address = line_of(&mut process).await?.parse()?;
        Ok(Self::Ours(Box::new(process), address))
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Ours(_, address) => *address,
            Self::Go(server) => server.address,
        }
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Ours(process, _) => process.pid(),
            Self::Go(server) => server.process.pid(),
        }
    }

    /// Publishes without end, once everybody is there. Ours does so by itself.
    async fn begin(&mut self, clients: usize, bytes: usize) -> Result<()> {
        match self {
            Self::Ours(..) => Ok(()),
            Self::Go(server) => {
                server.subscribers(TOPIC, clients).await?;
                let endless = u32::MAX.into();
                server.generate(TOPIC, endless, bytes).await
            }
        }
    }
}

/// Events that a client may be behind before the publisher waits: well inside a feed of 4 MiB.
const AHEAD: u64 = 8_000;

/// The server's process: publishes as fast as the clients are served.
pub(crate) async fn serve(event_bytes: usize) -> Result<()> {
    let figures = Figures::default();
    let server = Server::bind("127.0.0.1:0")
        .go_dialect(true)
        .recorder(Arc::new(figures.clone()));
    let server = server.await?;
    println!("{}", server.local_addr());
    let delivered = || figures.counter("delivered_events", None);
    let (mut owed, mut number) = (0, 0);
    loop {
        let clients = figures.gauge("subscriptions", None) as u64;
        if clients == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            owed = delivered();
            continue;
        }
        if owed > delivered() + AHEAD * clients {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        for _ in 0..512 {
            server.try_publish(TOPIC, payload(number, event_bytes))?;
            number += 1;
        }
        owed += 512 * clients;
        tokio::task::yield_now().await;
    }
}
