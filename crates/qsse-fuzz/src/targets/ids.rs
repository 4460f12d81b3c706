//! Ids, cursors, times and names as text.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use qsse_proto::{Cursor, Epoch, EventId, Kind, Timestamp};
use qsse_transport::ServerUrl;
use qsse_transport::tls::Fingerprint;

/// Parses a text as each of them. What is accepted survives being printed.
pub(super) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    survives::<Epoch>(&text);
    survives::<EventId>(&text);
    survives::<Cursor>(&text);
    survives::<Timestamp>(&text);
    survives::<Kind>(&text);
    survives::<Fingerprint>(&text);
    survives::<ServerUrl>(&text);
}

fn survives<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>().expect("it was printed");
        assert_eq!(again, value, "{text:?}");
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let id = EventId::new(Epoch::new(u64::MAX), u64::MAX);
    let texts = [
        "G8-42".to_owned(),
        id.to_string(),
        Cursor::from(id).to_string(),
        "2026-01-02T03:04:05.000006Z".to_owned(),
        "0001-01-01T00:00:00+23:59".to_owned(),
        "message".to_owned(),
        "AB:cd:".repeat(15) + "00:11",
        "qsse://[::1]:4242?fingerprint=00".to_owned() + &"ff".repeat(31),
        "localhost".to_owned(),
    ];
    texts.map(String::into_bytes).into()
}
