//! The lines of the Go dialect, in both directions.

use bytes::Bytes;
use qsse_proto::go::{ErrorData, EventLine, LineDecoder, Offer, write_event};

const LONGEST_LINE: usize = 8 << 10;

/// Splits lines, in one piece and byte by byte, and parses each as an offer, an event and an error.
pub(super) fn run(data: &[u8]) {
    let whole = lines([Bytes::copy_from_slice(data)]);
    let bytes = data.iter().map(|byte| Bytes::copy_from_slice(&[*byte]));
    assert_eq!(lines(bytes), whole, "pieces change what is read");
    for line in whole.into_iter().chain([data.to_vec()]) {
        if let Ok(offer) = Offer::parse(&line) {
            assert_eq!(
                Offer::parse(&offer.to_line()).expect("it was written"),
                offer
            );
        }
        if let Ok(event) = EventLine::parse(&line) {
            let again = EventLine::parse(&event.to_line()).expect("it was written");
            assert_eq!(again.topic(), event.topic());
            let _ = event.as_error();
        }
        if let Ok(error) = ErrorData::parse(&line) {
            let _ = ErrorData::parse(&error.to_json()).expect("it was written");
        }
    }
}

fn lines(chunks: impl IntoIterator<Item = Bytes>) -> Vec<Vec<u8>> {
    let mut decoder = LineDecoder::new(LONGEST_LINE);
    let mut lines = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        loop {
            match decoder.next() {
                Ok(Some(line)) => lines.push(line.to_vec()),
                Ok(None) => break,
                Err(_) => return lines,
            }
        }
    }
    lines.extend(decoder.finish().map(|rest| rest.to_vec()));
    lines
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut event = Vec::new();
    write_event(&mut event, "ride.7", b"data");
    vec![
        Offer::new("a token", ["ride.*", "people"]).to_line(),
        Offer::new("", ["*"]).to_line(),
        br#"{"token":null,"topics":null,"Token":"b","topics":["\u0061"]}"#.to_vec(),
        event.clone(),
        EventLine::error(&ErrorData::lost()).to_line(),
        ErrorData::lost().to_json(),
        [&Offer::new("t", ["a"]).to_line()[..], &event, b"\r\n\n"].concat(),
    ]
}
