//! The commands, one file each.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{ArgMatches, FromArgMatches};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::console;
use crate::exit::Status;
use crate::settings;
use crate::{args, logging, text};

pub(crate) mod admin;
pub(crate) mod bench;
pub(crate) mod cert;
pub(crate) mod check_config;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod ping;
pub(crate) mod publish;
pub(crate) mod serve;
pub(crate) mod sub;
pub(crate) mod token;

/// Runs the command that the command line names.
pub(crate) fn run() -> Result<Status> {
    console::write_json(logging::is_json_asked_for(std::env::args_os().skip(1)));
    let matches = match args::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return no_command(&error),
    };
    let (name, matches) = matches.subcommand().context("no command was given")?;
    // The action of `admin` or `token` has the flags, which are the same for all of its actions.
    let flags = matches.subcommand().map_or(matches, |(_, action)| action);
    let settings = settings::load(flags, |name| std::env::var_os(name))?;
    logging::start(&settings);
    match name {
        "serve" => {
            let flags = matches.clone();
            let reread = move || settings::load(&flags, |name| std::env::var_os(name));
            within(serve::run(options(matches)?, settings, Box::new(reread)))
        }
        "admin" => within(admin::run(options(matches)?, &settings)),
        "sub" => within(sub::run(options(matches)?, &settings)),
        "pub" => within(publish::run(options(matches)?, &settings)),
        "demo" => within(demo::run(options(matches)?)),
        "ping" => within(ping::run(options(matches)?, &settings)),
        "bench" => within(bench::run(options(matches)?, &settings)),
        "token" => within(token::run(options(matches)?, &settings)),
        "cert" => within(cert::run(options(matches)?)),
        "check-config" => check_config::run(&options(matches)?, &settings),
        _ => completions::run(&options(matches)?, args::command()),
    }
}

/// Shows help, or an error in the command line.
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

/// How long a command that ends waits until servers know.
const GOODBYE: Duration = Duration::from_millis(500);

/// Runs a command to its end. Abandons what is still running then, such as a read of standard
/// input.
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

/// Waits until the connections that the command has dropped are closed. Otherwise servers would
/// keep them for their idle timeout.
///
/// Connections close in tasks, and all other tasks end with the command, so this is done when none
/// is left.
async fn goodbye() {
    let tasks = Handle::current().metrics();
    let end = Instant::now() + GOODBYE;
    while tasks.num_alive_tasks() > 0 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
