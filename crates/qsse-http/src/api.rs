//! The bodies of answers.

use qsse_server::{EventId, TopicInfo};
use serde::{Deserialize, Serialize};

/// The answer to `POST /publish/TOPIC`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublishedOne {
    pub(crate) id: EventId,
}

/// The answer to `POST /publish-matching/PATTERN`: the topics that were reached, an event each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reached {
    /// The number of events.
    pub count: u64,
    /// The id of the first one.
    pub first: Option<EventId>,
    /// The id of the last one.
    pub last: Option<EventId>,
}

/// The answer to `POST /publish`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PublishedLines {
    /// The number of events that were published.
    pub count: u64,
    /// The id of the first one.
    pub first: Option<EventId>,
    /// The id of the last one.
    pub last: Option<EventId>,
    /// The number of notices, such as gaps, which were skipped.
    pub skipped: u64,
    /// The number of lines that were refused.
    pub refused_count: u64,
    /// The first of these lines, at most 100.
    pub refused: Vec<RefusedLine>,
}

/// A line of `POST /publish` that was not published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RefusedLine {
    /// The number of the line, from 1.
    pub line: u64,
    /// The number of a code of the protocol.
    pub code: u64,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The answer to `GET /topics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Topics {
    /// The topics, by name.
    pub topics: Vec<TopicInfo>,
}

/// The answer to `GET /.well-known/qsse/certificate-hashes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CertificateHashes {
    /// That of the certificate in use, and that of the next one.
    pub hashes: Vec<CertificateHash>,
}

/// The hash of a certificate, as WebTransport's `serverCertificateHashes` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CertificateHash {
    /// `sha-256`.
    pub algorithm: String,
    /// The hash of the certificate's DER form, in base64.
    pub value: String,
}

impl PublishedLines {
    /// The most refused lines that are listed.
    const LISTED: usize = 100;

    /// The longest message.
    const MESSAGE_BYTES: usize = 512;

    pub(crate) fn refuse(&mut self, line: u64, code: u64, mut message: String) {
        self.refused_count += 1;
        let mut end = message.len().min(Self::MESSAGE_BYTES);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        if self.refused.len() < Self::LISTED {
            self.refused.push(RefusedLine {
                line,
                code,
                message,
            });
        }
    }
}
