//! The project's own tasks, run as `cargo xtask TASK`; `cargo xtask help` lists them.
//!
//! Each task is a module with an `Args` and a `run`. What several need is in [`command`] (running
//! cargo) and [`workspace`] (what is in the workspace).

mod api;
mod artifacts;
mod bench;
mod check;
mod ci;
mod command;
mod docs;
mod examples;
mod interleave;
mod interop;
mod matcher;
mod mutants;
mod no_std;
mod sim;
mod soak;
mod tidy;
mod with_cfg;
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
    /// Run what a contributor runs between edits: format, tidy, clippy and the tests (minutes)
    Check(check::Args),
    /// Run everything that has to pass before a change is good
    Ci(ci::Args),
    /// Check what the compiler cannot: layers, files, manifests, protocol clauses, licences
    Tidy(tidy::Args),
    /// Write the lists of the public API in docs/api, or check that they are up to date
    Api(api::Args),
    /// Write the documents that are generated, or check that they are up to date
    Docs(docs::Args),
    /// Run every example and see it end well
    Examples(examples::Args),
    /// Measure throughput, latency, memory and more against raw QUIC, SSE and NATS: `bench --help`
    /// lists it (all: an hour)
    Bench(bench::Args),
    /// Measure the matcher against others of its kind, on the same data (takes half an hour)
    Matcher(matcher::Args),
    /// Kill a server again and again under load: nothing acknowledged is lost (takes minutes)
    Crash(soak::Args),
    /// Restart a server with 2,000 clients: all resume, spread out (takes two minutes)
    Restart(soak::Args),
    /// Stall one of 1,000 subscribers, then all: the others get theirs, memory is bounded (takes a
    /// minute)
    Stalled(soak::Args),
    /// Measure how fast history is replayed, against a raw QUIC writer (takes a minute)
    Replay(soak::Args),
    /// Measure synced publishing, against the store alone (takes a minute)
    Synced(soak::Args),
    /// Measure what exactly-once costs publishers, and stall the server under one at full speed
    /// (takes a minute)
    Retried(soak::Args),
    /// Change the code line by line and see that a test notices (a slice takes minutes, everything
    /// a day)
    Mutants(mutants::Args),
    /// Run what threads share in the log in many interleavings (a minute, and longer to build)
    Interleave(interleave::Args),
    /// Run servers and clients against Go, live
    Interop(interop::Args),
    /// Build qsse-topic where the standard library must not be
    NoStd(no_std::Args),
    /// Judge random programs in a simulated world: `sim --seeds N [--seed S]`
    Sim(sim::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Api(args) => api::run(&args),
        Task::Check(args) => check::run(&args),
        Task::Ci(args) => ci::run(&args),
        Task::Tidy(args) => tidy::run(&args),
        Task::Docs(args) => docs::run(&args),
        Task::Examples(args) => examples::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Matcher(args) => matcher::run(&args),
        Task::Crash(args) => soak::run("crash", &args),
        Task::Restart(args) => soak::run("restart", &args),
        Task::Stalled(args) => soak::run("stalled", &args),
        Task::Replay(args) => soak::run("replay", &args),
        Task::Retried(args) => soak::run("retried", &args),
        Task::Synced(args) => soak::run("synced", &args),
        Task::Mutants(args) => mutants::run(&args),
        Task::Interleave(args) => interleave::run(&args),
        Task::Interop(args) => interop::run(&args),
        Task::NoStd(args) => no_std::run(&args),
        Task::Sim(args) => sim::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
