//! The program `qsse`: serve, subscribe and publish events over QUIC.

use std::process::ExitCode;

mod args;
mod commands;
mod connect;
mod exit;
mod logging;
mod output;
mod serve;
mod settings;
mod signals;
mod text;

fn main() -> ExitCode {
    match commands::run() {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("qsse: {}", text::one_line(&format!("{error:#}")));
            exit::status_of(&error).into()
        }
    }
}
