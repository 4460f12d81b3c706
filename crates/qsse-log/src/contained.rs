//! [`contained`]: a call of a storage whose panic is an error.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::storage::StorageError;

/// What a call of a storage comes to, where a panic is an error like another, so that whoever waits for it is told.
///
/// Unwind safety is the storage's business: after a panic of a call that writes, it is not written to any more.
pub(crate) async fn contained<T>(
    call: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    let mut call = pin!(call);
    poll_fn(|cx| {
        let poll = AssertUnwindSafe(|| call.as_mut().poll(cx));
        catch_unwind(poll).unwrap_or_else(|panic| Poll::Ready(Err(panicked(&*panic))))
    })
    .await
}

/// The same of a call that does not wait.
pub(crate) fn contained_now<T>(
    call: impl FnOnce() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> StorageError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    StorageError::panicked(text.unwrap_or("it did not say why"))
}
