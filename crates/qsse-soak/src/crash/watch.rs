//! Subscribers of all kinds: handlers over several filters, plain subscriptions, and one that comes
//! and goes with its cursor.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use qsse_client::{
    Client, Cursor, Filter, Handlers, HandlersHandle, IntoFilter as _, Item, ServerUrl,
    Subscription,
};
use qsse_testing::rng::Rng;
use tokio::task::JoinSet;

use super::judge::Judge;
use super::setup::{END, impatient, until};

/// Those that watch.
pub(super) struct Watchers {
    handlers: Vec<HandlersHandle>,
    tasks: JoinSet<Result<()>>,
}

/// Begins to watch; everything that is published from now on.
pub(super) async fn start(url: &ServerUrl, judge: &Arc<Judge>) -> Result<Watchers> {
    let mut handlers = Vec::new();
    let (first, second) = (connect(url).await?, connect(url).await?);
    for (client, name, patterns) in [
        (&first, "everything", &["load.*"][..]),
        (&second, "singles", &["load.single.*"]),
        (&second, "a quarter", &["load.*.*.3"]),
        (&second, "several", &["load.keyed.*", "load.plain.*.1"]),
    ] {
        let watcher = judge.watcher(name, filter(patterns)?);
        let [arrived, noticed, heard] = [judge, judge, judge].map(Arc::clone);
        let running = Handlers::new()
            .on(filter(patterns)?, move |event| {
                arrived.arrive(watcher, &event);
                std::future::ready(())
            })
            .on_notice(move |notice| {
                noticed.notice(watcher, &notice);
                std::future::ready(())
            })
            .on_error(move |error| {
                heard.complain(error.to_string());
                std::future::ready(())
            });
        handlers.push(client.handle(running).await?);
    }
    let mut tasks = JoinSet::new();
    let ordered = filter(&["load.ordered.*"])?;
    let watcher = judge.watcher("in order", ordered.clone());
    let subscription = first.subscribe(&ordered).await?;
    tasks.spawn(read(subscription, Arc::clone(judge), watcher));
    let some = filter(&["load.*.*.1"])?;
    let watcher = judge.watcher("comes and goes", some.clone());
    let subscription = connect(url).await?.subscribe(&some).await?;
    let comes = come_and_go(url.clone(), some, subscription, Arc::clone(judge), watcher);
    tasks.spawn(comes);
    Ok(Watchers { handlers, tasks })
}

/// Publishes the end, and waits until everybody has seen it.
pub(super) async fn finish(url: &ServerUrl, watchers: Watchers, judge: &Arc<Judge>) -> Result<()> {
    let client = connect(url).await?;
    client.publish(END, "").await?;
    until("the last event at every handler", || judge.is_done()).await?;
    for handlers in watchers.handlers {
        handlers.stop().await;
    }
    for ended in watchers.tasks.join_all().await {
        ended?;
    }
    Ok(())
}

async fn connect(url: &ServerUrl) -> Result<Client> {
    let client = Client::connect(url.clone()).config(impatient());
    client.await.context("a subscriber cannot connect")
}

/// These, and the end.
fn filter(patterns: &[&str]) -> Result<Filter> {
    let all: Vec<_> = patterns.iter().copied().chain([END]).collect();
    Ok(all.into_filter()?)
}

async fn read(mut subscription: Subscription, judge: Arc<Judge>, watcher: usize) -> Result<()> {
    while read_one(&mut subscription, &judge, watcher).await? {}
    Ok(())
}

/// False after the last event.
async fn read_one(subscription: &mut Subscription, judge: &Judge, watcher: usize) -> Result<bool> {
    match subscription.next_item().await {
        Some(Ok(Item::Event(event))) => {
            judge.arrive(watcher, &event);
            Ok(event.topic().as_str() != END)
        }
        Some(Ok(Item::Notice(notice))) => {
            judge.notice(watcher, &notice);
            Ok(true)
        }
        Some(Err(error)) => {
            judge.complain(format!("watcher {watcher}: {error}"));
            Ok(false)
        }
        None => anyhow::bail!("a subscription ended early"),
    }
}

/// A client that ends after a while, and another one that goes on from its cursor.
async fn come_and_go(
    url: ServerUrl,
    filter: Filter,
    mut subscription: Subscription,
    judge: Arc<Judge>,
    watcher: usize,
) -> Result<()> {
    let mut rng = Rng::new(1);
    loop {
        let until = tokio::time::sleep(rng.duration(Duration::ZERO, Duration::from_secs(3)));
        tokio::pin!(until);
        loop {
            tokio::select! {
                more = read_one(&mut subscription, &judge, watcher) => {
                    if !more? {
                        return Ok(());
                    }
                }
                () = &mut until => break,
            }
        }
        let cursor = subscription.cursor();
        drop(subscription);
        subscription = come_back(&url, &filter, cursor).await;
    }
}

/// The server may be away just now.
async fn come_back(url: &ServerUrl, filter: &Filter, cursor: Cursor) -> Subscription {
    loop {
        let subscription = async {
            let client = connect(url).await?;
            anyhow::Ok(client.subscribe(filter).start(cursor).await?)
        };
        match subscription.await {
            Ok(subscription) => return subscription,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
