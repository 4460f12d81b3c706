//! What is written as it stands, without `h3`.

use bytes::{Bytes, BytesMut};

use super::settings::Settings;
use super::varint;

/// The answer 431 with nothing else: a head with a literal value for the static table's name 24,
/// `:status` (RFC 9204, section 4.5.4).
pub(super) const HEAD_TOO_LONG: Bytes =
    Bytes::from_static(&[0x01, 0x07, 0x00, 0x00, 0x5f, 0x09, 0x03, b'4', b'3', b'1']);

/// The kinds of frames.
const DATA: u64 = 0x0;
const HEADERS: u64 = 0x1;
const SETTINGS: u64 = 0x4;

const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x8;
const H3_DATAGRAM: u64 = 0x33;

/// How drafts of WebTransport say that one session may be open: draft 2, which browsers settled on,
/// and the later ones.
const WEB_TRANSPORT: [u64; 3] = [0x2b60_3742, 0xc671_706a, 0x14e9_cd29];

/// Returns how a control stream begins: with its type and the settings. `h3` does not know all of
/// them.
pub(super) fn control(settings: &Settings) -> Bytes {
    let mut pairs = vec![(MAX_FIELD_SECTION_SIZE, settings.max_head as u64)];
    if settings.web_transport {
        pairs.extend([(ENABLE_CONNECT_PROTOCOL, 1), (H3_DATAGRAM, 1)]);
        pairs.extend(WEB_TRANSPORT.map(|draft| (draft, 1)));
    }
    let mut payload = BytesMut::new();
    for (name, value) in pairs {
        varint::put(name, &mut payload);
        varint::put(value, &mut payload);
    }
    let mut out = BytesMut::new();
    // The type of the stream.
    varint::put(0, &mut out);
    varint::put(SETTINGS, &mut out);
    varint::put(payload.len() as u64, &mut out);
    out.extend_from_slice(&payload);
    out.freeze()
}

/// Returns the frame with an encoded head.
pub(super) fn headers(head: &Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(9 + head.len());
    varint::put(HEADERS, &mut out);
    varint::put(head.len() as u64, &mut out);
    out.extend_from_slice(head);
    out.freeze()
}

/// Returns how a data frame of this length begins.
pub(super) fn data(length: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(9);
    varint::put(DATA, &mut out);
    varint::put(length as u64, &mut out);
    out.freeze()
}
