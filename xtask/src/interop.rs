//! `cargo xtask interop`: runs servers and clients of this workspace against Go programs.
//!
//! The Go peers are built from `crates/qsse-interop/go`: one speaks the dialect itself; with
//! `--real`, another drives the Go library from a copy of its repository. The program of
//! `qsse-interop` judges the runs.

mod examples;
pub(crate) mod peers;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{
    artifacts,
    command::{Shown, cargo, program},
    workspace,
};

/// Arguments of `interop`.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Also against the Go library itself: a copy of its repository
    #[arg(long, value_name = "DIR")]
    real: Option<PathBuf>,
    /// Only cases with this in their name
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Say nothing for this long in the cases about silence, as in 2m, with the usual timeouts
    #[arg(long, value_name = "DURATION")]
    quiet: Option<String>,
    /// Measure deliveries to Go clients instead, ours against the Go server's (takes minutes)
    #[arg(long)]
    throughput: bool,
    /// Run the library's example programs instead
    #[arg(long, requires = "real")]
    examples: bool,
    /// Record the library's conversations for the tests instead
    #[arg(long, requires = "real")]
    record: bool,
}

/// The folder of the recorded conversations.
const TRANSCRIPTS: &str = "crates/qsse-testing/fixtures/go";

/// Builds the peers and runs the judge. Without Go it reports that and succeeds.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(go) = peers::version() else {
        println!(
            "\nSKIPPED: there is no Go on this machine, so nothing was tested against it.\n\
             SKIPPED: install Go 1.23 or newer (https://go.dev/dl), so that `go version` runs,\n\
             SKIPPED: and run `cargo xtask interop` again.\n"
        );
        return Ok(());
    };
    println!("{go}");
    if let Err(error) = peers::download() {
        println!(
            "\nSKIPPED: {error:#}\n\
             SKIPPED: the QUIC library of the Go peer cannot be fetched, so nothing was tested against Go.\n\
             SKIPPED: with a network, or another GOPROXY, run `cargo xtask interop` again.\n"
        );
        return Ok(());
    }
    let real = args.real.as_deref().map(repository).transpose()?;
    if args.examples {
        let library = real.context("--examples needs --real DIR")?;
        return examples::run(&library);
    }
    let own = format!("--peer=own={}", peers::own()?.display());
    let real = match &real {
        Some(library) => Some(format!("--peer=real={}", peers::real(library)?.display())),
        None => None,
    };
    let peers = [own].into_iter().chain(real);
    let with = |judge: Shown, argument: String| judge.arg(&argument);
    if args.throughput {
        let judge = cargo("run --release --package qsse-interop --");
        return peers.fold(judge, with).arg("throughput").run();
    }
    let mut judge = peers.fold(program(&artifacts::program("bin", "qsse-interop")?), with);
    if args.record {
        let folder = workspace::root().join(TRANSCRIPTS);
        return judge.arg("--record").arg(&text(&folder)?).run();
    }
    let qsse = artifacts::program("bin", "qsse")?;
    judge = judge.arg("--qsse").arg(&text(&qsse)?);
    if let Some(case) = &args.case {
        judge = judge.arg("--case").arg(case);
    }
    if let Some(quiet) = &args.quiet {
        judge = judge.arg("--quiet").arg(quiet);
    }
    judge.run()
}

/// Returns the absolute path of a copy of the library's repository.
fn repository(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    let path = path.canonicalize();
    let path = path.with_context(|| format!("--real {shown}"))?;
    if !path.join("go.mod").is_file() {
        bail!("--real {shown}: there is no go.mod in it");
    }
    Ok(path)
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().context("a path that is not UTF-8")?;
    Ok(text.to_owned())
}
