//! Publishers: each publish and its outcome.

use std::rc::Rc;
use std::time::Duration;

use qsse_client::{Code, PublishError};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use crate::model::{To, Told, payload};
use crate::program::Rights;
use crate::world::{Batch, World, ordered};

/// The longest that any publish may take, waiting for connections included.
const PATIENCE: Duration = Duration::from_secs(600);

/// Publishes one event and waits for the answer.
pub(crate) fn single(
    world: &Rc<World>,
    place: usize,
    to: To,
    size: usize,
    key: Option<u8>,
) -> JoinHandle<()> {
    let now = world.now_ms();
    let number = world
        .model
        .borrow_mut()
        .publish(place, to.clone(), size, now);
    world.model.borrow_mut().publishes[number].key = key.map(|key| (place, key));
    let world = Rc::clone(world);
    spawn_local(async move {
        let told = timeout(PATIENCE, async {
            let (client, _) = world.client(place).await;
            let data = payload(number, size);
            match to {
                To::Topic(topic) => {
                    let publish = client.publish(topic, data);
                    let publish = match key {
                        Some(key) => publish.key([key]),
                        None => publish,
                    };
                    publish.await.map(|id| Some((id, id)))
                }
                To::Pattern(pattern) => {
                    let published = client.publish_matching(pattern, data).await;
                    published.map(|published| published.first().zip(published.last()))
                }
            }
        });
        let told = match told.await {
            Ok(Ok(ids)) => Told::Acked(ids),
            Ok(Err(error)) => judge(&error),
            Err(_) => {
                return world.fault(format!("publish {number} takes longer than {PATIENCE:?}"));
            }
        };
        let now = world.now_ms();
        world.model.borrow_mut().told(number, told, now);
    })
}

/// Hands events to an ordered publisher of a client.
pub(crate) fn send(world: &Rc<World>, place: usize, exactly_once: bool, batch: Batch) {
    let queue = world.publisher(place, exactly_once, || {
        let (queue, batches) = mpsc::unbounded_channel();
        let world = Rc::clone(world);
        spawn_local(async move { run(world, place, exactly_once, batches).await });
        queue
    });
    world.begin();
    if queue.send(batch).is_err() {
        world.end();
    }
}

async fn run(
    world: Rc<World>,
    place: usize,
    exactly_once: bool,
    mut batches: mpsc::UnboundedReceiver<Batch>,
) {
    let (client, generation) = world.client(place).await;
    let publisher = ordered(&client, exactly_once);
    let mut failed = !exactly_once;
    drop(client);
    let name = world.number();
    let mut place_of = 0;
    let mut before = publisher.progress();
    while let Some(batch) = batches.recv().await {
        let mut waiting = Vec::new();
        let first = world.model.borrow().publishes.len();
        for _ in 0..batch.count {
            let (now, to) = (world.now_ms(), To::Topic(batch.topic.clone()));
            let number = world.model.borrow_mut().publish(place, to, batch.size, now);
            world.model.borrow_mut().publishes[number].ordered = Some((name, place_of));
            place_of += 1;
            let sent = publisher.send(&batch.topic, payload(number, batch.size));
            match timeout(PATIENCE, sent).await {
                Ok(Ok(())) => waiting.push(number),
                Ok(Err(error)) => {
                    // It was not sent; those before it are settled.
                    settle(&world, &publisher, &mut before, &mut waiting);
                    let why = Told::Refused(format!("not sent: {error}"));
                    let now = world.now_ms();
                    world.model.borrow_mut().told(number, why, now);
                }
                Err(_) => world.fault(format!("sending {number} takes longer than {PATIENCE:?}")),
            }
        }
        match timeout(PATIENCE, publisher.flush()).await {
            Ok(Ok(_)) => {}
            // Its order ends with the first failure; those behind it say nothing new.
            Ok(Err(error)) if !failed => {
                failed = true;
                let gone = world.generation(place) != generation;
                if !gone && !excused(&world, first, &error) {
                    world.fault(format!(
                        "a publisher of client {place} that sends exactly once has failed: {error:?}"
                    ));
                }
            }
            Ok(Err(_)) => {}
            Err(_) => world.fault(format!(
                "a flush of client {place} takes longer than {PATIENCE:?}"
            )),
        }
        settle(&world, &publisher, &mut before, &mut waiting);
        world.end();
    }
}

/// What became of those that were sent: some were acknowledged, those behind them were refused or
/// are unknown.
fn settle(
    world: &World,
    publisher: &qsse_client::Publisher,
    before: &mut qsse_client::PublishProgress,
    waiting: &mut Vec<usize>,
) {
    let now = publisher.progress();
    let acknowledged = now.acknowledged.saturating_sub(before.acknowledged) as usize;
    let refused = now.refused.saturating_sub(before.refused) as usize;
    let lost = now.lost.saturating_sub(before.lost) as usize;
    if acknowledged + refused + lost != waiting.len() {
        world.fault(format!(
            "of {} sent, {acknowledged} are acknowledged, {refused} refused, {lost} lost",
            waiting.len()
        ));
    }
    let ms = world.now_ms();
    for (at, number) in waiting.drain(..).enumerate() {
        let told = if at < acknowledged {
            Told::Taken
        } else if lost == 0 && at < acknowledged + refused {
            Told::Refused("by a publisher".to_owned())
        } else {
            Told::Unknown
        };
        world.model.borrow_mut().told(number, told, ms);
    }
    *before = now;
}

/// Whether something happened since a publish that may end a publisher which sends exactly once. A
/// server that drains, or ends otherwise without losing anything, is none of that.
fn excused(world: &World, first: usize, error: &PublishError) -> bool {
    let model = world.model.borrow();
    let Some(publish) = model.publishes.get(first) else {
        return true;
    };
    let lost = model.losses > 0 && !model.is_lossless();
    let unknown = lost || model.setbacks > 0 || model.clock_jumped;
    let denied = |rights: Rights| match &publish.to {
        To::Topic(topic) => !rights.may_publish(topic),
        To::Pattern(_) => true,
    };
    let denied = model.may(publish.client, publish.begun, denied);
    let late = world.now_ms() >= publish.begun_ms + world.setting.publish_wait_ms;
    let outcome_unknown = matches!(error, PublishError::OutcomeUnknown { .. });
    world.hurt.get() || denied || late || outcome_unknown && unknown
}

fn judge(error: &PublishError) -> Told {
    match error {
        PublishError::AckLost { .. }
        | PublishError::OutcomeUnknown { .. }
        | PublishError::Ended { .. }
        | PublishError::Protocol(_)
        | PublishError::NoId => Told::Unknown,
        PublishError::Refused { code, .. } if *code == Code::NOT_AUTHORISED => Told::Denied,
        error => Told::Refused(error.to_string()),
    }
}
