//! Tests of [`Coalescing`] over a socket that records what it sends.

use std::task::Waker;

use super::*;

const LIMIT: usize = 8;
const DATAGRAM: usize = 100;

/// Records what it sends.
#[derive(Debug, Default)]
struct Recorder {
    calls: Mutex<Vec<Call>>,
    blocked: Mutex<Option<Vec<Waker>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    to: SocketAddr,
    datagrams: Vec<Vec<u8>>,
}

impl Recorder {
    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn block(&self) {
        *self.blocked.lock().unwrap() = Some(Vec::new());
    }

    fn unblock(&self) {
        let wakers = self.blocked.lock().unwrap().take();
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl AsyncUdpSocket for Recorder {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable(self))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.blocked.lock().unwrap().is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.calls.lock().unwrap().push(Call::of(transmit));
        Ok(())
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        _: &mut [IoSliceMut<'_>],
        _: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(address(0))
    }

    fn max_transmit_segments(&self) -> usize {
        LIMIT
    }
}

#[derive(Debug)]
struct Writable(Arc<Recorder>);

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.blocked.lock().unwrap() {
            Some(wakers) => {
                wakers.push(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Call {
    fn of(transmit: &Transmit<'_>) -> Self {
        let datagram = transmit.segment_size.unwrap_or(transmit.contents.len());
        let datagrams: Vec<_> = transmit
            .contents
            .chunks(datagram)
            .map(<[u8]>::to_vec)
            .collect();
        assert!(datagrams.len() <= LIMIT, "the system takes no more");
        assert!(
            transmit.contents.len() <= MAX_RUN_BYTES,
            "the system takes no more"
        );
        Self {
            to: transmit.destination,
            datagrams,
        }
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn coalescing() -> (Arc<Recorder>, Arc<Coalescing>) {
    let recorder = Arc::new(Recorder::default());
    (Arc::clone(&recorder), Coalescing::new(recorder))
}

/// Some datagrams of `datagram` bytes, the last one as short as it has to be.
fn run(to: u16, contents: &[u8], datagram: usize) -> Transmit<'_> {
    Transmit {
        destination: address(to),
        ecn: None,
        contents,
        segment_size: (datagram < contents.len()).then_some(datagram),
        src_ip: None,
    }
}

/// Returns how many bytes each call sent.
fn lengths(recorder: &Recorder) -> Vec<usize> {
    let length = |call: &Call| call.datagrams.iter().map(Vec::len).sum();
    recorder.calls().iter().map(length).collect()
}

/// Lets the runtime run all that is ready, and what that makes ready.
async fn turns() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn whole_runs_wait_for_the_end_of_the_turn_and_leave_in_one_call() {
    let (recorder, coalescing) = coalescing();
    for _ in 0..3 {
        coalescing
            .try_send(&run(1, &[7; 2 * DATAGRAM], DATAGRAM))
            .unwrap();
        assert_eq!(recorder.calls(), []);
    }
    turns().await;
    assert_eq!(lengths(&recorder), [6 * DATAGRAM]);
}

#[tokio::test]
async fn a_full_run_leaves_at_once() {
    let (recorder, coalescing) = coalescing();
    for _ in 0..2 {
        coalescing
            .try_send(&run(1, &[7; 4 * DATAGRAM], DATAGRAM))
            .unwrap();
    }
    assert_eq!(lengths(&recorder), [LIMIT * DATAGRAM]);
    // So does one of as many bytes as a call may have.
    for _ in 0..2 {
        coalescing.try_send(&run(1, &[7; 32_000], 16_000)).unwrap();
    }
    assert_eq!(lengths(&recorder)[1..], [64_000]);
}

#[tokio::test]
async fn a_shorter_datagram_ends_a_run() {
    for (last, datagram) in [(150, DATAGRAM), (50, 50), (100, 100)] {
        let (recorder, coalescing) = coalescing();
        coalescing
            .try_send(&run(1, &[7; 2 * DATAGRAM], DATAGRAM))
            .unwrap();
        coalescing
            .try_send(&run(1, &vec![7; last], datagram))
            .unwrap();
        if last != DATAGRAM {
            assert_eq!(lengths(&recorder), [2 * DATAGRAM + last], "without waiting");
        }
        turns().await;
        assert_eq!(lengths(&recorder), [2 * DATAGRAM + last]);
    }
}

#[tokio::test]
async fn what_differs_is_sent_apart_and_in_order() {
    let whole = [7; 2 * DATAGRAM];
    let ecn = Transmit {
        ecn: Some(EcnCodepoint::Ect0),
        ..run(1, &whole, DATAGRAM)
    };
    let source = Transmit {
        src_ip: Some(address(0).ip()),
        ..run(1, &whole, DATAGRAM)
    };
    let longer = run(1, &[8; DATAGRAM + 1], usize::MAX);
    let shorter = run(1, &[8; 120], 60);
    for other in [run(2, &whole, DATAGRAM), ecn, source, longer, shorter] {
        let (recorder, coalescing) = coalescing();
        let first = run(1, &whole, DATAGRAM);
        coalescing.try_send(&first).unwrap();
        coalescing.try_send(&other).unwrap();
        turns().await;
        assert_eq!(recorder.calls(), [Call::of(&first), Call::of(&other)]);
    }
}

#[tokio::test]
async fn single_datagrams_leave_at_once() {
    let (recorder, coalescing) = coalescing();
    for _ in 0..2 {
        coalescing
            .try_send(&run(1, &[7; DATAGRAM], DATAGRAM))
            .unwrap();
    }
    assert_eq!(lengths(&recorder), [DATAGRAM, DATAGRAM]);
}

#[tokio::test]
async fn a_full_socket_holds_everybody_up_and_loses_nothing() {
    let (recorder, coalescing) = coalescing();
    let (first, second) = (run(1, &[7; 200], DATAGRAM), run(2, &[8; 200], DATAGRAM));
    recorder.block();
    coalescing.try_send(&first).unwrap();
    let refused = coalescing.try_send(&second).unwrap_err();
    assert!(is_blocked(&refused));
    turns().await;
    assert_eq!(recorder.calls(), []);
    recorder.unblock();
    turns().await;
    assert_eq!(recorder.calls(), [Call::of(&first)]);
    coalescing.try_send(&second).unwrap();
    drop(coalescing);
    assert_eq!(recorder.calls(), [Call::of(&first), Call::of(&second)]);
}

#[tokio::test]
async fn any_mixture_arrives_whole_and_in_order() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let (recorder, coalescing) = coalescing();
    let mut expected = Vec::new();
    for number in 0..20_000_u32 {
        let datagram = [50, DATAGRAM, 16_000][next(3) as usize];
        let count = 1 + next(if datagram == 16_000 { 4 } else { LIMIT as u64 }) as usize;
        let cut = if next(3) == 0 { next(40) as usize } else { 0 };
        let mut contents = vec![0; datagram * count - cut];
        contents[..4].copy_from_slice(&number.to_le_bytes());
        let transmit = run(next(2) as u16, &contents, datagram);
        if next(50) == 0 {
            recorder.block();
        }
        while coalescing.try_send(&transmit).is_err() {
            recorder.unblock();
        }
        let Call { to, datagrams } = Call::of(&transmit);
        expected.extend(datagrams.into_iter().map(|datagram| (to, datagram)));
        if next(5) == 0 {
            turns().await;
        }
    }
    recorder.unblock();
    turns().await;
    let calls = recorder.calls();
    assert!(calls.len() < 20_000, "some went together");
    let sent = calls.into_iter().flat_map(|Call { to, datagrams }| {
        datagrams.into_iter().map(move |datagram| (to, datagram))
    });
    assert!(sent.eq(expected));
}
