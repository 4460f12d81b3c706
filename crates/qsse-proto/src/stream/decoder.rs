//! [`Decoder`]: decodes items from chunks of any size, each as soon as its own bytes have arrived.

mod state;

use super::input::{ChunkRange, Input};
use super::{EpochChange, Gap, Heartbeat, Item, StreamHeader};
use crate::batch::{self, EventMeta, Head, Preamble, Reading, malformed, stopped};
use crate::error::DecodeError;
use crate::event::{Event, LentEvent};
use crate::event_id::{Epoch, EventId};
use crate::frame::{self, Frame, HEADER_BYTES, LENGTH_BYTES, kind};
use crate::limits::{self, BATCH_BYTES};
use crate::varint::Stop;
use bytes::{Bytes, BytesMut};
use state::State;

/// Decodes a subscription's stream.
///
/// Chunks go in as they are received, and items come out. An event is returned as soon as its last
/// byte has arrived, whatever follows it in its batch. Its data is a slice of the chunk, or a copy
/// if it straddles chunks. A topic that the stream has named before costs no allocation.
///
/// The decoder enforces the protocol: the header first and once, rising seqs, events within the
/// limit, and no leftover bytes.
///
/// ```text
///         header, gap, heartbeat, epoch         first seq, first time
/// +-------+ <------------------- +-------+ ----------------> +----------+
/// | Small |                      | Frame |                   | Preamble |
/// +-------+ -------------------> +-------+ <------------+    +----------+
///                item              ^   |                 \        |
///                     all skipped  |   | extension    end \       v
///                                +-------+             +--------+ head  +------+
///                                | Skip  |             | Events | <---> | Data |
///                                +-------+             +--------+ event +------+
/// ```
///
/// `Data` is only for an event that is not in one chunk.
#[derive(Debug)]
pub struct Decoder {
    input: Input,
    max_event_bytes: usize,
    state: State,
    /// The length of the current frame's body, and how much of it has not been read.
    body: usize,
    left: usize,
    /// Whether the header has arrived.
    started: bool,
    /// The epoch of the next item.
    epoch: Epoch,
    /// All further events come after this seq.
    position: u64,
    reading: Reading,
    /// The event that is lent.
    lent: Option<WholeEvent>,
    /// An event whose data straddles chunks, and the data that has arrived.
    straddling: Option<EventMeta>,
    data: BytesMut,
}

/// An event whose data is in one chunk.
#[derive(Clone, Debug)]
struct WholeEvent {
    meta: EventMeta,
    data: ChunkRange,
}

/// The result of a step.
enum Flow {
    /// The step produced an item.
    Item(Item),
    /// The next step can follow.
    Go,
    /// The next step needs more bytes.
    Wait,
}

impl Decoder {
    /// Creates a decoder at the start of a stream whose events have at most `max_event_bytes` of
    /// data.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            input: Input::default(),
            max_event_bytes,
            state: State::Frame,
            body: 0,
            left: 0,
            started: false,
            epoch: Epoch::new(0),
            position: 0,
            reading: Reading::new(),
            lent: None,
            straddling: None,
            data: BytesMut::new(),
        }
    }

    /// Adds the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        self.lent = None;
        self.input.push(chunk);
    }

    /// Returns the next item, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// The stream violates the protocol, or a length is over its limit. Lengths are checked before
    /// memory is allocated for them. An error is final, and further calls return it again.
    #[expect(
        clippy::should_implement_trait,
        reason = "`None` is not the end, it means that more bytes are needed"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Item>, DecodeError> {
        loop {
            if let Some(event) = self.next_event() {
                return Ok(Some(Item::Event(event)));
            }
            match self.step() {
                Ok(Flow::Item(item)) => return Ok(Some(item)),
                Ok(Flow::Go) => {}
                Ok(Flow::Wait) => return Ok(None),
                Err(error) => {
                    self.state = State::Failed(Box::new(error.clone()));
                    return Err(error);
                }
            }
        }
    }

    /// Returns the next item if it is an event in one chunk, as most items are. This is the fast
    /// path. After `None`, call [`next`](Self::next).
    #[inline]
    pub fn next_event(&mut self) -> Option<Event> {
        self.lent = None;
        let WholeEvent { meta, data } = self.whole_event()?;
        let data = self.input.share(data);
        Some(self.reading.event(self.epoch, meta, data))
    }

    /// Advances as [`next_event`](Self::next_event) does, and [lends](Self::lent) the event. After
    /// `false`, call [`next`](Self::next).
    #[inline]
    pub fn lend_next(&mut self) -> bool {
        self.lent = self.whole_event();
        self.lent.is_some()
    }

    /// Returns the event that the last call of [`lend_next`](Self::lend_next) advanced to, if there
    /// was no other call since.
    #[inline]
    pub fn lent(&self) -> Option<LentEvent<'_>> {
        let WholeEvent { meta, data } = self.lent.as_ref()?;
        let data = self.input.borrow(data);
        Some(self.reading.lend(self.epoch, meta, data))
    }

    /// Returns whether all bytes so far belong to whole frames that have been read. If not, a
    /// stream that ends now ends inside a frame.
    pub fn is_empty(&self) -> bool {
        matches!(self.state, State::Frame) && self.input.is_empty()
    }

    /// Returns how many bytes were copied to join chunks, and how many are reserved for that.
    #[doc(hidden)]
    pub fn effort(&self) -> (u64, usize) {
        (self.input.copied(), self.data.capacity())
    }

    /// Advances past the next event, if it is valid and in one chunk.
    #[inline]
    fn whole_event(&mut self) -> Option<WholeEvent> {
        if !matches!(self.state, State::Events) {
            return None;
        }
        let window = self.input.chunk()?;
        let window = &window[..window.len().min(self.left)];
        let head = Head::read(window).ok()?;
        let data_len = usize::try_from(head.data_len).ok()?;
        if data_len > self.max_event_bytes.min(window.len() - head.len) {
            return None;
        }
        let len = head.len + data_len;
        if self.must_be_only_event() && len < self.left {
            return None;
        }
        let meta = self.reading.accept(&head).ok()?;
        let data = self.input.take(head.len, data_len);
        self.position = meta.seq;
        self.left -= len;
        if self.left == 0 {
            self.state = State::Frame;
        }
        Some(WholeEvent { meta, data })
    }

    /// Does what the state requires, outside of the fast path.
    fn step(&mut self) -> Result<Flow, DecodeError> {
        match &self.state {
            State::Frame => self.frame_header(),
            State::Small(kind) => self.small_frame(*kind),
            State::Skip => Ok(self.skip_extension()),
            State::Preamble => self.preamble(),
            State::Events => self.event_head(),
            State::Data(length) => Ok(self.straddling_data(*length)),
            State::Failed(error) => Err(DecodeError::clone(error)),
        }
    }

    /// Reads the header of a frame, and checks that its kind is allowed here.
    fn frame_header(&mut self) -> Result<Flow, DecodeError> {
        let limit = limits::event_frame_bytes(self.max_event_bytes);
        let window = self.input.window();
        let Some(length) = frame::length(window, limit)? else {
            return Ok(self.need_more());
        };
        let Some(&kind) = window.get(LENGTH_BYTES) else {
            return Ok(self.need_more());
        };
        self.state = State::of_frame(kind, length, self.started)?;
        self.input.consume(HEADER_BYTES);
        self.body = length - 1;
        self.left = self.body;
        Ok(Flow::Go)
    }

    fn skip_extension(&mut self) -> Flow {
        self.left -= self.input.skip(self.left);
        if self.left > 0 {
            return Flow::Wait;
        }
        self.state = State::Frame;
        Flow::Go
    }

    /// Reads a frame other than a batch.
    fn small_frame(&mut self, kind: u8) -> Result<Flow, DecodeError> {
        let Some(body) = self.input.window().get(..self.left) else {
            return Ok(self.need_more());
        };
        let body = Bytes::copy_from_slice(body);
        self.input.consume(self.left);
        self.state = State::Frame;
        self.small_item(&Frame { kind, body }).map(Flow::Item)
    }

    fn small_item(&mut self, frame: &Frame) -> Result<Item, DecodeError> {
        let wrong = |what| DecodeError::Malformed {
            kind: frame.kind,
            what,
        };
        match frame.kind {
            kind::STREAM_HEADER => {
                let header: StreamHeader = frame::decode(frame)?;
                self.started = true;
                self.epoch = header.epoch;
                self.position = header.position;
                Ok(Item::Header(header))
            }
            kind::GAP => {
                let gap: Gap = frame::decode(frame)?;
                // QP-7.1
                match gap.to.checked_sub(gap.after) {
                    Some(range) if (1..=range).contains(&gap.at_most) => Ok(Item::Gap(gap)),
                    _ => Err(wrong("a gap has no such range")),
                }
            }
            // QP-7.9
            kind::EPOCH => {
                let EpochChange { epoch } = frame::decode(frame)?;
                self.epoch = epoch;
                Ok(Item::Epoch(epoch))
            }
            _ => {
                let Heartbeat { position } = frame::decode(frame)?;
                // QP-7.5
                if position < self.position {
                    return Err(wrong("a heartbeat goes back"));
                }
                self.position = position;
                Ok(Item::Heartbeat(EventId::new(self.epoch, position)))
            }
        }
    }

    /// Reads what precedes the first event of a batch.
    fn preamble(&mut self) -> Result<Flow, DecodeError> {
        let window = self.input.window();
        let window = &window[..window.len().min(self.left)];
        let preamble = match Preamble::read(window) {
            Ok(preamble) => preamble,
            Err(Stop::Short) if window.len() < self.left => return Ok(self.need_more()),
            Err(stop) => return Err(stopped(stop, self.body)),
        };
        self.input.consume(preamble.len);
        self.left -= preamble.len;
        if self.left == 0 {
            return Err(malformed(batch::EMPTY));
        }
        // QP-6.3
        if preamble.first_seq <= self.position {
            return Err(malformed("a seq is not above those before it"));
        }
        self.reading.begin(&preamble);
        self.state = State::Events;
        Ok(Flow::Go)
    }

    /// Reads the head of an event that is incomplete, straddles chunks, or is invalid.
    fn event_head(&mut self) -> Result<Flow, DecodeError> {
        let is_only = self.must_be_only_event();
        let window = self.input.window();
        let window = &window[..window.len().min(self.left)];
        let head = match Head::read(window) {
            Ok(head) => head,
            Err(Stop::Short) if window.len() < self.left => return Ok(self.need_more()),
            Err(stop) => return Err(stopped(stop, self.body)),
        };
        // QP-6.7, QP-2.8: before the length is used.
        let room = self.left - head.len;
        if head.data_len > self.max_event_bytes as u64 {
            return Err(DecodeError::EventTooLarge {
                bytes: head.data_len,
                limit: self.max_event_bytes,
            });
        }
        let data_len = head.data_len as usize;
        if data_len > room {
            return Err(stopped(Stop::Short, self.body));
        }
        let meta = self.reading.accept(&head)?;
        let head_len = head.len;
        self.input.consume(head_len);
        self.left = room - data_len;
        self.position = meta.seq;
        if is_only && self.left > 0 {
            return Err(malformed(batch::TOO_LONG));
        }
        self.straddling = Some(meta);
        self.state = State::Data(data_len);
        Ok(Flow::Go)
    }

    /// Gathers data that straddles chunks in a buffer of its own.
    fn straddling_data(&mut self, length: usize) -> Flow {
        let missing = length - self.data.len();
        if !self.input.copy(&mut self.data, missing) {
            return Flow::Wait;
        }
        self.state = if self.left == 0 {
            State::Frame
        } else {
            State::Events
        };
        let data = self.data.split().freeze();
        let meta = self.straddling.take().expect("set with the state");
        Flow::Item(Item::Event(self.reading.event(self.epoch, meta, data)))
    }

    /// Returns whether no other event may follow the next one (`QP-6.6`).
    #[inline]
    fn must_be_only_event(&self) -> bool {
        self.reading.at_first() && self.body + HEADER_BYTES > BATCH_BYTES
    }

    /// Extends the window, which ends too early.
    fn need_more(&mut self) -> Flow {
        if self.input.carry() {
            Flow::Go
        } else {
            Flow::Wait
        }
    }
}
