//! Rounds in which every system has its turn, so that a slow minute of the machine hits all alike.

use anyhow::Result;

use super::run::Sample;
use crate::work::Peer;

/// Failures after which a system gets no further turn.
const MOST_FAILURES: usize = 2;

/// A system in the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) peer: Peer,
    /// The same a second time: how far it is from itself is how much a difference means.
    pub(super) again: bool,
}

impl Side {
    /// As it is shown.
    pub(super) fn name(self) -> String {
        let name = self.peer.name();
        match self.again {
            true => format!("{name} again"),
            false => name.to_owned(),
        }
    }
}

/// What all rounds of one side have shown.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) side: Side,
    /// By round; `None` where it failed or had no turn.
    pub(super) samples: Vec<Option<Sample>>,
    pub(super) failures: Vec<String>,
}

impl Outcome {
    /// One figure by round.
    pub(super) fn figures(&self, figure: fn(&Sample) -> f64) -> Vec<Option<f64>> {
        let samples = self.samples.iter();
        samples.map(|sample| sample.as_ref().map(figure)).collect()
    }
}

/// Each system once a round, and the raw one twice.
pub(super) fn interleave(
    title: &str,
    peers: &[Peer],
    rounds: u32,
    mut measure: impl FnMut(Peer) -> Result<Sample>,
    show: impl Fn(&Sample) -> String,
) -> Vec<Outcome> {
    let mut outcomes: Vec<_> = sides(peers).map(Outcome::new).collect();
    let turns = outcomes.len();
    for round in 0..rounds as usize {
        for turn in 0..turns {
            // Everybody goes first, second and so on in turn.
            let outcome = &mut outcomes[(turn + round) % turns];
            let place = format!("{title}, round {} of {rounds}", round + 1);
            let name = outcome.side.name();
            if outcome.failures.len() >= MOST_FAILURES {
                outcome.samples.push(None);
                continue;
            }
            match measure(outcome.side.peer) {
                Ok(sample) => {
                    eprintln!("{place}: {name}: {}", show(&sample));
                    outcome.samples.push(Some(sample));
                }
                Err(error) => {
                    eprintln!("{place}: {name} FAILED: {error:#}");
                    outcome.samples.push(None);
                    outcome.failures.push(format!("{error:#}"));
                }
            }
        }
    }
    outcomes
}

impl Outcome {
    fn new(side: Side) -> Self {
        Self {
            side,
            samples: Vec::new(),
            failures: Vec::new(),
        }
    }
}

/// The raw side comes again at the end, with the others between.
fn sides(peers: &[Peer]) -> impl Iterator<Item = Side> {
    let once = peers.iter().map(|&peer| Side { peer, again: false });
    let again = peers.iter().find(|peer| **peer == Peer::RawQuinn);
    once.chain(again.map(|&peer| Side { peer, again: true }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_and_failures_end_it() {
        let mut turns = Vec::new();
        let measure = |peer| {
            turns.push(peer);
            anyhow::bail!("no")
        };
        let peers = [Peer::Qsse, Peer::RawQuinn];
        let outcomes = interleave("x", &peers, 3, measure, |_| String::new());
        assert_eq!(outcomes.len(), 3);
        assert!(outcomes[2].side.again);
        assert_eq!(turns.len(), 3 * MOST_FAILURES);
        assert!(outcomes.iter().all(|outcome| outcome.samples.len() == 3));
    }
}
