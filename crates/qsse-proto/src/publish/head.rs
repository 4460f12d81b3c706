//! [`PublishHead`]: where a publish goes, before its data has arrived.

use super::single;
use crate::error::DecodeError;
use crate::varint::Reader;

/// The beginning of a [`Publish`](super::Publish): enough to decide whether its data is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishHead<'b> {
    matching: bool,
    topic: &'b str,
}

impl<'b> PublishHead<'b> {
    /// Reads the beginning of the body of a `Publish`; `None` until its topic has arrived.
    ///
    /// ```
    /// use qsse_proto::publish::PublishHead;
    ///
    /// assert_eq!(PublishHead::read(b"\0\x06peop")?, None);
    /// let head = PublishHead::read(b"\0\x06people\0da")?.unwrap();
    /// assert_eq!((head.topic(), head.is_matching()), ("people", false));
    /// # Ok::<(), qsse_proto::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// No publish begins like this (`QP-8.2`).
    pub fn read(body: &'b [u8]) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(body);
        let (Ok(flags), Ok(topic)) = (reader.byte(), reader.short_bytes()) else {
            return Ok(None);
        };
        single::check_flags(flags)?;
        Ok(Some(Self {
            matching: single::is_matching(flags),
            topic: single::check_topic(topic)?,
        }))
    }

    /// Returns whether the topic is a pattern that stands for every topic that it matches.
    pub const fn is_matching(&self) -> bool {
        self.matching
    }

    /// Returns the topic or pattern. Only its length has been checked.
    pub const fn topic(&self) -> &'b str {
        self.topic
    }
}
