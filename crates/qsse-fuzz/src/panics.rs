//! Panics of all threads: a server's tasks run on others than the target.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first panic that nobody has asked for yet.
static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// Whether a target runs.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Notes panics instead of printing them, while a target runs.
pub(crate) fn note_all() {
    panic::set_hook(Box::new(|info| {
        let mut first = FIRST
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        first.get_or_insert_with(|| info.to_string());
        if !RUNNING.load(Ordering::Relaxed) {
            eprintln!("{info}");
        }
    }));
}

/// Runs a function; returns the panic, if it or another thread panicked.
pub(crate) fn of(run: impl FnOnce()) -> Option<String> {
    RUNNING.store(true, Ordering::Relaxed);
    let ended = panic::catch_unwind(AssertUnwindSafe(run));
    RUNNING.store(false, Ordering::Relaxed);
    let mut first = FIRST
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let noted = first.take();
    match ended {
        Ok(()) => noted,
        Err(_) => Some(noted.unwrap_or_else(|| "it panicked".to_owned())),
    }
}
