//! Long runs that check that nothing is lost, and measure what that costs: a server killed again
//! and again, restarted under thousands of clients, stalled by its subscribers; how fast it
//! replays, and how fast it publishes what is synced.
//!
//! Each ends by itself and fails if something was lost. `cargo xtask crash`, `restart`, `stalled`,
//! `replay` and `synced` run them.

mod bench;
mod crash;
mod replay;
mod restart;
mod retried;
mod stalled;
mod synced;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Kill a server at random moments under load: nothing acknowledged is lost, nothing comes
    /// twice
    Crash(crash::Args),
    /// Restart a server with many clients: all resume, spread out
    Restart(restart::Args),
    /// Stall one of many subscribers, then all: the others get theirs, and memory is bounded
    Stalled(stalled::Args),
    /// Measure how fast history is replayed, against a raw QUIC writer
    Replay(replay::Args),
    /// Measure synced publishing, against the store alone
    Synced(synced::Args),
    /// Measure what exactly-once costs publishers, and stall the server under one at full speed
    Retried(retried::Args),
    /// A process of `replay`
    #[command(hide = true)]
    ReplayPart(replay::Part),
    /// A process of `synced`
    #[command(hide = true)]
    SyncedPart(synced::Part),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Crash(args) => crash::run(&args),
        Task::Restart(args) => restart::run(&args),
        Task::Stalled(args) => stalled::run(&args),
        Task::Replay(args) => replay::run(&args),
        Task::Synced(args) => synced::run(&args),
        Task::Retried(args) => retried::run(&args),
        Task::ReplayPart(part) => replay::part(&part),
        Task::SyncedPart(part) => synced::part(&part),
    }
}
