//! What a client and a server of the Go library said to each other, as a readable text.
//!
//! ```text
//! # any comment
//! server topics people secret
//! server token right
//! server denies secret
//! > uni "{\"token\":\"right\",\"topics\":[\"people\"]}\n"
//! publish people "Ada"
//! < uni "{\"topic\":\"people\",\"data\":\"QWRh\"}\n"
//! < close 1 "not authorized"
//! ```
//!
//! `>` is what the client sent, on a stream that it then ended; `<` is what the server did. Bytes
//! are written as in Rust's byte strings. The lines beside those say how the server was set up and
//! what it published once the client had subscribed.

use std::fmt;
use std::str::FromStr;

/// One conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The topics that the server was given.
    pub topics: Vec<String>,
    /// The token that the server accepts; `None` if it accepts any.
    pub token: Option<String>,
    /// Topics that nobody may subscribe to.
    pub denied: Vec<String>,
    /// The client's bytes.
    pub offer: Vec<u8>,
    /// What the server then published: topics and data.
    pub published: Vec<(String, Vec<u8>)>,
    /// The server's bytes.
    pub answer: Vec<u8>,
    /// The application's code and reason, if the server closed the connection.
    pub close: Option<(u64, String)>,
}

/// A line that is none of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine(String);

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a line of a transcript: {}", self.0)
    }
}

impl std::error::Error for BadLine {}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "server topics {}", self.topics.join(" "))?;
        if let Some(token) = &self.token {
            writeln!(f, "server token {token}")?;
        }
        if !self.denied.is_empty() {
            writeln!(f, "server denies {}", self.denied.join(" "))?;
        }
        writeln!(f, "> uni \"{}\"", self.offer.escape_ascii())?;
        for (topic, data) in &self.published {
            writeln!(f, "publish {topic} \"{}\"", data.escape_ascii())?;
        }
        for line in self.answer.split_inclusive(|byte| *byte == b'\n') {
            writeln!(f, "< uni \"{}\"", line.escape_ascii())?;
        }
        if let Some((code, reason)) = &self.close {
            writeln!(f, "< close {code} \"{}\"", reason.as_bytes().escape_ascii())?;
        }
        Ok(())
    }
}

impl FromStr for Transcript {
    type Err = BadLine;

    fn from_str(text: &str) -> Result<Self, BadLine> {
        let mut transcript = Self::default();
        for line in text.lines() {
            let known = line.is_empty() || line.starts_with('#') || transcript.read(line).is_some();
            if !known {
                return Err(BadLine(line.to_owned()));
            }
        }
        Ok(transcript)
    }
}

impl Transcript {
    fn read(&mut self, line: &str) -> Option<()> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        if let Some(topics) = line.strip_prefix("server topics") {
            self.topics = words(topics);
        } else if let Some(token) = line.strip_prefix("server token ") {
            self.token = Some(token.to_owned());
        } else if let Some(topics) = line.strip_prefix("server denies ") {
            self.denied = words(topics);
        } else if let Some(bytes) = line.strip_prefix("> uni ") {
            self.offer.extend(unquote(bytes)?);
        } else if let Some(bytes) = line.strip_prefix("< uni ") {
            self.answer.extend(unquote(bytes)?);
        } else if let Some(event) = line.strip_prefix("publish ") {
            let (topic, data) = event.split_once(' ')?;
            self.published.push((topic.to_owned(), unquote(data)?));
        } else {
            let (code, reason) = line.strip_prefix("< close ")?.split_once(' ')?;
            let reason = String::from_utf8(unquote(reason)?).ok()?;
            self.close = Some((code.parse().ok()?, reason));
        }
        Some(())
    }
}

/// The bytes of a quoted text.
fn unquote(text: &str) -> Option<Vec<u8>> {
    let mut rest = text.strip_prefix('"')?.strip_suffix('"')?.bytes();
    let mut bytes = Vec::new();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            quoted @ (b'\\' | b'"' | b'\'') => quoted,
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_reads_what_it_writes() {
        let transcript = Transcript {
            topics: vec!["a".to_owned(), "b.*".to_owned()],
            token: Some("right".to_owned()),
            denied: vec!["b.*".to_owned()],
            offer: b"{\"topics\":[\"a\"]}\n".to_vec(),
            published: vec![
                ("a".to_owned(), (0..=255).collect()),
                ("a".to_owned(), vec![]),
            ],
            answer: b"{\"topic\":\"a\"}\n{\"topic\":\"a\",\"data\":\"\"}\n".to_vec(),
            close: Some((1, "not \"authorized\"".to_owned())),
        };
        let text = transcript.to_string();
        assert_eq!(text.parse(), Ok(transcript), "{text}");
        assert_eq!("# nothing\n\n".parse(), Ok(Transcript::default()));
    }

    #[test]
    fn what_is_no_line_of_a_transcript_is_named() {
        for line in [
            "< uni a",
            "< uni \"\\q\"",
            "< uni \"\\x1\"",
            "server rests",
            "< close one \"\"",
            "publish \"a\"",
        ] {
            let error = line.parse::<Transcript>().expect_err(line);
            assert!(error.to_string().ends_with(line), "{error}");
        }
    }
}
