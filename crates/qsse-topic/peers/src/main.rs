//! The matcher beside others of its kind: the same patterns, the same topics, the same run.
//!
//! ```text
//! cargo xtask matcher [--patterns 10000,100000,1000000] [--sets names,mixed] [--rounds 9]
//! ```
//!
//! Each measurement is a process of its own ([`child`]), so that none finds the heap as another
//! has left it and resident memory is that of one candidate. The rounds go through all candidates
//! in turn, the first one of a round changing; what is told are medians, and ratios of each
//! candidate to ours within a round. All must find the same number of matches with the same sum of
//! values, or there is no result.

mod candidates;
mod child;
mod data;
mod report;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use candidates::Kind;
use child::Figures;
use clap::Parser;
use data::Set;

/// What to compare.
#[derive(Parser)]
#[command(name = "cargo xtask matcher", bin_name = "cargo xtask matcher")]
struct Args {
    /// How many patterns
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    patterns: Vec<usize>,
    /// Which data
    #[arg(long, value_delimiter = ',', default_value = "names,mixed,wild")]
    sets: Vec<Set>,
    /// Which candidates
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "ours,bare,zenoh,nats,mqtt"
    )]
    candidates: Vec<Kind>,
    /// How often each is measured
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Where to write all figures
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measures one candidate with the files in a folder, and prints its figures
    #[arg(long, hide = true, value_names = ["CANDIDATE", "FOLDER"], num_args = 2)]
    child: Option<Vec<String>>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some([kind, folder]) = args.child.as_deref() {
        let figures = child::run(kind, Path::new(folder))?;
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(());
    }
    let mut results = Vec::new();
    for &set in &args.sets {
        for &count in &args.patterns {
            let result = compare(&args, set, count)?;
            print!("{result}");
            results.push(result);
        }
    }
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&results)?)?;
    }
    Ok(())
}

/// All rounds with one set of patterns.
fn compare(args: &Args, set: Set, count: usize) -> Result<report::Comparison> {
    let folder = std::env::temp_dir().join(format!("qsse-topic-peers-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let about = data::write(set, count, &folder)?;
    let kinds: Vec<Kind> = args
        .candidates
        .iter()
        .copied()
        .filter(|kind| set == Set::Names || kind.knows_wildcards())
        .collect();
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        eprintln!("{count} {set}: round {} of {}", round + 1, args.rounds);
        let mut figures = vec![Figures::default(); kinds.len()];
        for turn in 0..kinds.len() {
            let at = (turn + round) % kinds.len();
            figures[at] = measure(kinds[at], &folder)?;
        }
        let first = &figures[0];
        for (kind, own) in kinds.iter().zip(&figures) {
            let same = own.sample == first.sample
                && (own.topics != first.topics || own.found == first.found);
            ensure!(same, "{kind} finds something else than {}", kinds[0]);
        }
        rounds.push(figures);
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(report::Comparison::new(set, count, about, kinds, rounds))
}

/// One candidate, in a process of its own.
fn measure(kind: Kind, folder: &Path) -> Result<Figures> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--child", &kind.to_string()])
        .arg(folder)
        .output()?;
    ensure!(
        output.status.success(),
        "{kind}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).with_context(|| format!("{kind} printed no figures"))
}
