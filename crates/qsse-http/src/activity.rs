//! [`Activity`]: what a connection does, and when it has to end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::limits::ListenerLimits;

/// The time in which the requests that a client gives up are counted together.
const RESET_WINDOW: Duration = Duration::from_secs(1);

/// Why the server ended a connection, or refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All places were taken.
    Full,
    /// It had no request, and made room for another.
    Displaced,
    /// Its TLS handshake failed or did not complete in time.
    Handshake,
    /// The head of its first request did not come in time.
    Head,
    /// It was never let in.
    NotLetIn,
    /// It had no request for too long.
    Idle,
    /// It took nothing of an answer for too long.
    Stalled,
    /// It gave up too many requests.
    Resets,
}

impl Ended {
    pub(crate) const ALL: [Self; 8] = [
        Self::Full,
        Self::Displaced,
        Self::Handshake,
        Self::Head,
        Self::NotLetIn,
        Self::Idle,
        Self::Stalled,
        Self::Resets,
    ];

    /// Returns the label of the metric.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Displaced => "displaced",
            Self::Handshake => "handshake",
            Self::Head => "head",
            Self::NotLetIn => "not_let_in",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Resets => "resets",
        }
    }
}

/// What a connection does.
pub(crate) struct Activity {
    begun: Instant,
    state: Mutex<State>,
    /// Something happened that ends it.
    over: Notify,
}

struct State {
    /// Requests that have not ended.
    requests: usize,
    /// When there was none for the last time.
    idle_since: Instant,
    /// Whether there was one ever.
    was_asked: bool,
    /// Of each answer that goes on, since when the client takes nothing of it, in microseconds
    /// since the beginning and at least 1; 0 while it takes everything.
    answers: Vec<Arc<AtomicU64>>,
    /// The requests that were given up since `resets_since`.
    resets: u32,
    resets_since: Instant,
    ended: Option<Ended>,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        let begun = Instant::now();
        Arc::new(Self {
            begun,
            state: Mutex::new(State {
                requests: 0,
                idle_since: begun,
                was_asked: false,
                answers: Vec::new(),
                resets: 0,
                resets_since: begun,
                ended: None,
            }),
            over: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether it has had no request for this long.
    pub(crate) fn is_idle_for(&self, time: Duration) -> bool {
        let state = self.state();
        state.requests == 0 && state.idle_since.elapsed() >= time
    }

    /// Ends the connection.
    pub(crate) fn end(&self, why: Ended) {
        self.state().ended.get_or_insert(why);
        self.over.notify_one();
    }

    /// Counts a request until the guard is dropped. Of a connection that gives up more than
    /// `resets` in a second nothing more is answered.
    pub(crate) fn begin(self: &Arc<Self>, resets: u32) -> RequestGuard {
        let mut state = self.state();
        state.requests += 1;
        state.was_asked = true;
        drop(state);
        RequestGuard {
            activity: Arc::clone(self),
            resets,
            answer: None,
            is_complete: false,
        }
    }

    /// Waits until something else ends the connection, and returns what.
    pub(crate) async fn ended(&self) -> Ended {
        loop {
            if let Some(ended) = self.state().ended {
                return ended;
            }
            self.over.notified().await;
        }
    }

    /// Waits until the connection, whose first request may come from now on, has to end, and
    /// returns why. `was_let_in` says whether its client was.
    pub(crate) async fn over(
        &self,
        limits: &ListenerLimits,
        was_let_in: impl Fn() -> bool,
    ) -> Ended {
        let opened = Instant::now();
        // Nothing that begins from now on may end a connection earlier.
        let soonest = limits.idle_timeout.min(limits.stall_timeout);
        loop {
            let deadline = match self.deadline(limits, opened, was_let_in()) {
                Ok(deadline) => deadline,
                Err(ended) => return ended,
            };
            let now = Instant::now();
            let mut look = now + soonest;
            if let Some((deadline, why)) = deadline {
                if deadline <= now {
                    return why;
                }
                look = look.min(deadline);
            }
            tokio::select! {
                () = sleep_until(look) => {}
                () = self.over.notified() => {}
            }
        }
    }

    /// Returns when and why the connection ends if nothing changes.
    ///
    /// # Errors
    /// Why it has to end at once.
    fn deadline(
        &self,
        limits: &ListenerLimits,
        opened: Instant,
        was_let_in: bool,
    ) -> Result<Option<(Instant, Ended)>, Ended> {
        let state = self.state();
        if let Some(ended) = state.ended {
            return Err(ended);
        }
        let head = limits.head_timeout;
        Ok(if !state.was_asked {
            Some((opened + head, Ended::Head))
        } else if !was_let_in {
            Some((opened + 2 * head, Ended::NotLetIn))
        } else if state.requests == 0 {
            Some((state.idle_since + limits.idle_timeout, Ended::Idle))
        } else {
            let answers = state.answers.iter();
            let stalled = answers.map(|since| since.load(Ordering::Relaxed));
            stalled.filter(|since| *since > 0).min().map(|since| {
                let since = self.begun + Duration::from_micros(since);
                (since + limits.stall_timeout, Ended::Stalled)
            })
        })
    }
}

/// A request, until its answer has ended.
pub(crate) struct RequestGuard {
    activity: Arc<Activity>,
    resets: u32,
    answer: Option<Arc<AtomicU64>>,
    is_complete: bool,
}

impl RequestGuard {
    /// Notes that the client takes what comes next.
    pub(crate) fn taken(&self) {
        if let Some(answer) = &self.answer {
            answer.store(0, Ordering::Relaxed);
        }
    }

    /// Notes that a part of the answer was handed out.
    pub(crate) fn handed_out(&mut self) {
        let micros = self.activity.begun.elapsed().as_micros();
        let since = u64::try_from(micros).unwrap_or(u64::MAX).max(1);
        match &self.answer {
            Some(answer) => answer.store(since, Ordering::Relaxed),
            None => {
                let answer = Arc::new(AtomicU64::new(since));
                self.activity.state().answers.push(Arc::clone(&answer));
                self.answer = Some(answer);
            }
        }
    }

    /// Notes that the whole answer was handed out.
    pub(crate) fn complete(&mut self) {
        self.is_complete = true;
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.requests -= 1;
        if state.requests == 0 {
            state.idle_since = Instant::now();
        }
        if let Some(own) = &self.answer {
            state.answers.retain(|answer| !Arc::ptr_eq(answer, own));
        }
        if self.is_complete {
            return;
        }
        if state.resets_since.elapsed() >= RESET_WINDOW {
            state.resets = 0;
            state.resets_since = Instant::now();
        }
        state.resets += 1;
        if state.resets > self.resets {
            drop(state);
            self.activity.end(Ended::Resets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> ListenerLimits {
        ListenerLimits::default()
            .head_timeout(5 * SECOND)
            .idle_timeout(60 * SECOND)
            .stall_timeout(120 * SECOND)
            .resets(3)
    }

    /// Returns why a connection ends, and after how many seconds from now.
    async fn ends(activity: &Activity, let_in: bool) -> (Ended, u64) {
        let now = Instant::now();
        let ended = activity.over(&limits(), || let_in).await;
        (ended, now.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_ends() {
        let activity = Activity::new();
        assert_eq!(ends(&activity, false).await, (Ended::Head, 5));
        let activity = Activity::new();
        let request = activity.begin(3);
        assert_eq!(ends(&activity, false).await, (Ended::NotLetIn, 10));
        tokio::time::advance(7 * SECOND).await;
        drop(request);
        assert_eq!(ends(&activity, true).await, (Ended::Idle, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_taken_keeps_a_connection_open_and_one_that_is_not_ends_it() {
        let activity = Activity::new();
        let (mut read, mut unread) = (activity.begin(3), activity.begin(3));
        for _ in 0..1_000 {
            read.handed_out();
            read.taken();
            let over = tokio::time::timeout(SECOND, ends(&activity, true));
            assert!(over.await.is_err());
        }
        unread.handed_out();
        assert_eq!(ends(&activity, true).await, (Ended::Stalled, 120));
        unread.taken();
        let over = tokio::time::timeout(1_000 * SECOND, ends(&activity, true));
        assert!(over.await.is_err(), "there is nothing to take");
        unread.handed_out();
        drop(unread);
        let over = tokio::time::timeout(1_000 * SECOND, ends(&activity, true));
        assert!(over.await.is_err(), "its request is over");
    }

    #[tokio::test(start_paused = true)]
    async fn many_requests_that_are_given_up_at_once_end_a_connection() {
        let activity = Activity::new();
        for _ in 0..100 {
            for _ in 0..3 {
                drop(activity.begin(3));
            }
            tokio::time::advance(SECOND).await;
        }
        for _ in 0..10 {
            activity.begin(3).complete();
        }
        assert_eq!(activity.state().ended, None);
        for _ in 0..4 {
            drop(activity.begin(3));
        }
        assert_eq!(ends(&activity, true).await, (Ended::Resets, 0));
    }
}
