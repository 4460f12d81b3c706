//! The newest keys that are on the disk.

use crate::entry::{PublishKey, read_keys};
use crate::error::OpenError;
use crate::options::Options;
use crate::segment::{Files, Segment};
use qsse_proto::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// The newest keys, from the end of the store on.
pub(super) fn newest(
    segments: &[Arc<Segment>],
    files: &Files,
    options: &Options,
    last_time: u64,
) -> Result<Vec<(PublishKey, u64, Timestamp)>, OpenError> {
    let age = u64::try_from(options.keys_age.as_micros()).unwrap_or(u64::MAX);
    let oldest = last_time.saturating_sub(age);
    let mut newest: HashMap<PublishKey, (u64, Timestamp)> = HashMap::new();
    'all: for segment in segments.iter().rev() {
        if segment.last_time() < oldest {
            break;
        }
        let records = segment
            .index(files, |index| index.records().to_vec())
            .map_err(OpenError::io("read an index"))?;
        for record in records.iter().rev().filter(|record| record.keys_len > 0) {
            if newest.len() >= options.max_keys || record.last_time < oldest {
                break 'all;
            }
            let whole = segment.whole(record, files.seal);
            let whole = whole.map_err(OpenError::io("read the newest keys"))?;
            let Some((Some(batch), keys)) = whole else {
                continue;
            };
            let keys = read_keys(&keys, record.first_seq).unwrap_or_default();
            let mut events = batch.iter();
            let mut found = Vec::new();
            for (seq, key) in keys {
                if let Some(event) = events.find(|event| event.seq() >= seq)
                    && event.seq() == seq
                    && event.time().as_micros() >= oldest
                {
                    found.push((key, seq, event.time()));
                }
            }
            for (key, seq, time) in found.into_iter().rev() {
                if newest.len() < options.max_keys {
                    newest.entry(key).or_insert((seq, time));
                }
            }
        }
    }
    let mut keys: Vec<_> = newest
        .into_iter()
        .map(|(key, (seq, time))| (key, seq, time))
        .collect();
    keys.sort_unstable_by_key(|(_, seq, _)| *seq);
    Ok(keys)
}
