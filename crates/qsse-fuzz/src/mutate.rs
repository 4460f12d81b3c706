//! [`mutate`]: another input, made of one or two others.

use qsse_testing::rng::Rng;

/// The longest input.
const LONGEST: usize = 4_096;

/// Bytes where decisions change: signs, ends of varints, brackets, dots.
const INTERESTING: &[u8] = &[
    0, 1, 2, 0x7f, 0x80, 0xff, b'.', b'*', b'$', b'"', b'[', b']', b'{', b'}', b'\n', b'\\', b'-',
];

/// Returns a mutant of `input`, perhaps with parts of `other`.
pub(crate) fn mutate(rng: &mut Rng, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=rng.below(4) {
        change(rng, &mut bytes, other);
    }
    bytes.truncate(LONGEST);
    bytes
}

/// Makes one change.
fn change(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let length = bytes.len() as u64;
    let at = rng.below(length + 1) as usize;
    let end = at + rng.below((length + 1 - at as u64).min(64)) as usize;
    match rng.below(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
        1 if at < bytes.len() => bytes[at] = *rng.pick(INTERESTING),
        2 if at < bytes.len() => {
            let step = (rng.below(5) as u8).wrapping_sub(2);
            bytes[at] = bytes[at].wrapping_add(step);
        }
        3 => drop(bytes.drain(at..end)),
        4 => {
            let part = bytes[at..end].to_vec();
            let place = rng.below(length + 1) as usize;
            bytes.splice(place..place, part);
        }
        5 => {
            let count = rng.below(8) + 1;
            let random = (0..count).map(|_| rng.next_u64() as u8);
            let random: Vec<_> = random.collect();
            bytes.splice(at..at, random);
        }
        6 if !other.is_empty() => {
            let from = rng.below(other.len() as u64) as usize;
            let to = from + rng.below((other.len() - from) as u64 + 1) as usize;
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        7 => bytes.truncate(at),
        _ => bytes.insert(at, *rng.pick(INTERESTING)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_mutants() {
        let mutants = |seed| {
            let mut rng = Rng::new(seed);
            let all = (0..200).map(|_| mutate(&mut rng, b"hello", b"world"));
            all.collect::<Vec<_>>()
        };
        assert_eq!(mutants(1), mutants(1));
        assert_ne!(mutants(1), mutants(2));
        let distinct: std::collections::HashSet<_> = mutants(1).into_iter().collect();
        assert!(distinct.len() > 150, "{} of 200 differ", distinct.len());
    }
}
