//! [`Tokens`]: tokens that are guessed.

use anyhow::Result;
use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::attack::{Attack, Tally, before};
use crate::setup::{Scale, Setup};
use crate::target::Target;

/// Says `Hello` with wrong tokens.
pub(crate) struct Tokens;

/// Guesses at a time.
const AT_ONCE: u64 = 16;

/// What the server may need for the connections.
const BOUND_BYTES: u64 = 16 << 20;

#[async_trait(?Send)]
impl Attack for Tokens {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn about(&self) -> &'static str {
        "connections that try wrong tokens, 16 at a time"
    }

    fn unit(&self) -> &'static str {
        "tokens accepted"
    }

    fn setup(&self, _: Scale) -> Setup {
        Setup {
            bound: BOUND_BYTES,
            shown_by: &["refused{"],
            ..Setup::default()
        }
    }

    async fn run(&self, target: &Target, until: Instant, tally: &Tally) -> Result<()> {
        let guesses = (0..AT_ONCE).map(|number| guess(target, number, until, tally));
        let guessed: Result<Vec<()>> = join_all(guesses).await.into_iter().collect();
        guessed.map(drop)
    }
}

/// Tries one token after the other.
async fn guess(target: &Target, number: u64, until: Instant, tally: &Tally) -> Result<()> {
    let mut attacker = target.attacker(1)?;
    for tried in 0u64.. {
        attacker.token = format!("guess-{number:08x}-{tried:016x}");
        match before(until, attacker.session()).await {
            Some(Ok(_)) => tally.done(1),
            Some(Err(_)) => tally.refused(),
            None => break,
        }
    }
    Ok(())
}
