//! [`WakeGated`]: a future that is polled only after it was woken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

/// A future that waits beside another one that is polled for each event.
///
/// A task polls everything that it waits for whenever one part is ready. Polling what watches for
/// the end of a connection takes locks; polling this takes one atomic load until it is woken.
pub(crate) struct WakeGated {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    bell: Arc<Bell>,
    /// The task to wake. A copy of the bell's, which can be compared without a lock.
    task: Waker,
}

struct Bell {
    /// Whether the future was woken and has not been polled since.
    rung: AtomicBool,
    task: Mutex<Waker>,
}

impl WakeGated {
    pub(crate) fn new(future: impl Future<Output = ()> + Send + 'static) -> Self {
        let bell = Bell {
            rung: AtomicBool::new(true),
            task: Mutex::new(Waker::noop().clone()),
        };
        Self {
            future: Box::pin(future),
            bell: Arc::new(bell),
            task: Waker::noop().clone(),
        }
    }
}

impl Future for WakeGated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.task.will_wake(cx.waker()) {
            self.task.clone_from(cx.waker());
            let before = std::mem::replace(&mut *self.bell.task.lock(), self.task.clone());
            drop(before);
        }
        // The waker is stored first, so that whoever rings from here on wakes this task.
        if !self.bell.rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.bell.rung.swap(false, Ordering::AcqRel);
        let waker = Waker::from(Arc::clone(&self.bell));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            let task = self.task.lock().clone();
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::Notify;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_is_polled_when_it_is_woken_and_not_when_others_are() {
        let (polls, notify) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let mut gated = {
            let (polls, notify) = (Arc::clone(&polls), Arc::clone(&notify));
            WakeGated::new(async move {
                let mut notified = std::pin::pin!(notify.notified());
                poll_fn(|cx| {
                    polls.fetch_add(1, Ordering::Relaxed);
                    notified.as_mut().poll(cx)
                })
                .await;
            })
        };
        let (first, second) = (Arc::<Counter>::default(), Arc::<Counter>::default());
        let mut poll = |counter: &Arc<Counter>| {
            let waker = Waker::from(Arc::clone(counter));
            Pin::new(&mut gated).poll(&mut Context::from_waker(&waker))
        };
        for _ in 0..3 {
            assert!(poll(&first).is_pending());
        }
        assert!(poll(&second).is_pending(), "moved to another task");
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        notify.notify_one();
        let woken = [&first, &second].map(|counter| counter.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1]);
        assert!(poll(&second).is_ready());
    }

    #[tokio::test]
    async fn no_wake_up_is_lost() {
        for _ in 0..1_000 {
            let notify = Arc::new(Notify::new());
            let gated = {
                let notify = Arc::clone(&notify);
                WakeGated::new(async move { notify.notified().await })
            };
            let rings = std::thread::spawn(move || notify.notify_one());
            gated.await;
            rings.join().unwrap();
        }
    }
}
