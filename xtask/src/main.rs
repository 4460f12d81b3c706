//! The project's own tasks, run as `cargo xtask TASK`; `cargo xtask help` lists them.
//!
//! Each task is a module with an `Args` and a `run`. What several need is in [`command`] (running
//! cargo) and [`workspace`] (what is in the workspace).

mod artifacts;
mod ci;
mod command;
mod docs;
mod examples;
mod fanout;
mod interop;
mod no_std;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run everything that has to pass before a change is good
    Ci(ci::Args),
    /// Check what the compiler cannot: layers, files, manifests, protocol clauses, licences
    Tidy(tidy::Args),
    /// Write the documents that are generated, or check that they are up to date
    Docs(docs::Args),
    /// Run every example and see it end well
    Examples(examples::Args),
    /// Measure fan-out throughput against a raw QUIC writer (takes a minute)
    Fanout(fanout::Args),
    /// Run servers and clients against Go, live
    Interop(interop::Args),
    /// Build qsse-topic where the standard library must not be
    NoStd(no_std::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Ci(args) => ci::run(&args),
        Task::Tidy(args) => tidy::run(&args),
        Task::Docs(args) => docs::run(&args),
        Task::Examples(args) => examples::run(&args),
        Task::Fanout(args) => fanout::run(&args),
        Task::Interop(args) => interop::run(&args),
        Task::NoStd(args) => no_std::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
