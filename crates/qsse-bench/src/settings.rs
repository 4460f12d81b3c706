//! The transport settings of the raw sides.

use qsse_transport::TransportConfig;

use crate::work::Peer;

/// The server's: those of a qsse server, or the best that are known for writing as fast as
/// possible.
pub(crate) fn server(peer: Peer) -> TransportConfig {
    let ours = TransportConfig::server();
    match peer {
        Peer::RawQuinnBest => ours
            .send_window(BEST_WINDOW)
            .stream_receive_window(BEST_WINDOW)
            .receive_window(BEST_WINDOW)
            .ack_threshold(BEST_ACKS)
            .max_mtu(BEST_MTU),
        _ => ours,
    }
}

/// The client's.
pub(crate) fn client(peer: Peer) -> TransportConfig {
    let ours = TransportConfig::client();
    match peer {
        Peer::RawQuinnBest => ours
            .send_window(BEST_WINDOW)
            .stream_receive_window(BEST_WINDOW)
            .ack_threshold(BEST_ACKS)
            .max_mtu(BEST_MTU),
        _ => ours,
    }
}

/// Bytes in flight.
const BEST_WINDOW: u64 = 1 << 20;

/// Payload of a packet, where there is room.
const BEST_MTU: u16 = 6500;

/// Packets that one acknowledgement is for.
const BEST_ACKS: u32 = 25;
