//! Subscribers that receive, or only stay.

use anyhow::Result;
use futures_util::future::try_join_all;

use super::dialer::{Dialer, Subscriber, endpoint};
use super::talk::{fail, ready};
use super::tally::Tallies;
use crate::work::{Counted, Load};

/// Connects at once at most this many.
const AT_ONCE: usize = 32;

/// Counts what comes in a window.
pub(super) async fn count(load: &Load) -> Result<Counted> {
    let tallies = receiving(load).await?;
    ready().await;
    Ok(tallies.count(load).await)
}

/// Stays until the judge has seen enough.
pub(super) async fn hold(load: &Load) -> Result<Counted> {
    receiving(load).await?;
    ready().await;
    Ok(Counted::default())
}

/// Starts all subscribers.
async fn receiving(load: &Load) -> Result<Tallies> {
    let tallies = Tallies::new(load)?;
    for (subscriber, tally) in subscribers(load).await?.into_iter().zip(tallies.iter()) {
        let tally = tally.clone();
        tokio::spawn(async move {
            if let Err(error) = subscriber.receive(tally).await {
                fail(&error);
            }
        });
    }
    Ok(tallies)
}

async fn subscribers(load: &Load) -> Result<Vec<Subscriber>> {
    let endpoint = endpoint(load)?;
    let dialer = Dialer::new(load, endpoint.as_ref())?;
    let topic = |number: usize| match load.distinct {
        true => format!("bench.{number}"),
        false => "bench".to_owned(),
    };
    let mut subscribers = Vec::with_capacity(load.clients);
    for first in (0..load.clients).step_by(AT_ONCE) {
        let numbers = first..load.clients.min(first + AT_ONCE);
        let some = numbers.map(|number| {
            let (dialer, topic) = (&dialer, topic(number));
            async move { dialer.subscribe(&topic).await }
        });
        subscribers.extend(try_join_all(some).await?);
    }
    Ok(subscribers)
}
