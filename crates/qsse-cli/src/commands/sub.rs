//! `qsse sub`: prints events.

use std::io::{self, BufWriter, ErrorKind};
use std::pin::{Pin, pin};
use std::task::Poll;

use anyhow::{Result, anyhow};
use clap::Args;
use qsse_client::{Dialect, EventId, Filter, Pattern, Start, Subscription, SubscriptionError};

use super::{Stopped, close, stopped};
use crate::connect::{connect, lacking_in_go, report};
use crate::exit::{Status, fail, usage};
use crate::output::{Format, Output};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::text;

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
    /// Begin with the oldest event that the server keeps
    #[arg(long, conflicts_with = "after")]
    earliest: bool,
    /// Begin after the event with this id
    #[arg(long, value_name = "ID")]
    after: Option<EventId>,
    /// End with status 9 when events were missed
    #[arg(long)]
    fail_on_gap: bool,
    /// Not in this version
    #[arg(long, value_name = "TIME", hide = true)]
    since: Option<String>,
    /// Not in this version
    #[arg(long, value_name = "N", hide = true)]
    last: Option<String>,
    /// Not in this version
    #[arg(long, value_name = "FILE", hide = true)]
    cursor: Option<String>,
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
    options.refuse_what_is_not_there()?;
    if options.start() != Start::Live {
        lacking_in_go(settings, "past events: leave out --earliest and --after")?;
    }
    let signals = Signals::watch()?;
    let mut received = 0;
    let mut stop = pin!(stopped(&signals, settings));
    let end = receive(&options, settings, &signals, stop.as_mut(), &mut received).await;
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
    fn refuse_what_is_not_there(&self) -> Result<()> {
        let asked = [
            ("since", &self.since),
            ("last", &self.last),
            ("cursor", &self.cursor),
        ];
        match asked.iter().find(|(_, value)| value.is_some()) {
            Some((flag, _)) => Err(usage(format!(
                "--{flag}: this version has none yet; --earliest and --after ID are there"
            ))),
            None => Ok(()),
        }
    }

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

    fn start(&self) -> Start {
        match self.after {
            Some(id) => Start::After(id),
            None if self.earliest => Start::Earliest,
            None => Start::Live,
        }
    }
}

/// Connects, subscribes and prints until something ends it.
async fn receive(
    options: &Options,
    settings: &Settings,
    signals: &Signals,
    mut stop: Pin<&mut impl Future<Output = Stopped>>,
    received: &mut u64,
) -> End {
    let subscribed = async {
        let filter = Filter::new(options.patterns.iter().cloned())?;
        let client = connect(settings)?.await?;
        let subscription = client.subscribe(&filter).start(options.start()).await?;
        anyhow::Ok((client, subscription))
    };
    let subscribed = tokio::select! {
        biased;
        why = stop.as_mut() => return End::Stopped(why),
        subscribed = subscribed => subscribed,
    };
    let (client, mut subscription) = match subscribed {
        Ok(subscribed) => subscribed,
        Err(error) => return End::Error(error),
    };
    let unconfirmed = match client.dialect() {
        Dialect::Go => ", as far as the Go library's protocol tells",
        _ => "",
    };
    eprintln!(
        "subscribed to {} at {}{unconfirmed}",
        subscription.filter(),
        settings.text("server")
    );
    let reporter = client.clone();
    let reporter = tokio::spawn(async move { report(&reporter).await });
    let out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
    let mut output = Output::new(options.format(settings), out);
    let end = tokio::select! {
        biased;
        why = stop => Ok(End::Stopped(why)),
        end = print(options, &mut subscription, &mut output, signals, received) => end,
    };
    reporter.abort();
    let end = match (end, output.flush()) {
        (Ok(end), Ok(())) => end,
        (Err(error), _) | (_, Err(error)) if error.kind() == ErrorKind::BrokenPipe => End::Pipe,
        (Err(error), _) | (_, Err(error)) => {
            End::Error(anyhow!(error).context("cannot write to standard output"))
        }
    };
    close(&client).await;
    end
}

async fn print<W: io::Write>(
    options: &Options,
    subscription: &mut Subscription,
    output: &mut Output<W>,
    signals: &Signals,
    received: &mut u64,
) -> io::Result<End> {
    loop {
        let item = match now(subscription.next()).await {
            Some(item) => item,
            None => {
                output.flush()?;
                subscription.next().await
            }
        };
        match item {
            Some(Ok(event)) => {
                output.event(&event)?;
                *received += 1;
                if options.count == Some(*received) {
                    return Ok(End::Count);
                }
                if signals.raised() {
                    return Ok(End::Stopped(Stopped::Signal));
                }
            }
            Some(Err(news)) if !news.is_terminal() => {
                output.news(&news)?;
                if options.fail_on_gap && news.is_loss() {
                    return Ok(End::Error(gap(options, *received, &news)));
                }
            }
            Some(Err(error)) => return Ok(End::Error(error.into())),
            None => return Ok(End::Error(anyhow!("the subscription has ended"))),
        }
    }
}

fn gap(options: &Options, received: u64, news: &SubscriptionError) -> anyhow::Error {
    let unmet = options.count.map_or_else(String::new, |count| {
        format!("; only {received} of {count} events came before")
    });
    fail(Status::Gap, format!("events were missed: {news}{unmet}"))
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
