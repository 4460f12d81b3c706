//! The program `qsse`: serve, subscribe and publish events over QUIC.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they block, and panic if nobody reads: see console"
)]

use std::process::ExitCode;

mod args;
mod commands;
mod connect;
mod console;
mod exit;
mod logging;
mod output;
mod serve;
mod settings;
mod signals;
mod stop;
mod text;

fn main() -> ExitCode {
    let _finish = console::Finish;
    console::catch_panics();
    match commands::run() {
        Ok(status) => status.into(),
        Err(error) => {
            if !exit::is_quiet(&error) {
                console::message(tracing::Level::ERROR, format_args!("{error:#}"));
            }
            exit::status_of(&error).into()
        }
    }
}
