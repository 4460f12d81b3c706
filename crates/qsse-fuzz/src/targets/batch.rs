//! Subscription streams, and batches as they are stored.

use bytes::Bytes;
use qsse_proto::batch::{Batch, Builder};
use qsse_proto::stream::{Decoder, Item, Outcome, StreamHeader};
use qsse_proto::{Epoch, Timestamp, limits};

const EPOCH: Epoch = Epoch::new(7);

/// Decodes a stream, in one piece and byte by byte, and a batch in all its ways.
pub(super) fn run(data: &[u8]) {
    let whole = items([Bytes::copy_from_slice(data)]);
    let bytes = data.iter().map(|byte| Bytes::copy_from_slice(&[*byte]));
    assert_eq!(items(bytes), whole, "pieces change what is read");
    let Ok(batch) = Batch::decode(Bytes::copy_from_slice(data)) else {
        return;
    };
    let seqs = |batch: &Batch| -> Vec<u64> { batch.iter().map(|event| event.seq()).collect() };
    let all = seqs(&batch);
    assert!(all.is_sorted(), "seqs rise");
    let short = |topic: &str| topic.len() < 4;
    let kept = batch.retain(short);
    let expected = batch.iter().filter(|event| short(event.topic()));
    let expected: Vec<_> = expected.map(|event| event.seq()).collect();
    assert_eq!(kept.map(|kept| seqs(&kept)).unwrap_or_default(), expected);
    let middle = all.get(all.len() / 2).copied().unwrap_or_default();
    let later = batch.after(middle).map(|later| seqs(&later));
    let expected: Vec<_> = all.into_iter().filter(|seq| *seq > middle).collect();
    assert_eq!(later.unwrap_or_default(), expected);
    let events = batch.events(EPOCH).filter_map(Result::ok).count();
    assert!(events <= batch.iter().count());
}

/// Returns what a subscriber reads, as text, and whether it ends in an error.
fn items(chunks: impl IntoIterator<Item = Bytes>) -> Vec<String> {
    let mut decoder = Decoder::new(limits::EVENT_BYTES);
    let mut items = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        loop {
            match decoder.next() {
                Ok(Some(item)) => items.push(describe(&item)),
                Ok(None) => break,
                Err(error) => {
                    items.push(error.code().to_string());
                    return items;
                }
            }
        }
    }
    items
}

fn describe(item: &Item) -> String {
    match item {
        Item::Event(event) => format!(
            "{} {} {} {:?}",
            event.id(),
            event.topic(),
            event.kind(),
            event.data()
        ),
        other => format!("{other:?}"),
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let header = |position| StreamHeader {
        id: 1,
        epoch: EPOCH,
        position,
        outcome: Outcome::Live,
    };
    let batch = |from: u64, topics: &[&str]| {
        let mut builder = Builder::new();
        for (seq, topic) in (from..).zip(topics) {
            let time = Timestamp::from_micros(1_000 * seq);
            let kind = ["message", "update"][seq as usize % 2];
            builder.push(seq, time, topic, kind, &vec![b'd'; seq as usize]);
        }
        builder.finish().bytes().to_vec()
    };
    let few = batch(1, &["a"]);
    let more = batch(9, &["ride.7", "ride.8", "ride.7", "people", "ride.8"]);
    let stream = [&header(0).encode()[..], &few, &more].concat();
    vec![header(5).encode().to_vec(), few, more, stream]
}
