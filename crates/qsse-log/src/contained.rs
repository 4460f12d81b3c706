//! [`contained`]: calls of a storage whose panics become errors.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::storage::StorageError;

/// Awaits a call of a storage. A panic becomes an error, so that all that wait for the call get an
/// answer.
///
/// Unwind safety is left to the storage. After a panic of a call that writes, the log no longer
/// writes to it.
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

/// Makes a call of a storage that does not wait, as [`contained`] does.
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
