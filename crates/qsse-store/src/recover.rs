//! Opening: what is there, what is lost, and where to go on.

use crate::entry::PublishKey;
use crate::error::{Health, OpenError};
use crate::floors::{self, Floors};
use crate::format::{SEGMENT_HEADER, Seal, SegmentHeader};
use crate::index::{self, Index, Of};
use crate::io::{Io, LockError, read_range, write_all};
use crate::keys::{self, Newest};
use crate::meta::{Meta, WriteError};
use crate::options::Options;
use crate::publishers::{Publisher, Table};
use crate::scan::scan;
use crate::segment::{Files, Segment, first_of, index_name, segment_name};
use crate::state::{Shared, State, Topics};
use crate::store::{Opened, Store};
use parking_lot::{Mutex, RwLock};
use qsse_proto::{Epoch, Timestamp};
use qsse_topic::Topic;
use std::sync::Arc;
use std::time::Duration;

/// What an open found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The epochs of the store, each with the first seq that an event of it may have, in order. The last one is that of this open. At
    /// most 1,024: beyond that those without events are forgotten, and then the oldest.
    pub epochs: Vec<(Epoch, u64)>,
    /// The first seq that no event had before, in this life of the store or an earlier one.
    pub next_seq: u64,
    /// Up to here events of some topic were removed; what was kept of those below is still there.
    pub floor: u64,
    /// The newest event that is there; 0 without one.
    pub tail: u64,
    /// The time of that event; the beginning of 1970 without one.
    pub last_time: Timestamp,
    /// No event has a later time. It is later than `last_time` where the clock was set back.
    pub latest: Timestamp,
    /// Seqs that are lost, by damage or by an unclean end, each as (after, to], in order.
    pub lost: Vec<(u64, u64)>,
    /// The newest keys with seq and time of their events, in order of the seqs; of a key that
    /// came twice the newer one. See [`Options::max_keys`] and [`Options::keys_age`].
    pub keys: Vec<(PublishKey, u64, Timestamp)>,
    /// How old, counted from `last_time` or [`Options::now`], a key may be to be among these: [`Options::keys_age`], or
    /// less where keys of removed events could not be kept.
    pub keys_age: Duration,
    /// The publishers that number their publishes, the most idle first. See [`Options::max_publishers`] and [`Options::publishers_age`].
    pub publishers: Vec<Publisher>,
    /// How long ago, counted from `last_time` or [`Options::now`], a publisher may have been active last to be among these: [`Options::publishers_age`], or
    /// less where they were too many, or something of them is lost.
    pub publishers_age: Duration,
    /// Whether it was closed, or is new.
    pub clean: bool,
}

/// Opens the store of a directory, or makes it.
pub(crate) fn open(io: Arc<dyn Io>, options: Options) -> Result<(Store, Recovered), OpenError> {
    let options = options.checked();
    let lock = io.lock(&options.purpose).map_err(|error| match error {
        LockError::Held { holder } => OpenError::Locked { holder },
        LockError::Io(source) => OpenError::io("lock its directory")(source),
    })?;
    let names = io.list().map_err(OpenError::io("list its directory"))?;
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        // Left-overs of an unclean end; they do no harm.
        let _ = io.remove(name);
    }
    let mut firsts: Vec<u64> = names
        .iter()
        .filter_map(|name| first_of(name, ".seg"))
        .collect();
    firsts.sort_unstable();

    let mut meta = match Meta::open(&*io)? {
        Some(meta) => meta,
        None if firsts.is_empty() => {
            let (store, salt) = (options.epoch.get(), options.salt_if_new);
            let nothing = floors::write(&*io, &Topics::default(), Seal::new(store, salt));
            nothing.map_err(OpenError::io("write its first file"))?;
            Meta::create(&*io, store, salt)?
        }
        None => return Err(OpenError::Meta),
    };
    let found = meta.state();
    let seal = Seal::new(found.store, found.salt);
    let floors = floors::read(&*io, seal)?;
    let files = Files::new(Arc::clone(&io), seal, options.max_cached_indexes);
    let segments = open_segments(&files, found.store, &firsts, found.clean.is_some())?;

    let end = segments.last().map_or(0, |segment| segment.end());
    // What the last epoch begins behind was given out too, whatever has become of it.
    let before = found.epochs.last().map_or(0, |(_, first)| first - 1);
    // And so was what retention has removed.
    let removed_through = floors
        .as_ref()
        .map_or(0, Floors::through)
        .max(found.missing);
    let known = end
        .max(found.clean.unwrap_or(found.mark))
        .max(before)
        .max(removed_through);
    let mut topics = Topics::default();
    (topics.missing, topics.begin) = (found.missing, found.missing);
    let removed = segments
        .first()
        .is_none_or(|segment| segment.first > 1 || segment.generation > 0)
        || segments.iter().any(|segment| segment.generation > 0);
    match floors {
        Some(floors) => {
            topics.missing = topics.missing.max(floors.missing);
            topics.begin = topics.begin.max(floors.begin);
            for (topic, floor) in &floors.topics {
                topics.raise(topic.into(), *floor, 0, 0);
            }
        }
        // Nobody knows any more what was removed.
        None if removed => (topics.missing, topics.begin) = (known, known),
        None => {}
    }
    let times = segments.iter().filter_map(|segment| segment.times());
    let latest = times.map(|(_, latest)| latest).max().unwrap_or_default();
    let mut lost = Vec::new();
    let (mut tail, mut last_time, mut end) = (0, 0, topics.begin);
    for segment in &segments {
        let read = || {
            segment
                .index(&files, |index| kept(index, &topics))
                .and_then(|kept| kept)
        };
        let kept = read()
            .or_else(|_| {
                segment.rebuild(&files)?;
                read()
            })
            .map_err(OpenError::io("read an index"))?;
        for kept in kept {
            topics.add((&kept.topic).into(), kept.span, kept.count, kept.bytes);
        }
        let found = segment.index(&files, |index| {
            add_lost(&mut lost, end, index.first() - 1);
            for &(after, to) in index.holes() {
                add_lost(&mut lost, after, to);
            }
            end = end.max(index.end());
            if let Some(last) = index.records().last() {
                (tail, last_time) = (last.last_seq, last.last_time);
            }
        });
        found.map_err(OpenError::io("read an index"))?;
    }
    add_lost(&mut lost, end, known);
    // A clock that was ahead makes nothing older.
    let newest = last_time.min(options.now.as_micros());
    let Newest { keys, complete } = keys::newest(&segments, &files, &options, newest)?;
    let keys_known = match found.keys_from {
        0 => Duration::MAX,
        from => Duration::from_micros(newest.saturating_sub(from)),
    };
    let publishers = Table::open(&segments, &files, &options)?;
    let closed = segments.len().saturating_sub(1);
    for segment in segments.iter().take(closed) {
        // A help for the next time; without it the index stays in memory.
        let _ = segment.keep_index(&files);
    }

    // Before anybody hears of it.
    let begun = meta.write(found.begin_epoch(options.epoch, known + 1));
    begun.map_err(|error| match error {
        WriteError::Write(source) | WriteError::Sync(source) => {
            OpenError::io("note its new epoch")(source)
        }
    })?;
    let epochs = meta.state().epochs;

    let recovered = Recovered {
        epochs: epochs.to_vec(),
        next_seq: known + 1,
        floor: topics.missing.max(topics.max_floor()),
        tail,
        last_time: Timestamp::from_micros(last_time),
        latest,
        lost,
        keys,
        keys_age: if complete {
            options.keys_age.min(keys_known)
        } else {
            Duration::ZERO
        },
        publishers: publishers.told(),
        publishers_age: publishers.age(&options, newest),
        clean: found.clean.is_some(),
    };
    let state = RwLock::new(State {
        segments,
        known,
        topics,
    });
    let shared = Shared {
        files,
        store: found.store,
        epochs,
        state,
        health: Mutex::new(Health::Good),
    };
    let opened = Opened {
        shared: Arc::new(shared),
        meta,
        lock,
        options,
        last_time: newest,
        known,
        publishers,
    };
    Ok((Store::new(opened), recovered))
}

fn open_segments(
    files: &Files,
    store: u64,
    firsts: &[u64],
    clean: bool,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    let mut superseded = 0;
    for (place, &first) in firsts.iter().enumerate() {
        if first <= superseded {
            remove(files, first);
            continue;
        }
        let last = place + 1 == firsts.len();
        let (segment, file_len, end) = open_segment(files, store, first, last)?;
        if last && !clean {
            write_back(&segment).map_err(OpenError::io("write the last segment back"))?;
        }
        superseded = superseded.max(end);
        let before = segments.last().map_or(0, |segment| segment.end());
        let empty = file_len <= SEGMENT_HEADER as u64 || segment.end() < first;
        if first <= before {
            // A roll that failed leaves an empty one; anything else was written anew and the
            // header that says so is damaged.
            if empty {
                remove(files, first);
            }
            continue;
        }
        if empty && file_len <= SEGMENT_HEADER as u64 && !last {
            remove(files, first);
            continue;
        }
        segments.push(Arc::new(segment));
    }
    Ok(segments)
}

fn remove(files: &Files, first: u64) {
    // What cannot be removed now is found again at the next open.
    let _ = files.io.remove(&segment_name(first));
    let _ = files.io.remove(&index_name(first));
}

/// Opens a segment; with it the file's length, and the seq through which it replaces others.
fn open_segment(
    files: &Files,
    store: u64,
    first: u64,
    last: bool,
) -> Result<(Segment, u64, u64), OpenError> {
    let error = || OpenError::io("read a segment");
    let name = segment_name(first);
    let file = files.io.open(&name).map_err(error())?;
    let file_len = file.len().map_err(error())?;
    let bytes = read_range(&*file, 0, SEGMENT_HEADER).map_err(error())?;
    SegmentHeader::version(&bytes).check(&name)?;
    let header = SegmentHeader::decode(&bytes, files.seal)
        .filter(|header| header.first == first && header.store == store);
    let generation = header.map_or(0, |header| header.generation);
    let of = Of {
        first,
        segment_len: file_len,
        generation,
    };
    let kept = if last {
        None
    } else {
        index::read(&*files.io, &index_name(first), of, files.seal).map_err(error())?
    };
    let index = match kept {
        Some(index) => index,
        None => scan(&*file, file_len, first, files.seal).map_err(error())?,
    };
    if last {
        let good = index.file_end();
        let repair = || -> std::io::Result<()> {
            if file_len > good {
                file.truncate(good)?;
            }
            if header.is_none() {
                let header = SegmentHeader {
                    store,
                    first,
                    end: 0,
                    generation: 0,
                };
                write_all(&*file, &header.encode(files.seal), 0)?;
            }
            files.io.sync_dir()
        };
        repair().map_err(OpenError::io("repair the last segment"))?;
    }
    let end = header.map_or(0, |header| header.end);
    Ok((Segment::new(file, generation, index), file_len, end))
}

/// Makes the records last that were read. If a sync failed before, the system may think that they are
/// on the disk when they are only in its memory, so they are written once more.
fn write_back(segment: &Segment) -> std::io::Result<()> {
    let mut at = 0;
    while at < segment.len() {
        let bytes = segment.bytes(at, 1 << 20)?;
        if bytes.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        write_all(&*segment.file, &bytes, at)?;
        at += bytes.len() as u64;
    }
    segment.file.sync_data()
}

/// What a segment has of its topics above their floors.
fn kept(index: &Index, topics: &Topics) -> std::io::Result<Vec<Kept>> {
    let mut all = Vec::new();
    for (topic, stat) in index.topics() {
        let (first, last) = index.span(&stat);
        let floor = topics.floor(topic.into());
        if floor >= last {
            continue;
        }
        let mut kept = Kept {
            topic: topic.clone(),
            span: (first, last),
            count: u64::from(stat.count),
            bytes: stat.bytes,
        };
        if floor >= first {
            let slots = index.slots(&stat, floor, last)?;
            kept.span.0 = slots.first().map_or(last, |slot| index.seq(slot));
            kept.count = slots.len() as u64;
            kept.bytes = slots.iter().map(|slot| u64::from(slot.bytes)).sum();
        }
        all.push(kept);
    }
    Ok(all)
}

/// Kept events of a topic in one segment.
struct Kept {
    topic: Topic,
    span: (u64, u64),
    count: u64,
    bytes: u64,
}

/// Adds (after, to] to the lost ranges, in one piece with the last one if they touch.
pub(crate) fn add_lost(lost: &mut Vec<(u64, u64)>, after: u64, to: u64) {
    if after >= to {
        return;
    }
    match lost.last_mut() {
        Some(last) if last.1 >= after => last.1 = last.1.max(to),
        _ => lost.push((after, to)),
    }
}
