//! The commands, one file each.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{ArgMatches, FromArgMatches};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use crate::console::{self, OutputError};
use crate::exit::{Status, fail};
use crate::settings::{self, Settings};
use crate::signals::Signals;
use crate::{args, logging, text};

pub(crate) mod bench;
pub(crate) mod cert;
pub(crate) mod check_config;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod ping;
pub(crate) mod publish;
pub(crate) mod serve;
pub(crate) mod sub;

/// Does what the command line says.
pub(crate) fn run() -> Result<Status> {
    console::write_json(logging::is_json_asked_for(std::env::args_os().skip(1)));
    let matches = match args::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return no_command(&error),
    };
    let (name, matches) = matches.subcommand().context("no command was given")?;
    let settings = settings::load(matches, |name| std::env::var_os(name))?;
    logging::start(&settings);
    match name {
        "serve" => within(serve::run(options(matches)?, &settings)),
        "sub" => within(sub::run(options(matches)?, &settings)),
        "pub" => within(publish::run(options(matches)?, &settings)),
        "demo" => within(demo::run(options(matches)?)),
        "ping" => within(ping::run(options(matches)?, &settings)),
        "bench" => within(bench::run(options(matches)?, &settings)),
        "cert" => within(cert::run(options(matches)?)),
        "check-config" => check_config::run(&options(matches)?, &settings),
        _ => completions::run(&options(matches)?),
    }
}

/// Shows help or what is wrong with the command line.
fn no_command(error: &clap::Error) -> Result<Status> {
    let coloured = |terminal: bool| match terminal && text::colours_are_welcome() {
        true => error.render().ansi().to_string(),
        false => error.render().to_string(),
    };
    if error.use_stderr() {
        let terminal = std::io::stderr().is_terminal() && !console::is_json();
        console::tell(coloured(terminal).trim_end());
        return Ok(Status::Usage);
    }
    console::print_blocking(&coloured(std::io::stdout().is_terminal()))?;
    Ok(Status::Done)
}

fn options<T: FromArgMatches>(matches: &ArgMatches) -> Result<T> {
    T::from_arg_matches(matches).context("the command line was not understood")
}

/// How long the end of a command waits for servers to learn of it.
const GOODBYE: Duration = Duration::from_millis(500);

/// Runs a command to its end; what still runs then, as a read of standard input, is left behind.
fn within(command: impl Future<Output = Result<Status>>) -> Result<Status> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let result = command.await;
        goodbye().await;
        result
    });
    runtime.shutdown_background();
    result
}

/// Waits until the connections that the command has dropped are closed, however it ended: without it servers would keep them for their
/// idle timeout.
///
/// Connections close in tasks, and all others end with the command, so it is done when none is left.
async fn goodbye() {
    let tasks = Handle::current().metrics();
    let end = Instant::now() + GOODBYE;
    while tasks.num_alive_tasks() > 0 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Why a command ends before its work does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    Signal,
    Timeout,
}

/// What ends a command early: a signal, or the end of the time that the settings give to all of it.
struct Stop {
    signals: Signals,
    /// `None` is never.
    time_is_up: Option<Instant>,
}

impl Stop {
    /// Takes over the signals; the time begins now. To be called within the runtime.
    fn watch(settings: &Settings) -> Result<Self> {
        let limit = settings.duration("timeout");
        Ok(Self {
            signals: Signals::watch()?,
            time_is_up: limit.and_then(|limit| Instant::now().checked_add(limit)),
        })
    }

    /// Waits for the first of them; at once when it has been. Cancel-safe.
    async fn wait(&self) -> Stopped {
        let time_is_up = async {
            match self.time_is_up {
                Some(time) => sleep_until(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.signals.first() => Stopped::Signal,
            () = time_is_up => Stopped::Timeout,
        }
    }

    /// Whether a signal has come. Cheap.
    fn is_signalled(&self) -> bool {
        self.signals.raised()
    }
}

/// Time was up before there was a connection.
fn never_connected(settings: &Settings) -> anyhow::Error {
    let server = settings.text("server");
    fail(
        Status::Unreachable,
        format!(
            "time is up, and there was no connection to {server}: is a qsse server running there?"
        ),
    )
}

/// Prints the result of a command. One that nobody reads any more changes nothing, and one that is not read when the command is stopped
/// is given up.
async fn print_result(text: impl Display, stop: &Stop) -> Result<()> {
    let printed = tokio::select! {
        biased;
        printed = console::print(text) => printed,
        _ = stop.wait() => {
            console::stdout().written_soon(console::STUCK, console::SLOW).await;
            Ok(())
        }
    };
    Ok(printed.or_else(OutputError::unless_closed)?)
}
