//! Opening a store: what is there, what is lost, and where to continue.

mod segments;

use crate::entry::PublishKey;
use crate::error::OpenError;
use crate::floors::{self, Floors};
use crate::format::Seal;
use crate::index::Index;
use crate::io::{Io, Lock, LockError};
use crate::keys::{self, Newest};
use crate::lost::add_lost;
use crate::meta::{Epochs, Meta, State as MetaState, WriteError};
use crate::options::Options;
use crate::publishers::{PublisherState, Table};
use crate::segment::{Files, Segment, first_of};
use crate::state::{Shared, State, Topics};
use qsse_proto::{Epoch, Timestamp};
use qsse_topic::Topic;
use segments::open_segments;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What an open found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The epochs of the store, in order, each with the first seq that an event of it may have. The
    /// last one is that of this open. There are at most 1,024: after that, epochs without events
    /// are forgotten first, and then the oldest.
    pub epochs: Vec<(Epoch, u64)>,
    /// The first seq that no event has had, in this or an earlier life of the store.
    pub next_seq: u64,
    /// Up to here events of some topic were removed. Those that are retained are still there.
    pub floor: u64,
    /// The newest event that is there; 0 if there is none.
    pub tail: u64,
    /// The time of that event; the beginning of 1970 if there is none.
    pub last_time: Timestamp,
    /// The latest time of all events. It is later than `last_time` if the clock was set back.
    pub latest: Timestamp,
    /// Seqs that are lost, by damage or an unclean end, each as (after, to], in order.
    pub lost: Vec<(u64, u64)>,
    /// The newest keys with the seqs and times of their events, in order of the seqs. Of a key that
    /// occurs twice this has the newer one. See [`Options::max_keys`] and [`Options::keys_age`].
    pub keys: Vec<(PublishKey, u64, Timestamp)>,
    /// The age up to which all keys are known, counted from `last_time` or [`Options::now`]. This
    /// is [`Options::keys_age`], or less if keys of removed events could not be saved.
    pub keys_age: Duration,
    /// The publishers that number their publishes, the most idle first. See
    /// [`Options::max_publishers`] and [`Options::publishers_age`].
    pub publishers: Vec<PublisherState>,
    /// How long ago a publisher that is known may have been active last, counted from `last_time`
    /// or [`Options::now`]. This is [`Options::publishers_age`], or less if there were too many
    /// publishers or some of their data is lost.
    pub publishers_age: Duration,
    /// Whether the store was closed, or is new.
    pub clean: bool,
}

/// An open store, before its writer takes over.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) meta: Meta,
    pub(crate) lock: Box<dyn Lock>,
    pub(crate) options: Options,
    pub(crate) last_time: u64,
    pub(crate) known: u64,
    pub(crate) publishers: Table,
}

/// Opens the store of a directory, or creates it.
pub(crate) fn open(io: Arc<dyn Io>, options: Options) -> Result<(Opened, Recovered), OpenError> {
    let options = options.checked();
    let lock = lock(&*io, &options.purpose)?;
    let firsts = list_segments(&*io)?;
    let mut meta = open_meta(&*io, &options, firsts.is_empty())?;
    let found = meta.state();
    let clean = found.clean.is_some();
    let seal = Seal::new(found.store, found.salt);
    let floors = floors::read(&*io, seal)?;
    let files = Files::new(io, seal, options.max_cached_indexes);
    let segments = open_segments(&files, found.store, &firsts, clean)?;

    let known = known_seq(&found, floors.as_ref(), &segments);
    let mut topics = restore_floors(&found, floors, &segments, known);
    let Contents {
        tail,
        last_time,
        lost,
    } = read_indexes(&segments, &files, &mut topics, known)?;
    // A clock that was ahead makes nothing older.
    let newest = last_time.min(options.now.as_micros());
    let keys = keys::newest(&segments, &files, &options, newest)?;
    let publishers = Table::open(&segments, &files, &options)?;
    save_indexes(&segments, &files);
    // The epoch is written before it is used.
    let epochs = begin_epoch(&mut meta, &found, options.epoch, known + 1)?;

    let recovered = Recovered {
        epochs: epochs.to_vec(),
        next_seq: known + 1,
        floor: topics.missing.max(topics.max_floor()),
        tail,
        last_time: Timestamp::from_micros(last_time),
        latest: latest_time(&segments),
        lost,
        keys_age: keys_age(&found, &keys, &options, newest),
        keys: keys.keys,
        publishers: publishers.states(),
        publishers_age: publishers.age(&options, newest),
        clean,
    };
    let state = State {
        segments,
        known,
        topics,
    };
    let opened = Opened {
        shared: Arc::new(Shared::new(files, found.store, epochs, state)),
        meta,
        lock,
        options,
        last_time: newest,
        known,
        publishers,
    };
    Ok((opened, recovered))
}

fn lock(io: &dyn Io, purpose: &str) -> Result<Box<dyn Lock>, OpenError> {
    io.lock(purpose).map_err(|error| match error {
        LockError::Held { holder } => OpenError::Locked { holder },
        LockError::Io(source) => OpenError::io("lock its directory")(source),
    })
}

/// Returns the first seqs of all segments, in order, and removes temporary files.
fn list_segments(io: &dyn Io) -> Result<Vec<u64>, OpenError> {
    let names = io.list().map_err(OpenError::io("list its directory"))?;
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        // Left over from an unclean end. They do no harm if they stay.
        let _ = io.remove(name);
    }
    let firsts = names.iter().filter_map(|name| first_of(name, ".seg"));
    let mut firsts: Vec<u64> = firsts.collect();
    firsts.sort_unstable();
    Ok(firsts)
}

/// Opens the meta files, or creates those of a new store.
fn open_meta(io: &dyn Io, options: &Options, is_new: bool) -> Result<Meta, OpenError> {
    match Meta::open(io)? {
        Some(meta) => Ok(meta),
        None if is_new => {
            let (store, salt) = (options.epoch.get(), options.salt_if_new);
            let nothing = floors::write(io, &Topics::default(), Seal::new(store, salt));
            nothing.map_err(OpenError::io("write its first file"))?;
            Meta::create(io, store, salt)
        }
        None => Err(OpenError::Meta),
    }
}

/// Returns the last seq that may have been used, by an event that is there, lost or removed.
fn known_seq(meta: &MetaState, floors: Option<&Floors>, segments: &[Arc<Segment>]) -> u64 {
    let end = segments.last().map_or(0, |segment| segment.end());
    let leased = meta.clean.unwrap_or(meta.mark);
    let before_epoch = meta.epochs.last().map_or(0, |(_, first)| first - 1);
    let removed = floors.map_or(0, Floors::through).max(meta.missing);
    end.max(leased).max(before_epoch).max(removed)
}

/// Returns the topics with their floors, and still without events.
fn restore_floors(
    meta: &MetaState,
    floors: Option<Floors>,
    segments: &[Arc<Segment>],
    known: u64,
) -> Topics {
    let mut topics = Topics::default();
    (topics.missing, topics.begin) = (meta.missing, meta.missing);
    let first = segments.first();
    let some_removed = first.is_none_or(|segment| segment.first > 1)
        || segments.iter().any(|segment| segment.generation > 0);
    match floors {
        Some(floors) => {
            topics.missing = topics.missing.max(floors.missing);
            topics.begin = topics.begin.max(floors.begin);
            for (topic, floor) in &floors.topics {
                topics.raise(topic.into(), *floor, 0, 0);
            }
        }
        // It is unknown which events were removed.
        None if some_removed => (topics.missing, topics.begin) = (known, known),
        None => {}
    }
    topics
}

/// What the indexes of all segments say.
struct Contents {
    /// The seq and the time of the newest event; 0 if there is none.
    tail: u64,
    last_time: u64,
    lost: Vec<(u64, u64)>,
}

/// Reads the index of each segment: counts its events to their topics, and collects what is lost.
fn read_indexes(
    segments: &[Arc<Segment>],
    files: &Files,
    topics: &mut Topics,
    known: u64,
) -> Result<Contents, OpenError> {
    let mut contents = Contents {
        tail: 0,
        last_time: 0,
        lost: Vec::new(),
    };
    let mut end = topics.begin;
    for segment in segments {
        for retained in retained_in(segment, files, topics)? {
            let topic = (&retained.topic).into();
            topics.add(topic, retained.span, retained.count, retained.bytes);
        }
        let found = segment.index(files, |index| {
            let lost = &mut contents.lost;
            add_lost(lost, end, index.first() - 1);
            for &(after, to) in index.holes() {
                add_lost(lost, after, to);
            }
            end = end.max(index.end());
            if let Some(last) = index.records().last() {
                (contents.tail, contents.last_time) = (last.last_seq, last.last_time);
            }
        });
        found.map_err(OpenError::io("read an index"))?;
    }
    add_lost(&mut contents.lost, end, known);
    Ok(contents)
}

/// Events of one topic in one segment that are above the floor.
struct Retained {
    topic: Topic,
    span: (u64, u64),
    count: u64,
    bytes: u64,
}

/// Returns what a segment has of each topic above its floor. A damaged index is rebuilt.
fn retained_in(
    segment: &Arc<Segment>,
    files: &Files,
    topics: &Topics,
) -> Result<Vec<Retained>, OpenError> {
    let read = || {
        segment
            .index(files, |index| retained(index, topics))
            .and_then(|retained| retained)
    };
    let retained = read().or_else(|_| {
        segment.rebuild(files)?;
        read()
    });
    retained.map_err(OpenError::io("read an index"))
}

fn retained(index: &Index, topics: &Topics) -> io::Result<Vec<Retained>> {
    let mut all = Vec::new();
    for (topic, stat) in index.topics() {
        let (first, last) = index.span(&stat);
        let floor = topics.floor(topic.into());
        if floor >= last {
            continue;
        }
        let mut retained = Retained {
            topic: topic.clone(),
            span: (first, last),
            count: u64::from(stat.count),
            bytes: stat.bytes,
        };
        if floor >= first {
            let slots = index.slots(&stat, floor, last)?;
            retained.span.0 = slots.first().map_or(last, |slot| index.seq(slot));
            retained.count = slots.len() as u64;
            retained.bytes = slots.iter().map(|slot| u64::from(slot.bytes)).sum();
        }
        all.push(retained);
    }
    Ok(all)
}

fn latest_time(segments: &[Arc<Segment>]) -> Timestamp {
    let times = segments.iter().filter_map(|segment| segment.times());
    times.map(|(_, latest)| latest).max().unwrap_or_default()
}

/// Returns the age up to which all keys are known.
fn keys_age(meta: &MetaState, found: &Newest, options: &Options, newest: u64) -> Duration {
    let saved = match meta.keys_from {
        0 => Duration::MAX,
        from => Duration::from_micros(newest.saturating_sub(from)),
    };
    match found.complete {
        true => options.keys_age.min(saved),
        false => Duration::ZERO,
    }
}

/// Writes the indexes of closed segments that are only in memory.
fn save_indexes(segments: &[Arc<Segment>], files: &Files) {
    let closed = segments.len().saturating_sub(1);
    for segment in segments.iter().take(closed) {
        // Without its file, the index stays in memory, and the next open takes longer.
        let _ = segment.save_index(files);
    }
}

/// Begins the epoch of this open. Returns all epochs.
fn begin_epoch(
    meta: &mut Meta,
    found: &MetaState,
    epoch: Epoch,
    first: u64,
) -> Result<Epochs, OpenError> {
    let begun = meta.write(found.begin_epoch(epoch, first));
    begun.map_err(|error| match error {
        WriteError::Write(source) | WriteError::Sync(source) => {
            OpenError::io("note its new epoch")(source)
        }
    })?;
    Ok(meta.state().epochs)
}
