//! `qsse pub`: publishes one event or many.

use anyhow::Result;
use qsse_client::{Client, Dialect, Pattern, PublishError, Topic};

use crate::connect::{connect, lacking_in_go, publisher, report};
use crate::exit::{Status, fail, usage};
use crate::settings::Settings;
use crate::stop::{Stop, Stopped, never_connected, print_result};

mod lines;
mod name;
mod options;
mod outcome;
mod stream;

pub(crate) use options::Options;
use outcome::{Outcome, ended};

pub(crate) async fn run(options: Options, settings: &Settings) -> Result<Status> {
    options.check_key()?;
    let topic = options.topic.as_deref().unwrap_or_default();
    let is_name = options.topic.is_some() && !options.matching;
    if is_name && let Err(error) = Topic::new(topic) {
        let hint = match Pattern::new(topic) {
            Ok(_) => "; --matching publishes to every topic that a pattern matches",
            Err(_) => "",
        };
        return Err(usage(format!("{topic:?}: {error}{hint}")));
    }
    if options.matching
        && let Err(error) = Pattern::new(topic)
    {
        return Err(usage(format!("{topic:?}: {error}")));
    }
    lacking_in_go(settings, "publishing")?;
    let stop = Stop::watch(settings)?;
    let one = tokio::select! {
        biased;
        why = stop.wait() => return match why {
            Stopped::Signal => Ok(Status::Interrupted),
            Stopped::Timeout => Err(fail(Status::Unreachable, "time is up, and the input has not ended")),
        },
        one = options.one_event() => one?,
    };
    let connect = match options.event_key {
        Some(_) => publisher(settings, name::of_this_user)?,
        None => connect(settings)?,
    };
    let client = tokio::select! {
        biased;
        why = stop.wait() => return match why {
            Stopped::Signal => Ok(Status::Interrupted),
            Stopped::Timeout => Err(never_connected(settings)),
        },
        client = connect => client?,
    };
    if client.dialect() == Dialect::Go {
        // This must be before the input is read.
        return Err(PublishError::Unsupported.into());
    }
    let reporter = client.clone();
    let reporter = tokio::spawn(async move { report(&reporter).await });
    let outcome = match one {
        Some(data) => publish_one(&client, &options, &data, &stop).await,
        None => stream::publish(&client, &options, settings, &stop).await,
    };
    reporter.abort();
    let printed = match options.shown(&outcome) {
        Some(line) => print_result(line, &stop).await,
        None => Ok(()),
    };
    match outcome.error.or(printed.err()) {
        Some(error) => Err(error),
        None if outcome.unacknowledged > 0 => Ok(Status::Unacknowledged),
        None => Ok(Status::Done),
    }
}

async fn publish_one(client: &Client, options: &Options, data: &[u8], stop: &Stop) -> Outcome {
    let publish = async {
        let (topic, kind) = (options.topic(), options.kind());
        if options.matching {
            let mut publish = client.publish_matching(topic, data).kind(kind.as_str());
            if let Some(key) = &options.event_key {
                publish = publish.key(key);
            }
            let published = publish.await?;
            return Ok((published.count(), published.first(), published.last()));
        }
        let mut publish = client.publish(topic, data).kind(kind.as_str());
        if let Some(key) = &options.event_key {
            publish = publish.key(key);
        }
        let id = publish.await?;
        anyhow::Ok((1, Some(id), Some(id)))
    };
    let result = tokio::select! {
        biased;
        why = stop.wait() => Err(ended(why)),
        result = publish => result,
    };
    match result {
        Ok((count, first, last)) => Outcome {
            count,
            first,
            last,
            ..Outcome::default()
        },
        Err(error) => Outcome {
            unacknowledged: 1,
            error: Some(error),
            ..Outcome::default()
        },
    }
}
