//! Runs one attack: honest clients alone, then beside the attack, then rest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use qsse_testing::process::{Program, Running};
use tokio::runtime::{Builder, Runtime};

use crate::attack::{Attack, Tally};
use crate::metrics::{self, Metrics};
use crate::probe::{Probe, Seen};
use crate::report::{Memory, Report};
use crate::setup::{HONEST_TOPIC, Scale, Setup};
use crate::target::Target;
use crate::watch::{Watch, Watched};

/// How the attacks are run.
pub(crate) struct Options {
    /// The program `qsse`.
    pub(crate) qsse: PathBuf,
    pub(crate) scale: Scale,
    /// How long to attack, if not as long as the scale says.
    pub(crate) time: Option<Duration>,
}

impl Options {
    fn quiet(&self) -> Duration {
        self.scale
            .of(Duration::from_secs(1), Duration::from_secs(5))
    }

    fn attack(&self) -> Duration {
        let usual = self
            .scale
            .of(Duration::from_secs(2), Duration::from_secs(10));
        self.time.unwrap_or(usual)
    }

    fn rest(&self) -> Duration {
        self.scale
            .of(Duration::from_millis(300), Duration::from_secs(15))
    }
}

/// How much more than while the honest clients are alone a metric has to rise to be unusual: an
/// attack also delays them, so that more of them are there at a time.
const UNUSUAL: f64 = 3.0;

/// The priority of attackers below that of the server and the honest clients.
const BEHIND: i32 = 10;

/// Runs one attack against a server of its own.
///
/// # Errors
/// The server or the attack cannot be run. What the server does not withstand is in the report.
pub(crate) fn run(attack: &'static dyn Attack, options: &Options) -> Result<Report> {
    let setup = attack.setup(options.scale);
    let mut program = program(options, &setup)?;
    let mut server = program.start()?;
    let empty = server.memory()?.0;
    let target = Target {
        url: program.url(),
        address: program.address(),
        http: server.http(),
        scale: options.scale,
    };
    prepare(attack, &target)?;

    eprintln!("  honest clients alone");
    let before_quiet = Metrics::ask(server.metrics()?)?;
    let quiet = alone(&target, &server, options.quiet())?;
    let usual = Metrics::ask(server.metrics()?)?.risen_since(&before_quiet);

    eprintln!("  attack");
    let memory_before = server.memory()?.0;
    let course = beside(attack, &target, &server, options.attack())?;
    let longer = options.attack().as_secs_f64() / options.quiet().as_secs_f64();

    eprintln!("  rest");
    std::thread::sleep(options.rest());
    let still_runs = server.runs();
    let mut report = Report {
        name: attack.name(),
        about: attack.about(),
        unit: attack.unit(),
        seconds: options.attack().as_secs_f64(),
        counts: course.counts,
        memory: Memory {
            empty,
            before: memory_before,
            peak: course.watched.peak(),
            after: server.memory().map_or(0, |memory| memory.0),
            bound: setup.bound,
            history: course.watched.most.get("history_bytes") as u64,
            feeds: course.watched.most.get("feed_bytes") as u64,
            counted: course.watched.most.get("memory_bytes") as u64,
            slope: course.watched.slope(),
        },
        cores: course.cores,
        quiet,
        seen: course.seen,
        risen: metrics::unusual(course.risen, &usual, UNUSUAL * longer),
        failures: Vec::new(),
        missed: Vec::new(),
    };
    report.judge(setup.shown_by, still_runs);
    if !still_runs {
        eprintln!("  the server's log ends:\n{}", program.log());
    }
    Ok(report)
}

/// Returns the program with the settings of `setup`.
fn program(options: &Options, setup: &Setup) -> Result<Program> {
    let mut program = Program::new(&options.qsse, None)?.metrics();
    if setup.http {
        program = program.http();
    }
    let settings = setup.settings.iter();
    let with = |program: Program, (key, value): &(&str, String)| program.setting(key, value);
    let program = settings.fold(program, with).tokens(&setup.tokens())?;
    match setup.topics.is_empty() {
        true => Ok(program),
        false => program.config(&format!("topics = {:?}\n", setup.topics)),
    }
}

/// Fills the server, and makes the topic of the honest clients known.
fn prepare(attack: &dyn Attack, target: &Target) -> Result<()> {
    let runtime = runtime()?;
    let prepared = runtime.block_on(async {
        let operator = target.operator().await?;
        operator.publish(HONEST_TOPIC, [0; 8]).await?;
        attack.prepare(target).await
    });
    runtime.shutdown_background();
    prepared.context("the server cannot be filled")
}

/// Lets honest clients work alone. They have to get everything, or the figures mean nothing.
fn alone(target: &Target, server: &Running, time: Duration) -> Result<Seen> {
    // As during the attack: to ask for the metrics is work for the server too.
    let watch = Watch::start(server)?;
    let probe = Probe::start(target);
    std::thread::sleep(time);
    let seen = probe.finish()?;
    watch.finish()?;
    let served = seen.refusals() == 0 && seen.lost() == 0;
    ensure!(served, "without an attack honest clients saw {seen:?}");
    Ok(seen)
}

/// What happened while the server was attacked.
struct Course {
    counts: [u64; 3],
    seen: Seen,
    watched: Watched,
    /// By how much each metric rose.
    risen: BTreeMap<String, f64>,
    cores: f64,
}

/// Lets honest clients work beside an attack.
fn beside(
    attack: &dyn Attack,
    target: &Target,
    server: &Running,
    time: Duration,
) -> Result<Course> {
    let before = Metrics::ask(server.metrics()?)?;
    let watch = Watch::start(server)?;
    let (processor, begun) = (server.processor()?, Instant::now());
    let probe = Probe::start(target);
    let counts = attacked(attack, target, begun + time)?;
    let busy = server.processor().unwrap_or(processor) - processor;
    let cores = busy.as_secs_f64() / begun.elapsed().as_secs_f64();
    let seen = probe.finish()?;
    let watched = watch.finish()?;
    Ok(Course {
        counts,
        seen,
        risen: watched.most.risen_since(&before),
        watched,
        cores,
    })
}

/// Attacks until `until`, and returns what was done, refused and cut off.
fn attacked(attack: &dyn Attack, target: &Target, until: Instant) -> Result<[u64; 3]> {
    let attacked = || {
        // Attackers have machines of their own. Here they take the processor time that the server
        // and the honest clients leave. It is no harm if the system does not allow that.
        let _ = rustix::process::nice(BEHIND);
        let tally = Tally::default();
        let runtime = runtime()?;
        let result = runtime.block_on(attack.run(target, until.into(), &tally));
        runtime.shutdown_background();
        result.context("the attack itself failed")?;
        anyhow::Ok(tally.counts())
    };
    std::thread::scope(|scope| scope.spawn(attacked).join())
        .map_err(|_| anyhow!("the attack panicked"))?
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
