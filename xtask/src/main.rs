//! The project's own tasks, run as `cargo xtask TASK`; `cargo xtask help` lists them.
//!
//! Each task is a module with an `Args` and a `run`. They share [`command`], which runs cargo, and
//! [`workspace`], which knows the packages and files.

mod api;
mod artifacts;
mod attack;
mod bench;
mod check;
mod ci;
mod command;
mod deny;
mod docs;
mod examples;
mod forwarded;
mod fuzz;
mod interleave;
mod interop;
mod matcher;
mod mutants;
mod no_std;
mod sim;
mod soak;
mod tidy;
mod web;
mod with_cfg;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use forwarded::Forwarded;

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
    /// Check the project's own rules: layers, rings, files, manifests, clauses, links, licences
    Tidy(tidy::Args),
    /// Check the dependencies with cargo-deny: advisories, licences, sources
    Deny(deny::Args),
    /// Write the lists of the public API in docs/api, or check that they are up to date
    Api(api::Args),
    /// Write the generated documents, or check that they are up to date
    Docs(docs::Args),
    /// Run every example and check that it succeeds
    Examples(examples::Args),
    /// Measure throughput, latency, memory and more against raw QUIC, SSE and NATS (an hour; choose
    /// with `bench --help`)
    Bench(bench::Args),
    /// Run what reads hostile bytes on random ones, a minute each by default (`fuzz --help`)
    #[command(disable_help_flag = true)]
    Fuzz(Forwarded),
    /// Measure the matcher against other matchers, on the same data (half an hour)
    Matcher(matcher::Args),
    /// Abuse a server as hostile clients would, beside honest ones (minutes; `attack --help`)
    #[command(disable_help_flag = true)]
    Attack(Forwarded),
    /// Kill a server under load again and again; nothing acknowledged may be lost (minutes)
    Crash(Forwarded),
    /// Restart a server with 2,000 clients; all have to resume, spread out (two minutes)
    Restart(Forwarded),
    /// Stall one of 1,000 subscribers, then all; the others go on, memory is bounded (a minute)
    Stalled(Forwarded),
    /// Measure how fast history is replayed, against a raw QUIC writer (a minute)
    Replay(Forwarded),
    /// Measure synced publishing, against the store alone (a minute)
    Synced(Forwarded),
    /// Measure the cost of exactly-once publishing, and stall the server under it (a minute)
    Retried(Forwarded),
    /// Change the code line by line and report changes that no test notices (a day; a slice takes
    /// minutes)
    Mutants(mutants::Args),
    /// Run the code that threads share in the log in many interleavings (minutes)
    Interleave(interleave::Args),
    /// Run servers and clients against Go programs
    Interop(interop::Args),
    /// Build and test the client in TypeScript, with Node and Chromium
    Web(web::Args),
    /// Build qsse-topic without the standard library
    NoStd(no_std::Args),
    /// Run random programs in a simulated network, judged by a model: `sim --seeds N [--seed S]`
    Sim(Forwarded),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Api(args) => api::run(&args),
        Task::Check(args) => check::run(&args),
        Task::Ci(args) => ci::run(&args),
        Task::Tidy(args) => tidy::run(&args),
        Task::Deny(args) => deny::run(&args),
        Task::Docs(args) => docs::run(&args),
        Task::Examples(args) => examples::run(&args),
        Task::Attack(args) => attack::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
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
        Task::Web(args) => web::run(&args),
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
