//! [`Event`] and [`LentEvent`]: one event, as a subscriber gets it.

use crate::event_id::EventId;
use crate::kind::Kind;
use crate::timestamp::Timestamp;
use bytes::Bytes;
use qsse_topic::Topic;
use std::str::Utf8Error;

/// One event, with its position in the log.
///
/// A clone is cheap because text and data are shared. The data is usually a slice of the buffer in
/// which it was received. An event keeps that whole buffer alive, up to 64 KiB, with the data of
/// its neighbours. [`into_owned`](Event::into_owned) copies the data out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    id: EventId,
    time: Timestamp,
    topic: Topic,
    kind: Kind,
    data: Bytes,
}

impl Event {
    /// Creates an event.
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

    /// Returns the event's position in the log. A subscription can resume after it.
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// Returns the topic that it was published on.
    pub const fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Returns the kind of event; `message` unless the publisher chose another.
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Returns the time at which the server accepted the event. It is never before that of the
    /// previous event.
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Returns the data that the publisher sent; it may be empty.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// Returns the data and drops the rest.
    pub fn into_data(self) -> Bytes {
        self.data
    }

    /// Copies the data into a buffer of its own, so that the event no longer keeps the receive
    /// buffer alive.
    #[must_use = "the event that was copied is not changed"]
    pub fn into_owned(self) -> Self {
        Self {
            data: Bytes::copy_from_slice(&self.data),
            ..self
        }
    }

    /// Returns the data as text.
    ///
    /// # Errors
    /// The data is not UTF-8.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.data)
    }

    /// Parses the data as JSON.
    ///
    /// # Errors
    /// The data is not JSON, or not of this type.
    #[cfg(feature = "json")]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.data)
    }
}

/// A borrowed event.
///
/// It counts no references, so reading it costs about half as much as an [`Event`].
/// [`to_event`](Self::to_event) makes one that can be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LentEvent<'a> {
    id: EventId,
    time: Timestamp,
    topic: &'a Topic,
    kind: &'a Kind,
    data: &'a [u8],
}

impl<'a> LentEvent<'a> {
    /// Creates a borrowed event.
    #[inline]
    pub(crate) const fn new(
        id: EventId,
        topic: &'a Topic,
        kind: &'a Kind,
        time: Timestamp,
        data: &'a [u8],
    ) -> Self {
        Self {
            id,
            time,
            topic,
            kind,
            data,
        }
    }

    /// Returns the event's position in the log. A subscription can resume after it.
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// Returns the topic that it was published on.
    pub const fn topic(&self) -> &'a Topic {
        self.topic
    }

    /// Returns the kind of event; `message` unless the publisher chose another.
    pub const fn kind(&self) -> &'a Kind {
        self.kind
    }

    /// Returns the time at which the server accepted the event. It is never before that of the
    /// previous event.
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Returns the data that the publisher sent; it may be empty.
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Returns the data as text.
    ///
    /// # Errors
    /// The data is not UTF-8.
    pub fn text(&self) -> Result<&'a str, Utf8Error> {
        std::str::from_utf8(self.data)
    }

    /// Parses the data as JSON. Texts in the result may be borrowed.
    ///
    /// # Errors
    /// The data is not JSON, or not of this type.
    #[cfg(feature = "json")]
    pub fn json<T: serde::de::Deserialize<'a>>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.data)
    }

    /// Returns an owned event, with a copy of the data.
    pub fn to_event(&self) -> Event {
        let data = Bytes::copy_from_slice(self.data);
        Event::new(
            self.id,
            self.topic.clone(),
            self.kind.clone(),
            self.time,
            data,
        )
    }
}

impl<'a> From<&'a Event> for LentEvent<'a> {
    fn from(event: &'a Event) -> Self {
        Self::new(event.id, &event.topic, &event.kind, event.time, &event.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_id::Epoch;

    fn event(data: Bytes) -> Event {
        let id = EventId::new(Epoch::new(1), 2);
        let topic = Topic::new("ride.7").unwrap();
        let kind = Kind::new("created").unwrap();
        Event::new(id, topic, kind, Timestamp::from_micros(3), data)
    }

    #[test]
    fn an_owned_event_has_its_own_buffer() {
        let buffer = Bytes::from(vec![b'x'; 1000]);
        let first = event(buffer.slice(10..12));
        let copy = first.clone().into_owned();
        assert_eq!(first, copy);
        assert_eq!(first.data().as_ptr(), buffer[10..].as_ptr());
        assert!(!buffer.as_ptr_range().contains(&copy.data().as_ptr()));
        assert!(copy.into_data().is_unique());
    }

    #[test]
    fn a_lent_event_is_the_same_and_its_copy_its_own() {
        let first = event(Bytes::from_static(b"\"x\""));
        let lent = LentEvent::from(&first);
        assert_eq!((lent.id(), lent.time()), (first.id(), first.time()));
        assert_eq!((lent.topic(), lent.kind()), (first.topic(), first.kind()));
        assert_eq!(
            (lent.data(), lent.text()),
            (&first.data()[..], first.text())
        );
        let copy = lent.to_event();
        assert_eq!(copy, first);
        assert_ne!(copy.data().as_ptr(), first.data().as_ptr());
        #[cfg(feature = "json")]
        assert_eq!(lent.json::<&str>().unwrap(), "x");
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
