//! Reduces a failing program.

use crate::program::{Harm, Op, Program};

/// Removes what is not needed for `fails`, with at most so many tries.
pub(crate) fn shrink(program: &Program, tries: usize, fails: impl Fn(&Program) -> bool) -> Program {
    let mut best = program.clone();
    let mut left = tries;
    let mut attempt = |candidate: &Program| {
        if left == 0 {
            return false;
        }
        left -= 1;
        fails(candidate)
    };
    let mut piece = best.steps.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let before = best.steps.len();
        while at < best.steps.len() {
            let mut candidate = best.clone();
            let end = (at + piece).min(candidate.steps.len());
            candidate.steps.drain(at..end);
            if attempt(&candidate) {
                best = candidate;
            } else {
                at += piece;
            }
        }
        if piece == 1 && best.steps.len() == before {
            break;
        }
        piece = piece.div_ceil(2).max(1);
    }
    for at in 0..best.steps.len() {
        for simpler in simpler(&best.steps[at].op) {
            let mut candidate = best.clone();
            candidate.steps[at].op = simpler;
            if attempt(&candidate) {
                best = candidate;
            }
        }
        if best.steps[at].after_ms > 0 {
            let mut candidate = best.clone();
            candidate.steps[at].after_ms = 0;
            if attempt(&candidate) {
                best = candidate;
            }
        }
    }
    best
}

/// The same with less of it.
fn simpler(op: &Op) -> Vec<Op> {
    let mut less = Vec::new();
    match op {
        Op::Publish { count, size, .. } | Op::Send { count, size, .. } => {
            for (new_count, new_size) in [(1, *size), (count / 2, *size), (*count, 8)] {
                let mut op = op.clone();
                if let Op::Publish { count, size, .. } | Op::Send { count, size, .. } = &mut op {
                    (*count, *size) = (new_count.max(1), new_size);
                }
                less.push(op);
            }
        }
        Op::Damage { part, .. } => less.push(Op::Damage {
            drains: false,
            part: *part,
            harm: Harm::Bit,
            per_mille: 999,
        }),
        _ => {}
    }
    less
}
