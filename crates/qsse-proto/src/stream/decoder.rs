//! Items out of chunks of any size, each as soon as its own bytes have come.

use super::input::{Input, Share};
use super::{EpochChange, Gap, Heartbeat, Item, StreamHeader};
use crate::batch::{self, Head, Place, Preamble, Reading, malformed, stopped};
use crate::error::DecodeError;
use crate::event::{Event, LentEvent};
use crate::event_id::{Epoch, EventId};
use crate::frame::{self, Frame, HEADER_BYTES, LENGTH_BYTES, kind};
use crate::limits::{self, BATCH_BYTES, STREAM_FRAME_BYTES};
use crate::varint::Stop;
use bytes::{Bytes, BytesMut};

/// Reads a subscription's stream.
///
/// Chunks go in as they are received, items come out. An event is there as soon as its last byte is,
/// whatever follows it in its batch; its data is a share of the chunk, or, if it straddles chunks, a
/// copy of its own. A topic that the stream has named before costs no allocation.
///
/// It checks what the protocol demands of such a stream: the header first and once, seqs that rise,
/// events within the limit, nothing left over.
///
/// ```text
///         header, gap, heartbeat, epoch         first seq, first time
/// +-------+ <------------------- +-------+ ----------------> +----------+
/// | Small |                      | Frame |                   | Preamble |
/// +-------+ -------------------> +-------+ <------------+    +----------+
///                item              ^   |                 \        |
///                      all dropped |   | extension    end \       v
///                                +-------+             +--------+ head  +------+
///                                | Skip  |             | Events | <---> | Data |
///                                +-------+             +--------+ event +------+
/// ```
///
/// `Data` is only for data that is not yet there in one piece.
#[derive(Debug)]
pub struct Decoder {
    input: Input,
    max_event_bytes: usize,
    state: State,
    /// Length of the body of the frame that is being read, and how much of it is left.
    body: usize,
    left: usize,
    /// Whether the header has come, and what it says.
    started: bool,
    /// The epoch of what comes next.
    epoch: Epoch,
    /// Every further event is after this seq.
    position: u64,
    reading: Reading,
    /// The event that is lent.
    lent: Option<Whole>,
    /// An event whose data straddles chunks, and as much of the data as has come.
    straddling: Option<Place>,
    data: BytesMut,
}

/// An event whose data lies in one chunk.
#[derive(Clone, Debug)]
struct Whole {
    place: Place,
    data: Share,
}

#[derive(Debug)]
enum State {
    Frame,
    Small(u8),
    Skip,
    Preamble,
    Events,
    /// So many bytes of data belong to the event in `straddling`.
    Data(usize),
    Failed(Box<DecodeError>),
}

/// How it goes on after a step.
enum Flow {
    /// With something for the caller.
    Item(Item),
    /// With the next step.
    Go,
    /// Not before more bytes are there.
    Wait,
}

impl Decoder {
    /// A decoder at the beginning of a stream whose events have at most `max_event_bytes` of data.
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

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        self.lent = None;
        self.input.push(chunk);
    }

    /// The next item, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// What the protocol does not allow, and lengths over their limits, the latter before anything is
    /// allocated for them. An error is final, and given again if asked.
    #[expect(
        clippy::should_implement_trait,
        reason = "`None` is not the end, only all there is so far"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Item>, DecodeError> {
        loop {
            if let Some(event) = self.next_event() {
                return Ok(Some(Item::Event(event)));
            }
            match self.other() {
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

    /// The next item, if it is an event that lies in one chunk: what most items are, without a detour. `None` says nothing,
    /// [`next`](Self::next) does.
    #[inline]
    pub fn next_event(&mut self) -> Option<Event> {
        self.lent = None;
        let Whole { place, data } = self.whole()?;
        let data = self.input.share(data);
        Some(self.reading.event(self.epoch, place, data))
    }

    /// Goes on as [`next_event`](Self::next_event) does, and [lends](Self::lent) the event. False says nothing.
    #[inline]
    pub fn lend_next(&mut self) -> bool {
        self.lent = self.whole();
        self.lent.is_some()
    }

    /// The event that the last call, to [`lend_next`](Self::lend_next), went on to.
    #[inline]
    pub fn lent(&self) -> Option<LentEvent<'_>> {
        let Whole { place, data } = self.lent.as_ref()?;
        let data = self.input.borrow(data);
        Some(self.reading.lend(self.epoch, place, data))
    }

    /// Goes on behind the next event, if it lies in one chunk and nothing is wrong with it.
    #[inline]
    fn whole(&mut self) -> Option<Whole> {
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
        if self.reading.at_first() && self.body + HEADER_BYTES > BATCH_BYTES && len < self.left {
            return None;
        }
        let place = self.reading.accept(&head).ok()?;
        let data = self.input.take(head.len, data_len);
        self.position = place.seq;
        self.left -= len;
        if self.left == 0 {
            self.state = State::Frame;
        }
        Some(Whole { place, data })
    }

    /// Whether every byte pushed so far belongs to a whole frame that has been read: a stream that ends
    /// otherwise ends in the middle of one.
    pub fn is_empty(&self) -> bool {
        matches!(self.state, State::Frame) && self.input.is_empty()
    }

    /// How many bytes were copied to join chunks, and how many are reserved to do so.
    #[doc(hidden)]
    pub fn effort(&self) -> (u64, usize) {
        (self.input.copied(), self.data.capacity())
    }

    /// An event of which something is not there yet, that straddles chunks, or that is wrong.
    fn event(&mut self) -> Result<Flow, DecodeError> {
        let window = self.input.window();
        let window = &window[..window.len().min(self.left)];
        let head = match Head::read(window) {
            Ok(head) => head,
            Err(Stop::Short) if window.len() < self.left => return Ok(self.more()),
            Err(stop) => return Err(stopped(stop, self.body)),
        };
        // QP-6.7, QP-2.8: before anything is done with a length.
        let room = self.left - head.len;
        if head.data_len > self.max_event_bytes as u64 {
            return Err(DecodeError::EventTooLarge {
                length: head.data_len,
                limit: self.max_event_bytes,
            });
        }
        let data_len = head.data_len as usize;
        if data_len > room {
            return Err(stopped(Stop::Short, self.body));
        }
        let only = self.reading.at_first() && self.body + HEADER_BYTES > BATCH_BYTES;
        let place = self.reading.accept(&head)?;
        let head_len = head.len;
        self.input.consume(head_len);
        self.left = room - data_len;
        self.position = place.seq;
        if only && self.left > 0 {
            return Err(malformed(batch::TOO_LONG));
        }
        self.straddling = Some(place);
        self.state = State::Data(data_len);
        Ok(Flow::Go)
    }

    /// Everything that happens once for a batch, or less often.
    fn other(&mut self) -> Result<Flow, DecodeError> {
        match &self.state {
            State::Frame => self.frame(),
            State::Small(kind) => self.small(*kind),
            State::Skip => {
                self.left -= self.input.skip(self.left);
                if self.left > 0 {
                    return Ok(Flow::Wait);
                }
                self.state = State::Frame;
                Ok(Flow::Go)
            }
            State::Preamble => self.preamble(),
            State::Events => self.event(),
            State::Data(length) => Ok(self.straddling(*length)),
            State::Failed(error) => Err(DecodeError::clone(error)),
        }
    }

    /// The header of a frame, and whether it may be here.
    fn frame(&mut self) -> Result<Flow, DecodeError> {
        let limit = limits::event_frame_bytes(self.max_event_bytes);
        let window = self.input.window();
        let Some(length) = frame::length(window, limit)? else {
            return Ok(self.more());
        };
        let Some(&kind) = window.get(LENGTH_BYTES) else {
            return Ok(self.more());
        };
        self.state = match kind {
            // QP-3.5
            _ if kind::is_extension(kind) => State::Skip,
            // QP-5.6: the header comes first and once.
            kind::STREAM_HEADER | kind::BATCH | kind::GAP | kind::HEARTBEAT | kind::EPOCH
                if (kind == kind::STREAM_HEADER) == self.started =>
            {
                return Err(DecodeError::UnexpectedFrame { kind });
            }
            kind::BATCH => State::Preamble,
            kind::STREAM_HEADER | kind::GAP | kind::HEARTBEAT | kind::EPOCH => {
                if length > STREAM_FRAME_BYTES {
                    let limit = STREAM_FRAME_BYTES;
                    return Err(DecodeError::FrameTooLarge { length, limit });
                }
                State::Small(kind)
            }
            kind => return Err(DecodeError::misplaced(kind)),
        };
        self.input.consume(HEADER_BYTES);
        self.body = length - 1;
        self.left = self.body;
        Ok(Flow::Go)
    }

    /// A frame that is no batch.
    fn small(&mut self, kind: u8) -> Result<Flow, DecodeError> {
        let Some(body) = self.input.window().get(..self.left) else {
            return Ok(self.more());
        };
        let body = Bytes::copy_from_slice(body);
        self.input.consume(self.left);
        self.state = State::Frame;
        self.item_of(&Frame { kind, body }).map(Flow::Item)
    }

    fn item_of(&mut self, frame: &Frame) -> Result<Item, DecodeError> {
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

    /// The beginning of a batch.
    fn preamble(&mut self) -> Result<Flow, DecodeError> {
        let window = self.input.window();
        let window = &window[..window.len().min(self.left)];
        let preamble = match Preamble::read(window) {
            Ok(preamble) => preamble,
            Err(Stop::Short) if window.len() < self.left => return Ok(self.more()),
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

    /// Data that has not come in one piece: gathered in a buffer of its own.
    fn straddling(&mut self, length: usize) -> Flow {
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
        let place = self.straddling.take().expect("set with the state");
        Flow::Item(Item::Event(self.reading.event(self.epoch, place, data)))
    }

    /// Waits for what the window does not have yet.
    fn more(&mut self) -> Flow {
        if self.input.carry() {
            Flow::Go
        } else {
            Flow::Wait
        }
    }
}
