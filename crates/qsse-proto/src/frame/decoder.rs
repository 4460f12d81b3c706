//! [`Decoder`]: assembles frames from chunks of any size.

use super::{Frame, HEADER_BYTES, LENGTH_BYTES, kind};
use crate::error::DecodeError;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// How far ahead of the received bytes memory is reserved at least, if the frame is that long. More
/// is reserved only for as much as has arrived, so that a length alone costs next to nothing.
const AHEAD: usize = 4 * 1024;

/// A frame whose beginning has arrived. [`Decoder::unfinished`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished<'d> {
    /// What the frame is; see [`kind`].
    pub kind: u8,
    /// The beginning of its body.
    pub body: &'d [u8],
    /// The bytes that its whole body will have. It is within the decoder's limit.
    pub body_bytes: usize,
}

/// Takes chunks as they arrive and returns whole frames, for control and publishing streams.
///
/// A frame inside one chunk is a slice of it. A frame that straddles chunks is copied once. Frames
/// in the extension range are skipped (`QP-3.5`).
///
/// ```
/// use bytes::Bytes;
/// use qsse_proto::Frame;
/// use qsse_proto::frame::Decoder;
///
/// let mut decoder = Decoder::new(1024);
/// decoder.push(Bytes::from_static(&[3, 0, 0]));
/// assert_eq!(decoder.next()?, None);
/// decoder.push(Bytes::from_static(&[0, 0x03, 0xaa, 0xbb]));
/// let body = Bytes::from_static(&[0xaa, 0xbb]);
/// assert_eq!(decoder.next()?, Some(Frame { kind: 3, body }));
/// assert!(decoder.is_empty());
/// # Ok::<(), qsse_proto::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    max_len: usize,
    chunks: VecDeque<Bytes>,
    /// The beginning of a frame that straddles chunks, with its header.
    partial: BytesMut,
    /// How many bytes of an extension frame are still to be skipped.
    skip: usize,
    copied: u64,
}

impl Decoder {
    /// Creates a decoder for frames whose length field is at most `max_len`.
    pub fn new(max_len: usize) -> Self {
        Self {
            max_len,
            // One chunk is usual. The default growth would allocate room for four.
            chunks: VecDeque::with_capacity(1),
            partial: BytesMut::new(),
            skip: 0,
            copied: 0,
        }
    }

    /// Sets the limit for frames whose header has not been read yet.
    ///
    /// [`next`](Decoder::next) reads no header in advance, so a limit that is set after it returned
    /// a frame applies to the next frame.
    pub fn set_max_len(&mut self, max_len: usize) {
        self.max_len = max_len;
    }

    /// Adds the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Returns the next whole frame, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// A length is over the limit or 0. It is checked as soon as its four bytes have arrived. An
    /// error is final.
    #[expect(
        clippy::should_implement_trait,
        reason = "`None` is not the end, it means that more bytes are needed"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, DecodeError> {
        loop {
            self.drop_skipped();
            let Some(front) = self.chunks.front_mut() else {
                return Ok(None);
            };
            let frame = if self.partial.is_empty()
                && let Some(length) = length(front, self.max_len)?
                && front.len() >= LENGTH_BYTES + length
            {
                let frame = front.split_to(LENGTH_BYTES + length);
                if front.is_empty() {
                    self.chunks.pop_front();
                }
                frame
            } else {
                match self.gather()? {
                    Some(frame) => frame,
                    None => continue,
                }
            };
            let kind = frame[LENGTH_BYTES];
            if !kind::is_extension(kind) {
                let body = frame.slice(HEADER_BYTES..);
                return Ok(Some(Frame { kind, body }));
            }
        }
    }

    /// Returns the frame whose beginning has arrived, once its kind has; `None` if there is none,
    /// or if it is skipped. Call it after [`next`](Self::next) has returned `None`.
    pub fn unfinished(&self) -> Option<Unfinished<'_>> {
        let (kind, body) = self.partial.get(LENGTH_BYTES..)?.split_first()?;
        let length = length(&self.partial, usize::MAX).ok()??;
        Some(Unfinished {
            kind: *kind,
            body,
            body_bytes: length - 1,
        })
    }

    /// Drops the frame whose beginning has arrived, and skips its rest as it arrives. Does nothing
    /// if [`unfinished`](Self::unfinished) returns `None`.
    pub fn skip_unfinished(&mut self) {
        if let Some(unfinished) = self.unfinished() {
            self.skip = unfinished.body_bytes - unfinished.body.len();
            self.partial = BytesMut::new();
        }
    }

    /// Returns how many bytes of an unfinished frame are stored; 0 between two frames, and while a
    /// frame is skipped. Call it after [`next`](Self::next) has returned `None`.
    pub fn stored(&self) -> usize {
        self.partial.len()
    }

    /// Returns whether all bytes so far have been returned in frames. If not, a stream that ends
    /// now ends inside a frame.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.partial.is_empty() && self.skip == 0
    }

    /// Returns how many bytes were copied to join chunks, and how many are reserved for that.
    #[doc(hidden)]
    pub fn effort(&self) -> (u64, usize) {
        (self.copied, self.partial.capacity())
    }

    /// Moves the first chunk's part of a straddling frame into `partial`. Returns the frame once it
    /// is complete.
    fn gather(&mut self) -> Result<Option<Bytes>, DecodeError> {
        if self.partial.len() < HEADER_BYTES {
            self.copy(HEADER_BYTES - self.partial.len());
        }
        let Some(length) = length(&self.partial, self.max_len)? else {
            return Ok(None);
        };
        let Some(&kind) = self.partial.get(LENGTH_BYTES) else {
            return Ok(None);
        };
        let missing = LENGTH_BYTES + length - self.partial.len();
        if kind::is_extension(kind) {
            self.partial.clear();
            self.skip = missing;
            return Ok(None);
        }
        self.copy(missing);
        Ok((self.partial.len() == LENGTH_BYTES + length).then(|| self.partial.split().freeze()))
    }

    /// Copies up to `missing` bytes from the first chunk.
    fn copy(&mut self, missing: usize) {
        let Some(front) = self.chunks.front_mut() else {
            return;
        };
        let count = missing.min(front.len());
        if self.partial.capacity() - self.partial.len() < count {
            let ahead = self.partial.len().max(AHEAD);
            self.partial.reserve(missing.min(ahead).max(count));
        }
        self.partial.extend_from_slice(&front[..count]);
        self.copied += count as u64;
        front.advance(count);
        if front.is_empty() {
            self.chunks.pop_front();
        }
    }

    fn drop_skipped(&mut self) {
        while self.skip > 0
            && let Some(front) = self.chunks.front_mut()
        {
            let count = self.skip.min(front.len());
            front.advance(count);
            self.skip -= count;
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
    }
}

/// Returns the checked length field, once its bytes have arrived (`QP-3.1`, `QP-3.2`).
pub(crate) fn length(bytes: &[u8], max_len: usize) -> Result<Option<usize>, DecodeError> {
    let Some(&field) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(field) as usize;
    if length == 0 {
        return Err(DecodeError::EmptyFrame);
    }
    if length > max_len {
        return Err(DecodeError::FrameTooLarge {
            bytes: length,
            limit: max_len,
        });
    }
    Ok(Some(length))
}
