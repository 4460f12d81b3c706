//! The target that the variable `QSSE_FUZZ` names.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use qsse_fuzz::{Target, targets};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("QSSE_FUZZ").unwrap_or_default();
    targets::find(&name).expect("QSSE_FUZZ has to name a target")
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
