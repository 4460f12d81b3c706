//! [`Subscribe`]: makes a subscription.

use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use qsse_proto::control::{OnLag, Start};
use qsse_proto::limits::{CONTROL_FRAME_BYTES, PATTERNS_PER_SUBSCRIPTION};
use qsse_topic::{Filter, FilterError, Pattern};
use tokio::sync::oneshot;

use super::Subscription;
use crate::connect::{Prepared, Setup};
use crate::core::Handle;
use crate::error::{CloseReason, SubscribeError};
use crate::notice::{self, Notice, OnNotice};
use crate::slot::{Slot, SlotOptions};

/// The bytes of a `Subscribe` frame without its patterns, at most.
const FRAME_BYTES: usize = 64;

/// The bytes of a pattern in a `Subscribe` frame beside its text.
const PATTERN_BYTES: usize = 2;

/// Makes a subscription. Await it. Made by [`Client::subscribe`](crate::Client::subscribe) and
/// [`Connect::subscribe`](crate::Connect::subscribe).
#[derive(Clone)]
#[must_use = "nothing is subscribed to until this is awaited"]
pub struct Subscribe {
    client: Via,
    filter: Result<Filter, FilterError>,
    /// The patterns to offer to a Go server, if they differ from those of the filter.
    offered: Option<Vec<Pattern>>,
    start: Start,
    on_lag: OnLag,
    on_notice: OnNotice,
}

/// The client of a subscription.
#[derive(Clone)]
enum Via {
    Client(Arc<Handle>),
    /// A client that is made for this subscription.
    Connect(Box<Setup>),
}

impl Subscribe {
    pub(crate) fn new(handle: Arc<Handle>, filter: Result<Filter, FilterError>) -> Self {
        Self::via(Via::Client(handle), filter)
    }

    pub(crate) fn connecting(setup: Setup, filter: Result<Filter, FilterError>) -> Self {
        Self::via(Via::Connect(Box::new(setup)), filter)
    }

    fn via(client: Via, filter: Result<Filter, FilterError>) -> Self {
        Self {
            client,
            filter,
            offered: None,
            start: Start::default(),
            on_lag: OnLag::default(),
            on_notice: Arc::new(notice::log),
        }
    }

    /// Sets where to start: a [`Start`], or the [`Cursor`](crate::Cursor) of an earlier
    /// subscription. The default is the next event published.
    ///
    /// It is used once. After a lost connection the subscription resumes after its
    /// [`cursor`](Subscription::cursor), also if the connection was lost before the first event, so
    /// that no event published since is missed. If the connection is lost while the events of
    /// [`Start::Last`] arrive, all events after the cursor follow, which may be more than the last
    /// ones of a topic.
    ///
    /// A server that does not support a start answers
    /// [`Code::UNSUPPORTED`](crate::Code::UNSUPPORTED). The Go library's
    /// [`Dialect`](crate::Dialect) supports only the default: [`SubscribeError::Unsupported`].
    pub fn start(mut self, start: impl Into<Start>) -> Self {
        self.start = start.into();
        self
    }

    /// Sets what the server does when this subscription falls behind. By default it catches up, as
    /// far back as the server retains events.
    ///
    /// A server that does not support a choice answers
    /// [`Code::UNSUPPORTED`](crate::Code::UNSUPPORTED). The Go library's
    /// [`Dialect`](crate::Dialect) supports only the default: [`SubscribeError::Unsupported`].
    pub fn on_lag(mut self, on_lag: OnLag) -> Self {
        self.on_lag = on_lag;
        self
    }

    /// Calls `function` with each [`Notice`], such as a gap, that occurs before the next event. The
    /// default logs it at level `warn`.
    ///
    /// The function runs in the task that asks for the next event, which waits for it.
    /// [`next_item`](Subscription::next_item) and [`items`](Subscription::items) yield notices
    /// instead.
    ///
    /// ```
    /// # use std::sync::atomic::{AtomicU64, Ordering};
    /// # use qsse_client::{Client, Notice};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = qsse_server::TestServer::start().await?;
    /// # let client = Client::connect(server.url()).await?;
    /// static MISSED: AtomicU64 = AtomicU64::new(0);
    /// let rides = client.subscribe("ride.*").on_notice(|notice| {
    ///     if let Notice::Gap(gap) = notice {
    ///         MISSED.fetch_add(gap.at_most, Ordering::Relaxed);
    ///     }
    /// });
    /// let mut rides = rides.await?;
    /// # server.publish("ride.7", "far").await?;
    /// # rides.try_next().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_notice(mut self, function: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.on_notice = Arc::new(function);
        self
    }

    /// Sets what to offer to a Go server, which compares patterns literally.
    pub(crate) fn offering(mut self, mut patterns: Vec<Pattern>) -> Self {
        let mut seen = BTreeSet::new();
        patterns.retain(|pattern| seen.insert(pattern.clone()));
        self.offered = Some(patterns);
        self
    }

    async fn run(self) -> Result<Subscription, SubscribeError> {
        let Self {
            client,
            filter,
            offered,
            start,
            on_lag,
            on_notice,
        } = self;
        let filter = filter?;
        check_size(&filter)?;
        let offered = offered.as_deref().unwrap_or(filter.patterns());
        let offered = offered.iter().map(Pattern::to_string).collect();
        let options = SlotOptions {
            filter,
            offered,
            start,
            on_lag,
        };
        let (handle, prepared) = match client {
            Via::Client(handle) => (handle, None),
            Via::Connect(setup) => {
                let prepared = setup.prepare()?;
                (prepared.handle.clone(), Some(prepared))
            }
        };
        let (confirm, confirmed) = oneshot::channel();
        let slot = handle
            .core
            .register(|key| Arc::new(Slot::new(key, options, confirm)))
            .map_err(SubscribeError::Closed)?;
        // From here on, dropping it unregisters the slot, also when this future is dropped.
        let subscription = Subscription::new(handle, slot, on_notice);
        let is_new = prepared.is_some();
        drop(prepared.map(Prepared::start));
        match confirmed.await {
            Ok(Ok(())) => Ok(subscription),
            Ok(Err(SubscribeError::Closed(CloseReason::Failed(error)))) if is_new => {
                Err(SubscribeError::Connect(error))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SubscribeError::Closed(CloseReason::Local)),
        }
    }
}

impl IntoFuture for Subscribe {
    type Output = Result<Subscription, SubscribeError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl std::fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscribe")
            .field("filter", &self.filter)
            .field("start", &self.start)
            .field("on_lag", &self.on_lag)
            .finish_non_exhaustive()
    }
}

/// Checks that the patterns fit into one frame.
fn check_size(filter: &Filter) -> Result<(), SubscribeError> {
    let patterns = filter.patterns();
    let bytes: usize = patterns
        .iter()
        .map(|pattern| pattern.as_str().len() + PATTERN_BYTES)
        .sum();
    if patterns.len() > PATTERNS_PER_SUBSCRIPTION || bytes + FRAME_BYTES > CONTROL_FRAME_BYTES {
        return Err(SubscribeError::TooManyPatterns {
            count: patterns.len(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use qsse_proto::Epoch;
    use qsse_proto::EventId;
    use qsse_proto::control::{ClientFrame, Subscribe};
    use qsse_topic::IntoFilter;

    use super::*;

    #[test]
    fn what_passes_the_check_fits_the_frame() {
        for (count, len) in [
            (PATTERNS_PER_SUBSCRIPTION, 13),
            (65, 245),
            (1, 255),
            (200, 79),
        ] {
            let patterns: Vec<_> = (0..count).map(|i| format!("{i:0len$}")).collect();
            let filter = patterns.clone().into_filter().unwrap();
            let start = Start::After(EventId::new(Epoch::new(u64::MAX), u64::MAX));
            let frame = Subscribe {
                id: u32::MAX,
                patterns,
                start,
                on_lag: OnLag::Disconnect,
            };
            let len = ClientFrame::from(frame).encode().len() - 4;
            let passes = check_size(&filter).is_ok();
            assert!(passes && len <= CONTROL_FRAME_BYTES, "{count}: {len}");
        }
        let filter = (0..70)
            .map(|i| format!("{i:0240}"))
            .collect::<Vec<_>>()
            .into_filter()
            .unwrap();
        assert!(matches!(
            check_size(&filter),
            Err(SubscribeError::TooManyPatterns { count: 70 })
        ));
    }
}
