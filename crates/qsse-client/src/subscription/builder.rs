//! [`Subscribe`]: a subscription to be made.

use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use qsse_proto::control::{OnLag, Start};
use qsse_proto::limits::{CONTROL_FRAME_BYTES, PATTERNS_PER_SUBSCRIPTION};
use qsse_topic::{Filter, FilterError, Pattern};
use tokio::sync::oneshot;

use super::Subscription;
use super::slot::{Slot, Wanted};
use crate::connect::{Connect, Prepared};
use crate::core::Handle;
use crate::error::SubscribeError;
use crate::notice::{self, Notice, OnNotice};
use crate::state::CloseReason;

/// Bytes of a `Subscribe` frame beside its patterns, and of each pattern beside its text.
const FRAME_BYTES: usize = 64;
const PATTERN_BYTES: usize = 2;

/// A subscription to be made: await it. Made by [`Client::subscribe`](crate::Client::subscribe) and
/// [`Connect::subscribe`](crate::Connect::subscribe).
#[derive(Clone)]
#[must_use = "nothing is subscribed to until this is awaited"]
pub struct Subscribe {
    client: Via,
    filter: Result<Filter, FilterError>,
    /// The patterns to offer to a Go server, where they are not those of the filter.
    offered: Option<Vec<Pattern>>,
    start: Start,
    on_lag: OnLag,
    on_notice: OnNotice,
}

/// The client of a subscription.
#[derive(Clone)]
enum Via {
    Client(Arc<Handle>),
    /// One to be made for it.
    Connect(Box<Connect>),
}

impl Subscribe {
    pub(crate) fn new(handle: Arc<Handle>, filter: Result<Filter, FilterError>) -> Self {
        Self::via(Via::Client(handle), filter)
    }

    pub(crate) fn connecting(connect: Connect, filter: Result<Filter, FilterError>) -> Self {
        Self::via(Via::Connect(Box::new(connect)), filter)
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

    /// Where to begin: a [`Start`], or a [`Cursor`](crate::Cursor) of an earlier subscription. Default: with the next event published.
    ///
    /// It is asked for once. After a lost connection the subscription goes on after its [`cursor`](Subscription::cursor), also when that was
    /// lost before the first event, so that nothing published since is left out. Where it was lost among the last events that
    /// [`Start::Last`] gives, all that follow the cursor come, which may be more of a topic than its last.
    ///
    /// A server that lacks one answers [`Code::UNSUPPORTED`](crate::Code::UNSUPPORTED). In the Go library's
    /// [`Dialect`](crate::Dialect) there is no other: [`SubscribeError::Unsupported`].
    pub fn start(mut self, start: impl Into<Start>) -> Self {
        self.start = start.into();
        self
    }

    /// What the server does when this subscription falls behind. Default: it catches up, as far back as the server keeps events.
    ///
    /// A server that lacks one answers [`Code::UNSUPPORTED`](crate::Code::UNSUPPORTED). In the Go library's
    /// [`Dialect`](crate::Dialect) only the default is taken: [`SubscribeError::Unsupported`].
    pub fn on_lag(mut self, on_lag: OnLag) -> Self {
        self.on_lag = on_lag;
        self
    }

    /// Calls `function` with each [`Notice`], such as a gap, that [`next`](Subscription::next) and its like pass over on their way to the next event.
    /// Default: it is logged at level `warn`.
    ///
    /// It runs in the task that asks for the next event, which waits for it.
    /// [`next_item`](Subscription::next_item) and [`items`](Subscription::items) yield notices instead.
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

    /// What to offer to a Go server, which compares patterns by the letter and knows none that contains another.
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
        let wanted = Wanted {
            filter,
            offered,
            start,
            on_lag,
        };
        let (handle, prepared) = match client {
            Via::Client(handle) => (handle, None),
            Via::Connect(connect) => {
                let prepared = connect.prepare()?;
                (prepared.handle.clone(), Some(prepared))
            }
        };
        let (confirm, confirmed) = oneshot::channel();
        let slot = handle
            .core
            .register(|key| Arc::new(Slot::new(key, wanted, confirm)))
            .map_err(SubscribeError::Closed)?;
        // From here on dropping it unregisters, also when this future is dropped.
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

/// Whether the patterns fit into one frame.
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
