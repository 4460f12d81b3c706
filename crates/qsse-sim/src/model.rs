//! The model: every publish with its outcome, and every event that each reader saw.

mod kept;
mod logs;
mod reading;
mod seen;
mod tokens;

use std::collections::BTreeMap;

use qsse_client::{Event, EventId, Gap, GapReason};
use qsse_testing::rng::Rng;
use qsse_topic::{Filter, Pattern, TopicRef};

use crate::program::{Lag, Rights, Setting, StoreKind, TOPICS};

pub(crate) use logs::Setback;
pub(crate) use reading::{Began, Reading, Stay, ToldGap};

use logs::{Log, Loss};
use tokens::Tokens;

/// Everything known of a run.
pub(crate) struct Model {
    pub(crate) setting: Setting,
    /// What was found to be wrong.
    pub(crate) faults: Vec<String>,
    pub(crate) publishes: Vec<Publish>,
    pub(crate) events: BTreeMap<EventId, Known>,
    /// What each publish became on a topic.
    pub(crate) became: BTreeMap<(usize, String), EventId>,
    pub(crate) readings: Vec<Reading>,
    /// The last one is the one there is.
    logs: Vec<Log>,
    /// By place.
    tokens: Vec<Tokens>,
    /// Ends so far that were not clean.
    pub(crate) losses: u64,
    /// Copies that were put back, and damages.
    pub(crate) setbacks: u64,
    lossy: Vec<Loss>,
    /// Something may be lost in the middle: by an end that was not clean while events were told
    /// before they were synced, or by damage.
    pub(crate) unclean: bool,
    pub(crate) clock_jumped: bool,
    /// Something happened that may have cost a connection.
    pub(crate) disturbed: bool,
    /// The disk was full: what retention removed may then be known only for all topics together.
    pub(crate) was_full: bool,
    pub(crate) seen: u64,
    pub(crate) news: u64,
    /// Of everything, in order.
    pub(crate) hash: u64,
    moment: u64,
}

/// One publish.
pub(crate) struct Publish {
    pub(crate) client: usize,
    pub(crate) to: To,
    /// Bytes of data.
    pub(crate) size: u64,
    pub(crate) told: Told,
    pub(crate) key: Option<(usize, u8)>,
    /// Which publisher, and its how manyeth.
    pub(crate) ordered: Option<(usize, usize)>,
    /// Before what else.
    pub(crate) begun: u64,
    pub(crate) begun_ms: u64,
    pub(crate) told_ms: u64,
    /// The moment of that.
    pub(crate) settled: u64,
    /// Of [`Model::losses`], when it began and when it was told.
    pub(crate) losses: (u64, u64),
    /// The same of [`Model::setbacks`].
    pub(crate) setbacks: (u64, u64),
}

#[derive(Clone, Debug)]
pub(crate) enum To {
    Topic(String),
    Pattern(String),
}

/// What a publisher was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Waits,
    /// These ids; none, if it reached no topic.
    Acked(Option<(EventId, EventId)>),
    /// It was taken, without its id.
    Taken,
    /// It was not and will not be published.
    Refused(String),
    /// As refused: it may not be published by this client.
    Denied,
    Unknown,
}

/// What is known of an event.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) publish: Option<usize>,
    pub(crate) topic: Option<String>,
    pub(crate) time: Option<u64>,
}

impl Model {
    pub(crate) fn new(setting: Setting) -> Self {
        Self {
            setting,
            faults: Vec::new(),
            publishes: Vec::new(),
            events: BTreeMap::new(),
            became: BTreeMap::new(),
            readings: Vec::new(),
            logs: Vec::new(),
            tokens: Tokens::all(),
            losses: 0,
            setbacks: 0,
            lossy: Vec::new(),
            unclean: false,
            clock_jumped: false,
            disturbed: false,
            was_full: false,
            seen: 0,
            news: 0,
            hash: 0,
            moment: 0,
        }
    }

    pub(crate) fn fault(&mut self, text: impl Into<String>) {
        let text = text.into();
        crate::tell(|| format!("WRONG: {text}"));
        if self.faults.len() < 20 {
            self.faults.push(text);
        }
    }

    /// A moment later than all before.
    pub(crate) fn moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    fn absorb(&mut self, word: u64) {
        self.hash = Rng::new(self.hash.rotate_left(17) ^ word).next_u64();
    }
}

/// Publishing.
impl Model {
    pub(crate) fn publish(&mut self, client: usize, to: To, size: usize, now_ms: u64) -> usize {
        let begun = self.moment();
        self.publishes.push(Publish {
            client,
            to,
            size: size as u64,
            told: Told::Waits,
            key: None,
            ordered: None,
            begun,
            begun_ms: now_ms,
            told_ms: 0,
            settled: u64::MAX,
            losses: (self.losses, 0),
            setbacks: (self.setbacks, 0),
        });
        self.publishes.len() - 1
    }

    /// What the publisher was told.
    pub(crate) fn told(&mut self, number: usize, told: Told, now_ms: u64) {
        let settled = self.moment();
        self.absorb(number as u64);
        crate::tell(|| {
            format!(
                "    {now_ms} ms: publish {number} ({:?}) is told {told:?}",
                self.publishes[number].to
            )
        });
        if matches!(told, Told::Refused(_) | Told::Denied) {
            let became = self.became_of(number).next();
            let became = became.map(|((_, topic), id)| format!("{id} on {topic}"));
            if let Some(became) = became {
                self.fault(format!(
                    "publish {number} became {became}, and was then refused: {told:?}"
                ));
            }
        }
        if told == Told::Denied {
            self.denied(number);
        }
        if let Told::Acked(Some((first, last))) = &told {
            self.acknowledged(number, *first, *last);
        }
        let (losses, setbacks) = (self.losses, self.setbacks);
        let publish = &mut self.publishes[number];
        (publish.told, publish.told_ms, publish.losses.1) = (told, now_ms, losses);
        (publish.settled, publish.setbacks.1) = (settled, setbacks);
    }

    /// A publish that is denied had no right all the time, on one of the topics at least.
    fn denied(&mut self, number: usize) {
        let Publish {
            client, to, begun, ..
        } = &self.publishes[number];
        let allowed = |rights: Rights| match to {
            To::Topic(topic) => rights.may_publish(topic),
            // One that reaches nothing is denied too if the authorizer knows only names: it has
            // allowed nothing. What the retention rules have left is not known here.
            To::Pattern(_) if self.setting.names_only => false,
            To::Pattern(_) => TOPICS.iter().all(|topic| rights.may_publish(topic)),
        };
        if self.must(*client, *begun, allowed) {
            let text = format!("publish {number} of client {client} to {to:?} was denied");
            self.fault(text);
        }
    }

    fn acknowledged(&mut self, number: usize, first: EventId, last: EventId) {
        let epoch = first.epoch();
        self.absorb(last.seq());
        let publish = &self.publishes[number];
        let single = match (&publish.to, publish.key) {
            (To::Topic(topic), None) => Some(topic.clone()),
            _ => None,
        };
        if let Some(topic) = single {
            if first != last {
                self.fault(format!(
                    "publish {number} to one topic became {first} to {last}"
                ));
            }
            self.learn(last, number, &topic, None);
            return;
        }
        for seq in first.seq()..=last.seq() {
            let known = self.events.entry(EventId::new(epoch, seq)).or_default();
            let Some(owner) = known.publish else {
                continue;
            };
            let (mine, other) = (self.publishes[number].key, self.publishes[owner].key);
            if owner != number && (mine.is_none() || mine != other) {
                self.fault(format!(
                    "publish {number} was told the id {epoch}-{seq}, which is publish {owner}'s"
                ));
            }
        }
    }

    fn became_of(&self, number: usize) -> impl Iterator<Item = (&(usize, String), &EventId)> {
        let range = (number, String::new())..(number + 1, String::new());
        self.became.range(range)
    }

    /// An id is this event's.
    pub(crate) fn learn(&mut self, id: EventId, number: usize, topic: &str, time: Option<u64>) {
        let key = (number, topic.to_owned());
        // Taken again is what a crash has taken back, with its key; or what a clock that has jumped
        // made too old to be asked for.
        if let Some(other) = self.became.insert(key, id)
            && other != id
            && !self.at_risk(other.min(id))
            && !self.clock_jumped
        {
            self.fault(format!(
                "publish {number} on {topic} was published twice: as {other} and as {id}"
            ));
        }
        let known = self.events.entry(id).or_default();
        let was = (known.publish, known.topic.clone());
        let clash = was.0.is_some_and(|publish| publish != number)
            || was.1.as_deref().is_some_and(|other| other != topic);
        if clash {
            self.fault(format!(
                "the id {id} names two events: {was:?} and publish {number} on {topic}"
            ));
            return;
        }
        known.publish = Some(number);
        known.topic = Some(topic.to_owned());
        if known.time.is_some() && time.is_some() && known.time != time {
            self.fault(format!("the event {id} has two times"));
            return;
        }
        known.time = known.time.or(time);
    }

    /// An event that somebody has seen: whose it is, unless something is wrong with it.
    fn identify(&mut self, event: &Event) -> Option<usize> {
        let id = event.id();
        let (data, topic) = (event.data(), event.topic().as_str());
        let number = read_payload(data);
        let Some(number) = number.filter(|number| *number < self.publishes.len()) else {
            self.fault(format!(
                "the event {id} on {topic} has data that nobody published"
            ));
            return None;
        };
        let publish = &self.publishes[number];
        let may = |rights: Rights| rights.may_publish(topic);
        let allowed = self.may(publish.client, publish.begun, may);
        let fits = match &publish.to {
            To::Topic(name) => name == topic,
            To::Pattern(pattern) => Pattern::new(pattern).is_ok_and(|pattern| {
                TopicRef::new(topic).is_ok_and(|topic| pattern.matches(topic))
            }),
        };
        if !fits {
            let to = publish.to.clone();
            self.fault(format!(
                "the event {id} came on {topic}, and was published to {to:?}"
            ));
        }
        if !allowed {
            self.fault(format!(
                "the event {id} on {topic} is of a client that may not publish there"
            ));
        }
        if let Told::Refused(_) | Told::Denied = &self.publishes[number].told {
            let told = &self.publishes[number].told;
            let text = format!("the event {id} is publish {number}, which was refused: {told:?}");
            self.fault(text);
        }
        self.learn(id, number, topic, Some(event.time().as_micros()));
        Some(number)
    }
}

/// The data of a publish: its number, its length, and bytes that follow from both.
pub(crate) fn payload(number: usize, size: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(size);
    data.extend((number as u32).to_le_bytes());
    data.extend((size as u32).to_le_bytes());
    data.extend((8..size).map(|at| filler(number, at)));
    data
}

/// The number of the publish, if it is all there.
fn read_payload(data: &[u8]) -> Option<usize> {
    let number = u32::from_le_bytes(data.get(..4)?.try_into().ok()?) as usize;
    let size = u32::from_le_bytes(data.get(4..8)?.try_into().ok()?) as usize;
    let rest = data.iter().enumerate().skip(8);
    let whole = size == data.len() && rest.into_iter().all(|(at, b)| *b == filler(number, at));
    whole.then_some(number)
}

fn filler(number: usize, at: usize) -> u8 {
    (number.wrapping_mul(31) ^ at.wrapping_mul(7)) as u8
}
