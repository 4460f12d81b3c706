//! [`Lines`]: the events of a body, one in each line.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use qsse_proto::limits::TOPIC_BYTES;
use qsse_server::visitor::NewPublish;
use qsse_server::{Code, Kind};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Splits bytes into lines, and reads the event of each.
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// Where the next line begins.
    begin: usize,
    /// Up to here there is no line break.
    searched: usize,
    /// The longest line.
    longest: usize,
    /// The rest of a line that is too long is skipped.
    skipping: bool,
    number: u64,
}

/// A line.
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// What is in it, or why that cannot be used.
    pub(crate) content: Result<Content, (Code, String)>,
}

/// What a line has.
pub(crate) enum Content {
    Event(NewPublish),
    /// A notice, such as a gap, of the stream that the line was read from.
    Notice,
    Empty,
}

/// Returns the longest line of an event with this much data: in base64, or with every byte escaped.
pub(crate) fn longest(event_bytes: usize) -> usize {
    event_bytes.saturating_mul(6).saturating_add(4 << 10)
}

/// An event, as `qsse sub --json` prints it. Other keys are skipped.
#[derive(Deserialize)]
struct Event {
    topic: Option<String>,
    kind: Option<String>,
    data: Option<String>,
    encoding: Option<String>,
    gap: Option<IgnoredAny>,
    reset: Option<IgnoredAny>,
    lost: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
    end: Option<IgnoredAny>,
}

impl Event {
    fn is_notice(&self) -> bool {
        let notices = [&self.gap, &self.reset, &self.lost, &self.error, &self.end];
        notices.into_iter().any(Option::is_some)
    }
}

impl Lines {
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            buffer: Vec::new(),
            begin: 0,
            searched: 0,
            longest,
            skipping: false,
            number: 0,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.begin);
        self.searched -= self.begin;
        self.begin = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the bytes of the line that is not complete.
    pub(crate) fn stored(&self) -> usize {
        self.buffer.len() - self.begin
    }

    /// Returns the next line that is complete.
    pub(crate) fn next(&mut self) -> Option<Line> {
        loop {
            let found = self.buffer[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            let Some(at) = found.map(|at| self.searched + at) else {
                self.searched = self.buffer.len();
                return self.too_long();
            };
            let line = self.begin..at;
            (self.begin, self.searched) = (at + 1, at + 1);
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            self.number += 1;
            let content = match line.len() > self.longest {
                true => Err(self.length_error()),
                false => read(&self.buffer[line]),
            };
            let number = self.number;
            return Some(Line { number, content });
        }
    }

    /// Refuses a line that is too long before it is complete, and drops what there is.
    fn too_long(&mut self) -> Option<Line> {
        if self.skipping {
            self.begin = self.buffer.len();
            return None;
        }
        if self.stored() <= self.longest {
            return None;
        }
        self.begin = self.buffer.len();
        self.skipping = true;
        self.number += 1;
        Some(Line {
            number: self.number,
            content: Err(self.length_error()),
        })
    }

    fn length_error(&self) -> (Code, String) {
        let message = format!("the line has more than {} bytes", self.longest);
        (Code::EVENT_TOO_LARGE, message)
    }

    /// Returns the last line, if no break ends it.
    pub(crate) fn finish(mut self) -> Option<Line> {
        if self.skipping || self.stored() == 0 {
            return None;
        }
        self.number += 1;
        Some(Line {
            number: self.number,
            content: read(&self.buffer[self.begin..]),
        })
    }
}

fn read(line: &[u8]) -> Result<Content, (Code, String)> {
    let refuse = |message: String| (Code::INVALID_TOPIC, message);
    if line.trim_ascii().is_empty() {
        return Ok(Content::Empty);
    }
    // A struct could also be read from an array of its fields.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(refuse("it is not a JSON object of an event".into()));
    }
    let event: Event = serde_json::from_slice(line).map_err(|error| {
        refuse(format!(
            "it is not a JSON object of an event: {}",
            what(&error)
        ))
    })?;
    if event.is_notice() && event.data.is_none() {
        return Ok(Content::Notice);
    }
    let data = event.data.ok_or_else(|| refuse("it has no data".into()))?;
    let topic = event
        .topic
        .ok_or_else(|| refuse("it has no topic".into()))?;
    if topic.len() > TOPIC_BYTES {
        return Err(refuse(format!(
            "its topic has more than {TOPIC_BYTES} bytes"
        )));
    }
    let data = match event.encoding.as_deref() {
        None => data.into_bytes(),
        Some("base64") => BASE64_STANDARD
            .decode(data)
            .map_err(|error| refuse(format!("its data is not base64: {error}")))?,
        Some(other) => {
            let message = format!("its encoding {other:?} is unknown: base64 is the only one");
            return Err(refuse(message));
        }
    };
    let mut publish = NewPublish::new(topic, data);
    if let Some(kind) = event.kind {
        publish = publish.kind(Kind::new(kind).map_err(|error| refuse(error.to_string()))?);
    }
    Ok(Content::Event(publish))
}

/// Returns what is wrong with a line, without the number of a line that it does not know.
fn what(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => format!("{what}, at byte {}", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the lines' numbers and topics, or what is wrong, of bytes that come in pieces.
    fn all(text: &[u8], piece: usize, longest: usize) -> Vec<(u64, Result<String, String>)> {
        let mut lines = Lines::new(longest);
        let mut found = Vec::new();
        let mut take = |line: Line| match line.content {
            Ok(Content::Empty) => {}
            Ok(Content::Notice) => found.push((line.number, Ok("a notice".into()))),
            Ok(Content::Event(publish)) => found.push((line.number, Ok(publish.name))),
            Err((_, message)) => found.push((line.number, Err(message))),
        };
        for piece in text.chunks(piece) {
            lines.push(piece);
            while let Some(line) = lines.next() {
                take(line);
            }
        }
        if let Some(line) = lines.finish() {
            take(line);
        }
        found
    }

    #[test]
    fn lines_may_come_in_any_pieces() {
        let text = b"{\"topic\":\"a\",\"data\":\"1\"}\r\n\n{\"gap\":{}}\n{\"topic\":\"b\",\"data\":\"/w==\",\
                     \"encoding\":\"base64\",\"id\":\"1-2\"}\n{\"topic\":\"c\",\"data\":\"\"}";
        for piece in [1, 2, 3, 7, 1_000] {
            let found = all(text, piece, 200);
            let expected = [
                (1, Ok("a".into())),
                (3, Ok("a notice".into())),
                (4, Ok("b".into())),
                (5, Ok("c".into())),
            ];
            assert_eq!(found, expected, "{piece}");
        }
    }

    #[test]
    fn a_line_that_is_wrong_or_too_long_does_not_stop_the_others() {
        let long = "x".repeat(200);
        let text = format!(
            "nonsense\n{{\"topic\":\"{long}\",\"data\":\"1\"}}\n{{\"data\":\"1\"}}\n\
             {{\"topic\":\"a\",\"data\":\"1\",\"encoding\":\"hex\"}}\n{{\"topic\":\"b\",\"data\":\"1\"}}\n\
             {{\"topic\":\"a\",\"dat\":\"1\"}}\n"
        );
        for piece in [1, 50, 1_000] {
            let found = all(text.as_bytes(), piece, 100);
            let numbers: Vec<_> = found.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, [1, 2, 3, 4, 5, 6], "{piece}");
            let wrong = |n: usize| found[n].1.as_ref().unwrap_err().clone();
            assert!(
                wrong(0) == "it is not a JSON object of an event",
                "{}",
                wrong(0)
            );
            assert_eq!(wrong(1), "the line has more than 100 bytes");
            assert_eq!(wrong(2), "it has no topic");
            assert!(wrong(3).contains("base64 is the only one"));
            assert_eq!(found[4].1, Ok("b".into()));
            assert_eq!(wrong(5), "it has no data");
        }
    }

    #[test]
    fn a_line_that_never_ends_is_not_stored() {
        let mut lines = Lines::new(100);
        for _ in 0..1_000 {
            lines.push(&[b'x'; 90]);
            let _ = lines.next();
            assert!(lines.stored() <= 200);
        }
        assert_eq!(lines.number, 1);
        assert!(lines.finish().is_none());
    }
}
