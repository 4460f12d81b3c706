//! The locks and atomics that threads share.
//!
//! With `--cfg shuttle` they are those of the [shuttle](https://docs.rs/shuttle) checker, which
//! runs this code in many interleavings: `cargo xtask interleave`.

#[cfg(shuttle)]
pub(crate) use checked::{Mutex, MutexGuard};
#[cfg(not(shuttle))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic;
#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic;

/// The lock of the checker, with the interface of `parking_lot`.
#[cfg(shuttle)]
mod checked {
    pub(crate) use shuttle::sync::MutexGuard;

    const POISONED: &str = "a thread panicked before, which fails the test";

    #[derive(Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect(POISONED)
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().expect(POISONED)
        }
    }
}
