//! Runs a target on mutants of its corpus for a while, on any compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use qsse_testing::rng::Rng;

use crate::mutate::mutate;
use crate::panics;
use crate::target::Target;

/// Inputs that are tried to make a failing one smaller.
const SHRINKS: usize = 5_000;

/// Mutants that are kept to be mutated further.
const POOL: usize = 512;

/// Runs the corpus of `target`, then mutants until `time` is over. Returns how many inputs were
/// run.
///
/// # Errors
/// An input made it panic. It was made smaller and stored; the error names the file.
pub fn run(target: &Target, seed: u64, time: Duration) -> Result<u64> {
    panics::note_all();
    let mut pool = corpus(target)?;
    for input in &pool {
        try_one(target, input)?;
    }
    let mut count = pool.len() as u64;
    let (mut rng, begun, fixed) = (Rng::new(seed), Instant::now(), pool.len());
    while begun.elapsed() < time {
        let [one, other] = [0; 2].map(|_| rng.below(pool.len() as u64) as usize);
        let input = mutate(&mut rng, &pool[one], &pool[other]);
        try_one(target, &input)?;
        count += 1;
        // Some mutants are mutated further. The corpus itself stays.
        if pool.len() < POOL {
            pool.push(input);
        } else if rng.chance(0.1) {
            let at = fixed + rng.below((POOL - fixed) as u64) as usize;
            pool[at] = input;
        }
    }
    Ok(count)
}

/// Runs one input. A failing one is made smaller and stored.
fn try_one(target: &Target, input: &[u8]) -> Result<()> {
    let Some(panic) = panics::of(|| (target.run)(input)) else {
        return Ok(());
    };
    let least = shrink(target, input);
    let path = store(target, &least)?;
    bail!(
        "{} fails on {}: {panic}\ninput: {}",
        target.name,
        path.display(),
        least.escape_ascii()
    );
}

/// Returns a smaller input that fails too.
fn shrink(target: &Target, input: &[u8]) -> Vec<u8> {
    let fails = |input: &[u8]| panics::of(|| (target.run)(input)).is_some();
    let mut least = input.to_vec();
    let (mut piece, mut tries) = (least.len().div_ceil(2), 0);
    while piece > 0 && tries < SHRINKS {
        let mut at = 0;
        while at < least.len() && tries < SHRINKS {
            let mut shorter = least.clone();
            shorter.drain(at..(at + piece).min(least.len()));
            tries += 1;
            if fails(&shorter) {
                least = shorter;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    least
}

fn store(target: &Target, input: &[u8]) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("failures");
    fs::create_dir_all(&folder)?;
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let path = folder.join(format!("{}-{hash:016x}", target.name));
    fs::write(&path, input).context("a failing input cannot be stored")?;
    Ok(path)
}

/// Returns the folder of a target's corpus.
pub fn corpus_folder(target: &Target) -> PathBuf {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    corpus.join(target.name)
}

/// Reads the corpus of a target, in the order of its files' names.
///
/// # Errors
/// There is none, or a file cannot be read.
pub fn corpus(target: &Target) -> Result<Vec<Vec<u8>>> {
    let folder = corpus_folder(target);
    let missing = || format!("no corpus in {}: write it with --corpus", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(missing)? {
        paths.push(entry?.path());
    }
    paths.sort();
    let inputs: Vec<_> = paths.iter().map(fs::read).collect::<Result<_, _>>()?;
    if inputs.is_empty() {
        bail!(missing());
    }
    Ok(inputs)
}

/// Writes the corpus of a target from its seeds. Inputs that were added by hand stay.
///
/// # Errors
/// The folder cannot be written.
pub fn write_corpus(target: &Target) -> Result<()> {
    let folder = corpus_folder(target);
    fs::create_dir_all(&folder)?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:02}")), seed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails_with_two(input: &[u8]) {
        assert!(input.iter().filter(|byte| **byte == 7).count() < 2);
    }

    #[test]
    fn a_failing_input_is_made_as_small_as_it_can_be() {
        panics::note_all();
        let target = Target {
            name: "none",
            about: "",
            run: fails_with_two,
            seeds: Vec::new,
        };
        let input: Vec<_> = (0..100).map(|n| n % 10).collect();
        assert_eq!(shrink(&target, &input), [7, 7]);
    }
}
