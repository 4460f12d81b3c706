//! The commands, one file each.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::{ArgMatches, FromArgMatches};

use crate::exit::Status;
use crate::settings::{self, Settings};
use crate::signals::Signals;
use crate::{args, logging};

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
    let matches = match args::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Where help or a mistake cannot be shown, nobody looks.
            let _ = error.print();
            return Ok(if error.use_stderr() {
                Status::Usage
            } else {
                Status::Done
            });
        }
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

fn options<T: FromArgMatches>(matches: &ArgMatches) -> Result<T> {
    T::from_arg_matches(matches).context("the command line was not understood")
}

/// Runs a command to its end; what still runs then, as a read of standard input, is left behind.
fn within(command: impl Future<Output = Result<Status>>) -> Result<Status> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}

/// Why a command ends before its work does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    Signal,
    Timeout,
}

/// Waits for a signal, or until the time that the settings give to the whole command is over.
async fn stopped(signals: &Signals, settings: &Settings) -> Stopped {
    let time_is_up = async {
        match settings.duration("timeout") {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = signals.first() => Stopped::Signal,
        () = time_is_up => Stopped::Timeout,
    }
}

/// How long the end of a command waits for the server to learn of it.
const GOODBYE: Duration = Duration::from_millis(500);

/// Closes the connection and tells the server.
async fn close(client: &qsse_client::Client) {
    client.close();
    let _ = tokio::time::timeout(GOODBYE, client.closed()).await;
}
