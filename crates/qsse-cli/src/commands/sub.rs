//! `qsse sub`: prints events.

use std::io::{self, BufWriter, ErrorKind};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::task::Poll;

use anyhow::{Result, anyhow};
use clap::{Args, ValueHint};
use qsse_client::{
    Client, Dialect, Filter, Outcome, Pattern, Start, Subscription, SubscriptionError,
};
use tokio::time::{Instant, sleep_until};

use super::{Stopped, close, stopped};
use crate::connect::{connect, lacking_in_go, report};
use crate::exit::{Status, fail, usage};
use crate::output::{Format, Output};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::text;

mod cursor;
mod start;

use cursor::CursorFile;
use start::{Lag, StartFlags};

/// Buffered output, written whenever no further event is ready.
const BUFFER_BYTES: usize = 64 * 1024;

/// Print the events of topics and patterns as they come
#[derive(Args)]
#[command(after_help = "\
Examples:
  qsse sub 'ride.*'                     everything below ride
  qsse sub people 'ride.*.start'        a topic and a pattern
  qsse sub --json --count 10 '*' | jq .data
  qsse sub --raw --earliest ride.7 > rides.txt
  qsse sub --last 1 'price.*'           the latest of each topic, then all that follow
  qsse sub --since 10m 'ride.*'         what was published in the last ten minutes, then all that follow
  qsse sub --json --cursor rides.at 'ride.*' >> rides.json      goes on where the last run stopped

A * in the middle stands for one segment, at the end for one or more. Quote patterns: a shell would take the * for file names.")]
pub(crate) struct Options {
    /// Topics or patterns; an event that several match comes once
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<Pattern>,
    /// End after this many events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print one JSON object a line
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Print the data and a newline
    #[arg(long)]
    raw: bool,
    /// With --raw, a NUL instead of the newline
    #[arg(short = '0', long = "null", requires = "raw")]
    null: bool,
    #[command(flatten)]
    start: StartFlags,
    /// Go on where the last run with this file stopped, and keep the position in it; the other flags for the beginning count while it is absent
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    cursor: Option<PathBuf>,
    /// What happens when the output is read too slowly
    #[arg(long, value_name = "POLICY", value_enum, default_value_t)]
    on_lag: Lag,
    /// End with status 9 when events were missed
    #[arg(long)]
    fail_on_gap: bool,
}

/// Why it ended.
enum End {
    Count,
    Stopped(Stopped),
    /// Nobody reads the output.
    Pipe,
    Error(anyhow::Error),
}

pub(crate) async fn run(options: Options, settings: &Settings) -> Result<Status> {
    let start = options.start.start();
    if start != Start::Live {
        let flags = "--earliest, --after, --since and --last";
        lacking_in_go(settings, &format!("past events: leave out {flags}"))?;
    }
    if options.on_lag != Lag::default() {
        lacking_in_go(settings, "choice of what happens: leave out --on-lag")?;
    }
    if options.cursor.is_some() {
        lacking_in_go(settings, "positions: leave out --cursor")?;
    }
    let kept = options.cursor.as_deref().map(CursorFile::open);
    let mut kept = kept.transpose()?;
    let saved = kept.as_ref().and_then(CursorFile::saved);
    let start = saved.map_or(start, Start::from);
    let signals = Signals::watch()?;
    let mut received = 0;
    let mut stop = pin!(stopped(&signals, settings));
    let subscribed = tokio::select! {
        biased;
        why = stop.as_mut() => Err(End::Stopped(why)),
        subscribed = subscribe(&options, settings, start) => subscribed.map_err(End::Error),
    };
    let end = match subscribed {
        Ok((client, subscription)) => {
            let run = Run {
                options: &options,
                signals: &signals,
                subscription,
                kept: kept.as_mut(),
                received: &mut received,
            };
            let end = run.receive(&client, settings, stop).await;
            close(&client).await;
            end
        }
        Err(end) => end,
    };
    let so_far = || {
        let got = text::counted(received, "event");
        options.count.map_or_else(
            || got.clone(),
            |count| format!("{got} of {}", text::thousands(count)),
        )
    };
    match end {
        End::Count | End::Pipe => Ok(Status::Done),
        End::Stopped(Stopped::Signal) if options.count.is_none() => Ok(Status::Done),
        End::Stopped(Stopped::Signal) => {
            eprintln!("qsse: interrupted after {}", so_far());
            Ok(Status::Interrupted)
        }
        End::Stopped(Stopped::Timeout) => Err(fail(
            Status::Unreachable,
            format!("time is up after {}", so_far()),
        )),
        End::Error(error) => Err(error),
    }
}

impl Options {
    fn format(&self, settings: &Settings) -> Format {
        if self.json {
            Format::Json
        } else if self.raw {
            Format::Raw(if self.null { 0 } else { b'\n' })
        } else {
            Format::Text {
                colours: text::coloured(settings, &io::stdout()),
            }
        }
    }
}

/// Connects, subscribes, and says how that began.
async fn subscribe(
    options: &Options,
    settings: &Settings,
    start: Start,
) -> Result<(Client, Subscription)> {
    let filter = Filter::new(options.patterns.iter().cloned())?;
    let client = connect(settings)?.await?;
    if options.cursor.is_some() && client.dialect() == Dialect::Go {
        return Err(usage(
            "--cursor: the server speaks the Go library's protocol, which has no positions",
        ));
    }
    let subscribe = client.subscribe(&filter).start(start);
    let mut subscription = subscribe.on_lag(options.on_lag.into()).await?;
    let outcome = subscription.outcome().await;
    let at = subscription.cursor();
    let began = match (client.dialect(), outcome) {
        (Dialect::Go, _) => ", as far as the Go library's protocol tells".into(),
        (_, Some(Outcome::Live)) => ", live".into(),
        (_, Some(Outcome::Resumed)) => format!(", resumed after {at}"),
        (_, Some(Outcome::Gap)) => format!(", resumed after {at} with a gap"),
        (_, Some(Outcome::Reset)) => format!(", reset: {at} is not of the server's log"),
        _ => String::new(),
    };
    eprintln!(
        "subscribed to {} at {}{began}",
        subscription.filter(),
        settings.text("server")
    );
    Ok((client, subscription))
}

/// A subscription that is printed.
struct Run<'r> {
    options: &'r Options,
    signals: &'r Signals,
    subscription: Subscription,
    kept: Option<&'r mut CursorFile>,
    received: &'r mut u64,
}

impl Run<'_> {
    /// Prints until something ends it.
    async fn receive(
        mut self,
        client: &Client,
        settings: &Settings,
        stop: Pin<&mut impl Future<Output = Stopped>>,
    ) -> End {
        let reporter = client.clone();
        let reporter = tokio::spawn(async move { report(&reporter).await });
        let out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
        let mut output = Output::new(self.options.format(settings), out);
        let end = tokio::select! {
            biased;
            why = stop => Ok(End::Stopped(why)),
            end = self.print(&mut output) => end,
        };
        reporter.abort();
        let end = match (end, output.flush()) {
            (Ok(end), Ok(())) => self.flushed().err().map_or(end, End::Error),
            (Err(error), _) | (_, Err(error)) if error.kind() == ErrorKind::BrokenPipe => End::Pipe,
            (Err(error), _) | (_, Err(error)) => {
                End::Error(anyhow!(error).context("cannot write to standard output"))
            }
        };
        match (end, self.kept.map_or(Ok(()), CursorFile::save)) {
            (End::Error(error), _) | (_, Err(error)) => End::Error(error),
            (end, Ok(())) => end,
        }
    }

    async fn print<W: io::Write>(&mut self, output: &mut Output<W>) -> io::Result<End> {
        loop {
            if self.is_due() {
                output.flush()?;
                if let Err(error) = self.flushed() {
                    return Ok(End::Error(error));
                }
            }
            let item = match now(self.subscription.next()).await {
                Some(item) => item,
                None => {
                    output.flush()?;
                    if let Err(error) = self.flushed() {
                        return Ok(End::Error(error));
                    }
                    let due = self.kept.as_ref().map(|kept| kept.due());
                    tokio::select! {
                        biased;
                        item = self.subscription.next() => item,
                        // What moves the position need not be an event.
                        () = reached(due) => continue,
                    }
                }
            };
            match item {
                Some(Ok(event)) => {
                    output.event(&event)?;
                    *self.received += 1;
                    if self.options.count == Some(*self.received) {
                        return Ok(End::Count);
                    }
                    if self.signals.raised() {
                        return Ok(End::Stopped(Stopped::Signal));
                    }
                }
                Some(Err(news)) if !news.is_terminal() => {
                    output.news(&news)?;
                    if self.options.fail_on_gap && news.is_loss() {
                        return Ok(End::Error(self.missed(&news)));
                    }
                }
                Some(Err(SubscriptionError::Lagged)) => return Ok(End::Error(self.lagged())),
                Some(Err(error)) => return Ok(End::Error(error.into())),
                None => return Ok(End::Error(anyhow!("the subscription has ended"))),
            }
        }
    }

    fn is_due(&self) -> bool {
        (self.kept.as_ref()).is_some_and(|kept| Instant::now() >= kept.due())
    }

    /// All that was printed is flushed.
    fn flushed(&mut self) -> Result<()> {
        match &mut self.kept {
            Some(kept) => kept.flushed(self.subscription.cursor()),
            None => Ok(()),
        }
    }

    fn missed(&self, news: &SubscriptionError) -> anyhow::Error {
        let received = *self.received;
        let unmet = self.options.count.map_or_else(String::new, |count| {
            format!("; only {received} of {count} events came before")
        });
        fail(Status::Gap, format!("events were missed: {news}{unmet}"))
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

/// Waits until then; for ever if there is no such time.
async fn reached(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// What `work` gives if it need not wait.
async fn now<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
