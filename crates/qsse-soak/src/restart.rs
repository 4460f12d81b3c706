//! A server restarted under thousands of clients: all resume, none misses anything, and they do not
//! come back all at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use qsse_client::{Client, Config, Item, PublishError, StateStream, Subscription, TransportConfig};
use tokio::task::JoinSet;

use qsse_testing::process::Program;

/// Arguments of `restart`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The program `qsse`.
    #[arg(long)]
    qsse: PathBuf,
    /// Clients, each with a connection, a socket and a subscription of its own.
    #[arg(long, default_value_t = 2_000)]
    clients: usize,
    /// Events published a second, each to every client.
    #[arg(long, default_value_t = 10)]
    rate: u32,
    /// How long a client may be silent before it sends a keep-alive; without it the usual 10 s.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    keep_alive: Option<Duration>,
    /// A folder on the disk to be used.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// All have to be back within this.
const TARGET: Duration = Duration::from_secs(30);

/// Connections made at a time.
const AT_ONCE: usize = 32;

/// What is open beside the clients' sockets.
const OTHER_FILES: usize = 100;

const TOPIC: &str = "news";

/// How a server ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    Terminated,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    check_limits(args.clients)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(restart(args));
    runtime.shutdown_background();
    result
}

async fn restart(args: &Args) -> Result<()> {
    let mut program = Program::new(&args.qsse, args.dir.as_deref())?.store("synced");
    let mut server = program.start()?;
    let mut config = Config::default();
    if let Some(every) = args.keep_alive {
        let transport = TransportConfig::client().keep_alive(every);
        config = config.transport(transport);
    }
    let transport = config.transport.clone().for_client();
    println!(
        "{} clients with a keep-alive of {:?}, an idle timeout of {:?} and delays of up to {:?} between attempts",
        args.clients,
        transport.keep_alive.unwrap_or_default(),
        transport.idle_timeout,
        config.reconnect.max_delay,
    );
    let connect = || Client::connect(program.url()).config(config.clone());
    let mut subscribers = Vec::new();
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    while subscribers.len() < args.clients {
        let some = AT_ONCE.min(args.clients - subscribers.len());
        let made = try_join_all((0..some).map(|_| async {
            let client = connect().await?;
            let subscription = client.subscribe(TOPIC).await?;
            anyhow::Ok((client, subscription))
        }));
        for (client, subscription) in made.await.context("not all clients can connect")? {
            let seen = Arc::new(Seen::default());
            tasks.spawn(note(client.state(), Arc::clone(&seen)));
            tasks.spawn(read(subscription, Arc::clone(&seen)));
            subscribers.push(seen);
        }
    }
    println!("connected in {:.1} s", begun.elapsed().as_secs_f64());
    let published = Arc::new(Published::default());
    let publisher = tokio::spawn(publish(connect().await?, args.rate, Arc::clone(&published)));

    for end in [End::Killed, End::Terminated] {
        until_all(&subscribers, published.next()).await?;
        let begun = Instant::now();
        match end {
            End::Killed => server.kill()?,
            End::Terminated => server.terminate()?,
        }
        let ended = begun.elapsed();
        // What is published from here on shows who is back.
        let mark = published.next();
        server = program.start()?;
        let away = begun.elapsed();
        println!(
            "\n{end:?}: the process ended within {:.2} s and listened again after {:.2} s",
            ended.as_secs_f64(),
            away.as_secs_f64()
        );
        let slowest = all_resumed(&subscribers, mark, begun).await?;
        let connected = subscribers
            .iter()
            .map(|seen| seen.connected(begun))
            .collect::<Option<Vec<_>>>();
        tell(
            connected.context("a client resumed without a connection")?,
            slowest,
        );
        tell_slowest(&subscribers, begun);
        ensure!(
            slowest < TARGET,
            "the last client resumed after {slowest:?}, the target is {TARGET:?}"
        );
    }
    published.stop.store(true, Ordering::Relaxed);
    publisher.await??;
    until_all(&subscribers, published.next()).await?;
    drop(server);
    conclude(&subscribers, &published)
}

/// What a subscriber has seen.
#[derive(Default)]
struct Seen {
    numbers: Mutex<Vec<u64>>,
    last: AtomicU64,
    /// When it was connected last.
    connected: Mutex<Option<Instant>>,
    /// All that became of its connection.
    states: Mutex<Vec<(Instant, String)>>,
    /// What it was told beside events.
    fault: Mutex<Option<String>>,
}

impl Seen {
    /// How long after this it was connected again.
    fn connected(&self, begun: Instant) -> Option<Duration> {
        let connected = *self.connected.lock();
        connected.and_then(|at| at.checked_duration_since(begun))
    }
}

/// What was published, and the numbers whose outcome is unknown.
#[derive(Default)]
struct Published {
    next: AtomicU64,
    unknown: Mutex<BTreeSet<u64>>,
    stop: AtomicBool,
}

impl Published {
    /// All numbers before this are settled.
    fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }
}

async fn publish(client: Client, rate: u32, published: Arc<Published>) -> Result<()> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !published.stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let number = published.next();
        match client.publish(TOPIC, number.to_le_bytes()).await {
            Ok(_) => {}
            Err(PublishError::OutcomeUnknown { .. }) => {
                published.unknown.lock().insert(number);
            }
            // A server that drains takes nothing more; the next one will.
            Err(error) if error.is_retryable() => continue,
            Err(error) => bail!("publishing failed: {error}"),
        }
        published.next.store(number + 1, Ordering::Release);
    }
    Ok(())
}

async fn note(mut states: StateStream, seen: Arc<Seen>) {
    while let Some(state) = states.next().await {
        seen.states.lock().push((Instant::now(), state.to_string()));
        if state.is_connected() {
            *seen.connected.lock() = Some(Instant::now());
        }
    }
}

async fn read(mut subscription: Subscription, seen: Arc<Seen>) {
    loop {
        match subscription.next_item().await {
            Some(Ok(Item::Event(event))) => {
                let number = event.data()[..]
                    .try_into()
                    .map_or(u64::MAX, u64::from_le_bytes);
                seen.numbers.lock().push(number);
                seen.last.store(number + 1, Ordering::Release);
            }
            Some(Ok(Item::Notice(notice))) => *seen.fault.lock() = Some(notice.to_string()),
            Some(Err(error)) => {
                *seen.fault.lock() = Some(error.to_string());
                return;
            }
            None => return,
        }
    }
}

/// Waits until everybody has everything before `next`.
async fn until_all(subscribers: &[Arc<Seen>], next: u64) -> Result<()> {
    let begun = Instant::now();
    let behind = || {
        let has = |seen: &&Arc<Seen>| seen.last.load(Ordering::Acquire) >= next;
        subscribers.len() - subscribers.iter().filter(has).count()
    };
    while behind() > 0 {
        let waited = begun.elapsed();
        ensure!(waited < 2 * TARGET, "{} clients are behind", behind());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Waits until each one is connected and had something published after `mark`; how long after
/// `begun` that was.
async fn all_resumed(subscribers: &[Arc<Seen>], mark: u64, begun: Instant) -> Result<Duration> {
    let mut told = 0;
    loop {
        // The first one behind the mark may have been on its way when the server ended.
        let is_away = |seen: &&Arc<Seen>| {
            // Events may be read before the task that notes the connection has its turn.
            seen.last.load(Ordering::Acquire) <= mark + 1 || seen.connected(begun).is_none()
        };
        let away = subscribers.iter().filter(is_away).count();
        let now = begun.elapsed();
        if away == 0 {
            return Ok(now);
        }
        ensure!(now < 2 * TARGET, "{away} clients did not come back");
        if now.as_secs() / 5 > told {
            told = now.as_secs() / 5;
            println!("  after {:>2} s: {away} are away", now.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Lines of a histogram, about.
const LINES: u128 = 20;

/// A histogram of when they were connected again.
fn tell(mut connected: Vec<Duration>, resumed: Duration) {
    connected.sort_unstable();
    let at = |part: f64| {
        let index = ((connected.len() - 1) as f64 * part) as usize;
        connected[index].as_secs_f64()
    };
    println!(
        "  connected again, after the end of the old server: first {:.2} s, half {:.2} s, 99 % {:.2} s, last {:.2} s; all had events again after {:.2} s",
        at(0.0),
        at(0.5),
        at(0.99),
        at(1.0),
        resumed.as_secs_f64()
    );
    let span = connected.last().map_or(0, Duration::as_millis) + 1;
    let width = [10, 20, 50, 100, 200, 500, 1_000, 2_000];
    let width = width.into_iter().find(|width| span / width <= LINES);
    let width = width.unwrap_or(5_000);
    let bin = |time: &Duration| (time.as_millis() / width) as usize;
    let mut bins = vec![0_usize; connected.last().map_or(0, bin) + 1];
    for time in &connected {
        bins[bin(time)] += 1;
    }
    let most = bins.iter().copied().max().unwrap_or(1).max(1);
    let first = bins.iter().position(|count| *count > 0).unwrap_or(0);
    for (index, count) in bins.iter().enumerate().skip(first) {
        let bar = "#".repeat((count * 50).div_ceil(most));
        let from = index as f64 * width as f64 / 1e3;
        println!("  {from:>6.2} s {count:>6} {bar}");
    }
}

/// What held up the one that came last.
fn tell_slowest(subscribers: &[Arc<Seen>], begun: Instant) {
    let last = subscribers.iter().max_by_key(|seen| *seen.connected.lock());
    for (at, state) in last.iter().flat_map(|seen| seen.states.lock().clone()) {
        if let Some(after) = at.checked_duration_since(begun) {
            println!(
                "  the last one, after {:.2} s: {state}",
                after.as_secs_f64()
            );
        }
    }
}

fn conclude(subscribers: &[Arc<Seen>], published: &Published) -> Result<()> {
    let (count, unknown) = (published.next(), published.unknown.lock());
    let mut faults = 0;
    let mut deliveries = 0;
    for (index, seen) in subscribers.iter().enumerate() {
        let numbers = seen.numbers.lock();
        deliveries += numbers.len();
        let in_order = numbers.is_sorted_by(|a, b| a < b);
        let has: BTreeSet<_> = numbers.iter().copied().collect();
        let lost = (0..count).filter(|number| !has.contains(number) && !unknown.contains(number));
        let lost = lost.count();
        let fault = seen.fault.lock();
        if !in_order || lost > 0 || fault.is_some() {
            faults += 1;
            if faults < 10 {
                println!("FAULT client {index}: in order {in_order}, lost {lost}, {fault:?}");
            }
        }
    }
    ensure!(faults == 0, "{faults} clients lost something");
    println!(
        "\n{count} events ({} of them with an unknown outcome), {deliveries} deliveries: each once, in order, none lost",
        unknown.len()
    );
    Ok(())
}

/// Says which limits of the system are too small.
fn check_limits(clients: usize) -> Result<()> {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    if let Some(files) = files {
        ensure!(
            files >= clients + OTHER_FILES,
            "{files} open files are too few for {clients} sockets: `ulimit -n {}` first, or take fewer --clients",
            clients + OTHER_FILES
        );
        println!("open files   {files}: enough");
    }
    let wanted = TransportConfig::server().udp_buffer;
    for name in ["rmem_max", "wmem_max"] {
        let text = fs::read_to_string(format!("/proc/sys/net/core/{name}"));
        let Some(bytes) = text.ok().and_then(|text| text.trim().parse::<usize>().ok()) else {
            continue;
        };
        if bytes < wanted {
            println!(
                "{name}     {bytes}: too small, packets of bursts are lost; try sudo sysctl -w net.core.{name}={wanted}"
            );
        } else {
            println!("{name}     {bytes}: enough");
        }
    }
    Ok(())
}
