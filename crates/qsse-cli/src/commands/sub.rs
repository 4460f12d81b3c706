//! `qsse sub`: prints events.

use anyhow::Result;
use qsse_client::{Client, Dialect, Filter, Outcome, Start, Subscription};
use tracing::Level;

use crate::connect::{connect, lacking_in_go};
use crate::console;
use crate::exit::{Status, fail, usage};
use crate::settings::Settings;
use crate::stop::{Stop, Stopped, never_connected};
use crate::text;

mod cursor;
mod options;
mod printing;
mod start;

use cursor::CursorFile;
pub(crate) use options::Options;
use printing::{End, Printing};
use start::Lag;

pub(crate) async fn run(options: Options, settings: &Settings) -> Result<Status> {
    let start = options.start.start();
    if start != Start::Live {
        let flags = "--earliest, --after, --since and --last";
        lacking_in_go(settings, &format!("past events: leave out {flags}"))?;
    }
    if options.on_lag != Lag::default() {
        lacking_in_go(settings, "lag policies: leave out --on-lag")?;
    }
    if options.cursor.is_some() {
        lacking_in_go(settings, "positions: leave out --cursor")?;
    }
    let kept = options.cursor.as_deref().map(CursorFile::open);
    let mut kept = kept.transpose()?;
    let saved = kept.as_ref().and_then(CursorFile::saved);
    let start = saved.map_or(start, Start::from);
    let stop = Stop::watch(settings)?;
    let (end, received) = match open(&options, settings, start, &stop).await {
        Ok((client, subscription)) => {
            let printing = Printing::new(&options, &stop, subscription, kept.as_mut());
            printing.run(&client, settings).await
        }
        Err(end) => (end, 0),
    };
    status(end, options.count, received)
}

/// Connects and subscribes, unless something ends it first.
async fn open(
    options: &Options,
    settings: &Settings,
    start: Start,
    stop: &Stop,
) -> Result<(Client, Subscription), End> {
    let connected = async { connect(settings)?.await.map_err(anyhow::Error::from) };
    let client = tokio::select! {
        biased;
        why = stop.wait() => Err(match why {
            Stopped::Timeout => End::Error(never_connected(settings)),
            Stopped::Signal => End::Stopped(why),
        }),
        client = connected => client.map_err(End::Error),
    }?;
    tokio::select! {
        biased;
        why = stop.wait() => Err(match why {
            Stopped::Timeout => End::Error(not_confirmed(settings)),
            Stopped::Signal => End::Stopped(why),
        }),
        subscribed = subscribe(client, options, settings, start) => subscribed.map_err(End::Error),
    }
}

fn status(end: End, count: Option<u64>, received: u64) -> Result<Status> {
    let so_far = || {
        let events = text::counted(received, "event");
        match count {
            Some(count) => format!("{events} of {}", text::thousands(count)),
            None => events,
        }
    };
    match end {
        End::Count | End::Pipe => Ok(Status::Done),
        End::Stopped(Stopped::Signal) if count.is_none() => Ok(Status::Done),
        End::Stopped(Stopped::Signal) => {
            let so_far = so_far();
            console::message(Level::INFO, format_args!("interrupted after {so_far}"));
            Ok(Status::Interrupted)
        }
        End::Stopped(Stopped::Timeout) => Err(fail(
            Status::Unreachable,
            format!("time is up after {}", so_far()),
        )),
        End::Error(error) => Err(error),
    }
}

fn not_confirmed(settings: &Settings) -> anyhow::Error {
    let server = settings.text("server");
    fail(
        Status::Unreachable,
        format!("time is up: {server} has not confirmed the subscription"),
    )
}

/// Subscribes, and reports how it started.
async fn subscribe(
    client: Client,
    options: &Options,
    settings: &Settings,
    start: Start,
) -> Result<(Client, Subscription)> {
    let filter = Filter::new(options.patterns.iter().cloned())?;
    if options.cursor.is_some() && client.dialect() == Dialect::Go {
        return Err(usage(
            "--cursor: the server speaks the Go library's protocol, which has no positions",
        ));
    }
    let subscribe = client.subscribe(&filter).start(start);
    let mut subscription = subscribe.on_lag(options.on_lag.into()).await?;
    let outcome = subscription.outcome().await;
    let at = subscription.cursor();
    let from = match start {
        Start::After(_) => "resumed",
        _ => "beginning",
    };
    let began = match (client.dialect(), outcome) {
        (Dialect::Go, _) => ", as far as the Go library's protocol tells".into(),
        (_, Some(Outcome::Live)) => ", live".into(),
        (_, Some(Outcome::Resumed)) => format!(", {from} after {at}"),
        (_, Some(Outcome::Gap)) => format!(", {from} after {at} with a gap"),
        (_, Some(Outcome::Reset)) => format!(", reset: {at} is not of the server's log"),
        _ => String::new(),
    };
    console::tell(format_args!(
        "subscribed to {} at {}{began}",
        subscription.filter(),
        settings.text("server")
    ));
    Ok((client, subscription))
}
