//! [`Printing`]: prints a subscription.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::task::Poll;

use anyhow::{Result, anyhow};
use qsse_client::{Client, Cursor, Item, Notice, Subscription, SubscriptionError};
use tokio::time::{Instant, sleep_until};
use tracing::Level;

use super::cursor::CursorFile;
use super::options::Options;
use crate::connect::report;
use crate::console::{self, OutputError, Pipe};
use crate::exit::{Status, fail};
use crate::output::Output;
use crate::settings::Settings;
use crate::stop::{Stop, Stopped};
use crate::text::counted;

/// Output is handed over from this size on, and whenever no further event is ready.
const BUFFER_BYTES: usize = 64 * 1024;

/// Why the printing ended.
pub(super) enum End {
    Count,
    Stopped(Stopped),
    /// The reader of the output is gone.
    Pipe,
    Error(anyhow::Error),
}

/// A subscription that is being printed.
pub(super) struct Printing<'r> {
    options: &'r Options,
    stop: &'r Stop,
    subscription: Subscription,
    received: u64,
    pipe: &'static Pipe,
    saved: Option<SavedPosition<'r>>,
}

/// The file in which the position is saved.
struct SavedPosition<'r> {
    file: &'r mut CursorFile,
    /// The subscription's position at certain sizes of the output, for what is not written yet.
    marks: VecDeque<(u64, Cursor)>,
    /// Everything up to here has been written.
    written: Cursor,
}

impl<'r> Printing<'r> {
    pub(super) fn new(
        options: &'r Options,
        stop: &'r Stop,
        subscription: Subscription,
        file: Option<&'r mut CursorFile>,
    ) -> Self {
        let written = subscription.cursor();
        let saved = |file| SavedPosition {
            file,
            marks: VecDeque::new(),
            written,
        };
        Self {
            options,
            stop,
            subscription,
            received: 0,
            pipe: console::stdout(),
            saved: file.map(saved),
        }
    }

    /// Prints until something ends it. Returns why, and the number of events.
    pub(super) async fn run(mut self, client: &Client, settings: &Settings) -> (End, u64) {
        let reporter = client.clone();
        let reporter = tokio::spawn(async move { report(&reporter).await });
        let mut output = Output::new(self.options.format(settings));
        let stop = self.stop;
        let end = tokio::select! {
            biased;
            why = stop.wait() => Ok(End::Stopped(why)),
            end = self.print(&mut output) => end,
        };
        reporter.abort();
        let end = match self.write_rest(end, &mut output).await {
            Ok(end) => end,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => End::Pipe,
            Err(error) => End::Error(OutputError::from(error).into()),
        };
        let settled = self.settle(&output);
        let saved = self.saved.map_or(Ok(()), |saved| saved.file.save());
        let end = match (end, settled.and(saved)) {
            (End::Error(error), _) | (_, Err(error)) => End::Error(error),
            (end, Ok(())) => end,
        };
        (end, self.received)
    }

    async fn print(&mut self, output: &mut Output) -> io::Result<End> {
        loop {
            if output.buffer.len() >= BUFFER_BYTES {
                self.pipe.write(&mut output.buffer).await?;
            }
            if self.is_due()
                && let Err(error) = self.settle(output)
            {
                return Ok(End::Error(error));
            }
            let item = match now(self.subscription.next_item()).await {
                Some(item) => item,
                None => {
                    if !output.buffer.is_empty() {
                        self.pipe.try_write(&mut output.buffer)?;
                    }
                    let due = self.saved.as_ref().map(|saved| saved.file.due());
                    tokio::select! {
                        biased;
                        item = self.subscription.next_item() => item,
                        written = self.pipe.write(&mut output.buffer), if !output.buffer.is_empty() => {
                            written?;
                            continue;
                        }
                        error = self.pipe.failed() => return Err(error),
                        // Not only events move the position.
                        () = reached(due) => continue,
                    }
                }
            };
            match item {
                Some(Ok(Item::Event(event))) => {
                    output.event(&event);
                    self.received += 1;
                    self.mark(output);
                    if self.options.count == Some(self.received) {
                        return Ok(End::Count);
                    }
                    if self.stop.is_signalled() {
                        return Ok(End::Stopped(Stopped::Signal));
                    }
                }
                Some(Ok(Item::Notice(notice))) => {
                    if let Some(text) = output.notice(&notice) {
                        // If both outputs are a terminal, it appears in its place among the events.
                        self.pipe.write(&mut output.buffer).await?;
                        self.pipe.written().await?;
                        console::message(Level::WARN, text);
                    }
                    if self.options.fail_on_gap && notice.is_loss() {
                        return Ok(End::Error(self.missed(&notice)));
                    }
                }
                Some(Err(SubscriptionError::Lagged)) => return Ok(End::Error(self.lagged())),
                Some(Err(error)) => return Ok(End::Error(error.into())),
                None => return Ok(End::Error(anyhow!("the subscription has ended"))),
            }
        }
    }

    /// Waits until the output is written. After a stop, waits only while the reader still reads.
    async fn write_rest(&self, end: io::Result<End>, output: &mut Output) -> io::Result<End> {
        let mut end = end?;
        if !matches!(end, End::Stopped(_)) {
            let all = async {
                self.pipe.write(&mut output.buffer).await?;
                self.pipe.written().await
            };
            tokio::select! {
                biased;
                written = all => {
                    written?;
                    return Ok(end);
                }
                why = self.stop.wait() => end = End::Stopped(why),
            }
        }
        self.pipe.try_write(&mut output.buffer)?;
        let left = self.pipe.written_soon(console::STUCK, console::SLOW).await;
        let left = left + output.buffer.len() as u64;
        if left > 0 {
            let left = counted(left, "byte");
            let text = format!("standard output is not read: {left} of it could not be written");
            console::message(Level::WARN, text);
        }
        Ok(end)
    }

    /// Records the position that the end of the output stands for.
    fn mark(&mut self, output: &Output) {
        if let Some(saved) = &mut self.saved {
            let end = self.pipe.handed() + output.buffer.len() as u64;
            saved.marks.push_back((end, self.subscription.cursor()));
        }
    }

    fn is_due(&self) -> bool {
        (self.saved.as_ref()).is_some_and(|saved| Instant::now() >= saved.file.due())
    }

    /// Passes the position that has been written to the file.
    fn settle(&mut self, output: &Output) -> Result<()> {
        let Some(saved) = &mut self.saved else {
            return Ok(());
        };
        let done = self.pipe.done();
        while let Some((_, cursor)) = saved.marks.front().filter(|(end, _)| *end <= done) {
            saved.written = *cursor;
            saved.marks.pop_front();
        }
        if saved.marks.is_empty() && output.buffer.is_empty() {
            saved.written = self.subscription.cursor();
        }
        saved.file.flushed(saved.written)
    }

    fn missed(&self, notice: &Notice) -> anyhow::Error {
        let unmet = self.options.count.map_or_else(String::new, |count| {
            let count = counted(count, "event");
            format!("; only {} of {count} came before", self.received)
        });
        fail(Status::Gap, format!("events were missed: {notice}{unmet}"))
    }

    fn lagged(&self) -> anyhow::Error {
        let how = match &self.options.cursor {
            Some(_) => "the same command goes on".into(),
            None => format!("go on with --after {}", self.subscription.cursor()),
        };
        fail(
            Status::Unreachable,
            format!("the subscription fell behind and was cut off, as --on-lag says: {how}"),
        )
    }
}

/// Waits until this time; for ever if there is none.
async fn reached(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Returns the result of `work` if it is ready now.
async fn now<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
