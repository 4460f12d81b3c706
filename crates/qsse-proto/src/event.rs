//! One event, as a subscriber gets it.

use crate::{EventId, Kind, Timestamp};
use bytes::Bytes;
use qsse_topic::Topic;
use std::str::Utf8Error;

/// One event: who said what, when, and where it stands in the log.
///
/// A clone is cheap: text and data are shared. The data is usually a slice of the buffer in which
/// it was received, together with its neighbours: an event that is kept keeps all of that buffer, up to
/// 64 KiB. [`into_owned`](Event::into_owned) copies it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    id: EventId,
    time: Timestamp,
    topic: Topic,
    kind: Kind,
    data: Bytes,
}

impl Event {
    /// An event of these parts.
    #[inline]
    pub const fn new(id: EventId, topic: Topic, kind: Kind, time: Timestamp, data: Bytes) -> Self {
        Self {
            id,
            time,
            topic,
            kind,
            data,
        }
    }

    /// Its place in the log: what a subscription is resumed after.
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// The topic that it was published on.
    pub const fn topic(&self) -> &Topic {
        &self.topic
    }

    /// What sort of event it is; `message` unless its publisher said otherwise.
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// When the server took it. Never earlier than that of the event before.
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// What the publisher sent: any bytes, perhaps none.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// The data, without the rest.
    pub fn into_data(self) -> Bytes {
        self.data
    }

    /// The same event with data of its own, so that it no longer keeps a receive buffer alive.
    #[must_use = "the event that was copied is not changed"]
    pub fn into_owned(self) -> Self {
        Self {
            data: Bytes::copy_from_slice(&self.data),
            ..self
        }
    }

    /// The data as text.
    ///
    /// # Errors
    /// Where the data stops being UTF-8.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.data)
    }

    /// The data, read as JSON.
    ///
    /// # Errors
    /// Why it is not JSON, or not of that type.
    #[cfg(feature = "json")]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Epoch;

    fn event(data: Bytes) -> Event {
        let id = EventId::new(Epoch::new(1), 2);
        let topic = Topic::new("ride.7").unwrap();
        Event::new(id, topic, Kind::MESSAGE, Timestamp::from_micros(3), data)
    }

    #[test]
    fn an_owned_event_has_its_own_buffer() {
        let buffer = Bytes::from(vec![b'x'; 1000]);
        let first = event(buffer.slice(10..12));
        let copy = first.clone().into_owned();
        assert_eq!(first, copy);
        assert_eq!(first.data().as_ptr(), buffer[10..].as_ptr());
        drop((first, buffer));
        assert!(copy.into_data().is_unique());
    }

    #[test]
    fn text_must_be_utf8() {
        assert_eq!(event(Bytes::from_static("é".as_bytes())).text(), Ok("é"));
        let error = event(Bytes::from_static(b"ok\xff")).text().unwrap_err();
        assert_eq!(error.valid_up_to(), 2);
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_is_read_into_the_type_asked_for() {
        let good = event(Bytes::from_static(b"[1, 2]"));
        assert_eq!(good.json::<Vec<u8>>().unwrap(), [1, 2]);
        assert!(good.json::<String>().is_err());
    }
}
