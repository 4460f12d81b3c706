//! The corpus, and some mutants of it.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use qsse_fuzz::{drive, targets};

#[test]
fn no_input_of_the_corpus_fails() {
    for target in targets::ALL {
        drive::run(target, 1, Duration::ZERO).unwrap();
    }
}
