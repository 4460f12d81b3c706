//! [`LineDecoder`]: assembles lines from chunks of any size.

use super::LineError;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// Takes chunks as they arrive and returns whole lines, without their line breaks.
///
/// A line that never ends is an error as soon as it exceeds the limit (`QP-12.5`).
#[derive(Debug)]
pub struct LineDecoder {
    max_len: usize,
    chunks: VecDeque<Bytes>,
    partial: BytesMut,
    failed: bool,
}

impl LineDecoder {
    /// Creates a decoder for lines of at most `max_len` bytes, without the line break.
    pub fn new(max_len: usize) -> Self {
        Self {
            max_len,
            chunks: VecDeque::new(),
            partial: BytesMut::new(),
            failed: false,
        }
    }

    /// Adds the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Returns the next whole line, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// [`LineError::TooLong`], which is final.
    #[expect(
        clippy::should_implement_trait,
        reason = "`None` is not the end, it means that more bytes are needed"
    )]
    pub fn next(&mut self) -> Result<Option<Bytes>, LineError> {
        while let Some(front) = self.chunks.front_mut() {
            let end = front.iter().position(|&byte| byte == b'\n');
            let part = end.unwrap_or(front.len());
            if self.failed || part > self.max_len - self.partial.len() {
                self.failed = true;
                self.partial = BytesMut::new();
                return Err(LineError::TooLong {
                    limit: self.max_len,
                });
            }
            let piece = front.split_to(part);
            if end.is_some() {
                front.advance(1);
            }
            if front.is_empty() {
                self.chunks.pop_front();
            }
            if end.is_some() && self.partial.is_empty() {
                return Ok(Some(piece));
            }
            self.partial.extend_from_slice(&piece);
            if end.is_some() {
                return Ok(Some(self.partial.split().freeze()));
            }
        }
        Ok(None)
    }

    /// Returns the last line if the stream ended without a line break.
    pub fn finish(self) -> Option<Bytes> {
        (!self.partial.is_empty()).then(|| self.partial.freeze())
    }
}
