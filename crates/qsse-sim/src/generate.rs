//! Programs drawn from a seed.

use qsse_testing::rng::Rng;

use crate::program::{
    By, CLIENTS, From, Harm, How, Lag, Op, Part, Program, Rights, SUBS, Setting, Step, StoreKind,
    TOPICS,
};

const FILTERS: [&[&str]; 8] = [
    &["*"],
    &["a.*"],
    &["a.x"],
    &["b.*"],
    &["a.x", "b.y"],
    &["*.x"],
    &["a.*", "*.x"],
    &["c"],
];
const PATTERNS: [&str; 4] = ["*", "a.*", "*.x", "c"];

/// The program of a seed.
pub(crate) fn program(seed: u64) -> Program {
    let mut rng = Rng::new(seed ^ 0x0005_eed5_0f51_u64);
    let setting = setting(&mut rng);
    let mut steps = Vec::new();
    // Something to begin with, so that few programs are about nothing.
    for sub in 0..2 + rng.below(2) as usize {
        let op = subscribe(&mut rng, sub);
        steps.push(step(&mut rng, op));
    }
    // In some programs clients are often shown their limits.
    let refreshes = if rng.chance(0.2) { 0.2 } else { 0.0 };
    let count = 8 + rng.below(40);
    for _ in 0..count {
        let op = match rng.chance(refreshes) {
            true if rng.chance(0.5) => revoke(&mut rng),
            true => refresh(&mut rng),
            false => op(&mut rng, &setting),
        };
        // What is repeated under a key, or is being stored, is of interest when the server ends
        // then.
        let hangs = matches!(op, Op::Hang { ms: 30_000.. });
        let ends = matches!(op, Op::Keyed { .. }) && rng.chance(0.2);
        steps.push(step(&mut rng, op));
        if hangs && rng.chance(0.7) {
            // As long as it takes to be noticed, and to pass.
            let ms = 15_000 + rng.below(25_000);
            steps.push(Step {
                after_ms: 0,
                op: Op::Wait { ms },
            });
        }
        if ends {
            let after_ms = rng.below(40);
            let op = kill(&mut rng);
            steps.push(Step { after_ms, op });
        }
    }
    Program {
        seed,
        setting,
        steps,
    }
}

fn setting(rng: &mut Rng) -> Setting {
    use StoreKind::{Memory, None as NoStore, Synced, Written};
    let store = *rng.pick(&[NoStore, NoStore, Memory, Written, Synced, Synced, Synced]);
    let stored = store != NoStore;
    // A small memory is no limit where a store has the rest.
    let small = rng.chance(if stored { 0.7 } else { 0.3 });
    let history_events = small.then(|| 4 + rng.below(40));
    let topic_events = rng.chance(0.15).then(|| 1 + rng.below(6));
    Setting {
        store,
        history_events,
        topic_events,
        store_events: (stored && rng.chance(0.2)).then(|| 10 + rng.below(60)),
        bytes: rng.chance(0.1).then(|| (16 + rng.below(100)) << 10),
        age_ms: rng.chance(0.1).then(|| 1_000 + rng.below(20_000)),
        segment_bytes: *rng.pick(&[4 << 10, 16 << 10, 1 << 20]),
        feed_bytes: *rng.pick(&[1 << 10, 4 << 10, 16 << 10, 4 << 20]),
        send_window: *rng.pick(&[4 << 10, 16 << 10, 256 << 10]),
        stream_window: *rng.pick(&[2 << 10, 8 << 10, 64 << 10]),
        heartbeat_ms: *rng.pick(&[300, 2_000, 30_000, 30_000]),
        token_ms: rng.chance(0.2).then(|| 2_000 + rng.below(20_000)),
        names_only: rng.chance(0.4),
        witness: rng.chance(0.7),
        dedup_ms: *rng.pick(&[120_000, 120_000, 5_000]),
        publish_wait_ms: *rng.pick(&[10_000, 200_000]),
        auth_ms: *rng.pick(&[0, 0, 0, 0, 4, 60]),
        disk_ms: if stored {
            *rng.pick(&[0, 0, 1, 4, 30])
        } else {
            0
        },
    }
}

fn step(rng: &mut Rng, op: Op) -> Step {
    // Often at the same moment, or within a round trip; seldom after a pause.
    let after_ms = match rng.below(10) {
        0..=3 => 0,
        4..=6 => rng.below(30),
        7..=8 => rng.below(300),
        _ => rng.below(4_000),
    };
    Step { after_ms, op }
}

fn op(rng: &mut Rng, setting: &Setting) -> Op {
    let sub = rng.below(SUBS as u64) as usize;
    let client = rng.below(CLIENTS as u64) as usize;
    let stored = setting.store != StoreKind::None;
    // What happens to stores alone comes last.
    match rng.below(if stored { 108 } else { 100 }) {
        0..=11 => subscribe(rng, sub),
        12..=14 => Op::Unsubscribe { sub },
        15..=19 => Op::Stall { sub },
        20..=24 => Op::Resume { sub },
        25..=28 => {
            let count = 1 + rng.below(20);
            Op::Read { sub, count }
        }
        29..=44 => Op::Publish {
            client,
            topic: topic(rng),
            size: size(rng),
            count: 1 + rng.below(12) as usize,
        },
        45..=62 => Op::Send {
            client,
            exactly_once: rng.chance(0.5),
            topic: topic(rng),
            size: size(rng),
            count: 1 + rng.below(60) as usize,
        },
        63..=67 => Op::Keyed {
            client,
            topic: topic(rng),
            size: size(rng),
            key: rng.below(4) as u8,
            times: *rng.pick(&[1, 2, 4]),
            every_ms: rng.below(20),
        },
        68..=71 => Op::Matching {
            client,
            pattern: (*rng.pick(&PATTERNS)).to_owned(),
            size: size(rng),
        },
        72..=73 => Op::DropClient { client },
        74..=78 => {
            let ms = *rng.pick(&[200, 1_500, 4_000, 12_000, 40_000]);
            Op::Partition { client, ms }
        }
        79..=81 => {
            let min_ms = 1 + rng.below(30);
            Op::Network {
                loss_percent: *rng.pick(&[0, 1, 5, 15]),
                duplicate_percent: *rng.pick(&[0, 0, 2]),
                min_ms,
                max_ms: min_ms + rng.below(60),
            }
        }
        82..=84 => Op::Restart {
            drain_ms: *rng.pick(&[0, 300, 5_000]),
        },
        85..=90 => kill(rng),
        91..=92 if stored => Op::Full {
            room: rng.below(3_000),
        },
        93 if stored => Op::Room,
        94 if stored => Op::Fail {
            operations: rng.below(8) as usize,
            how: *rng.pick(&[How::Io, How::Full, How::Short]),
        },
        95 => Op::Clock {
            seconds: *rng.pick(&[-90_000, -100, 100, 90_000, 4_000_000]),
        },
        96 if stored => Op::Hang {
            ms: *rng.pick(&[50, 700, 5_000, 30_000]),
        },
        97 => refresh(rng),
        98 => revoke(rng),
        100..=101 => Op::Copy,
        102..=103 => Op::Restore {
            down_ms: *rng.pick(&[0, 3_000]),
        },
        104..=107 => damage(rng),
        _ => {
            let ms = 500 + rng.below(8_000);
            Op::Wait { ms }
        }
    }
}

fn subscribe(rng: &mut Rng, sub: usize) -> Op {
    let start = match rng.below(10) {
        0..=2 => From::Live,
        3..=5 => From::Saved,
        6..=7 => From::Earliest,
        8 => From::Since {
            back_ms: rng.below(10_000),
        },
        _ => From::Last(rng.below(5) as u32),
    };
    let filter = rng.pick::<&[&str]>(&FILTERS);
    Op::Subscribe {
        sub,
        client: rng.below(CLIENTS as u64) as usize,
        filter: filter.iter().map(|text| (*text).to_owned()).collect(),
        start,
        lag: *rng.pick(&[
            Lag::CatchUp,
            Lag::CatchUp,
            Lag::CatchUp,
            Lag::Skip,
            Lag::Latest,
            Lag::Disconnect,
        ]),
        by: *rng.pick(&[By::Next, By::Next, By::Lend, By::Turns]),
        reads: rng.chance(0.7),
    }
}

fn kill(rng: &mut Rng) -> Op {
    Op::Kill {
        power: rng.chance(0.6),
        operations: rng.below(12) as usize,
        down_ms: *rng.pick(&[0, 100, 3_000, 20_000]),
    }
}

fn damage(rng: &mut Rng) -> Op {
    use Part::{Index, Meta, Newest, Older};
    Op::Damage {
        drains: rng.chance(0.3),
        part: *rng.pick(&[Newest, Newest, Newest, Older, Older, Index, Meta]),
        harm: *rng.pick(&[
            Harm::Bit,
            Harm::Bit,
            Harm::Bytes(40),
            Harm::Bytes(500),
            Harm::Cut,
        ]),
        // The end is of the most interest.
        per_mille: match rng.chance(0.5) {
            true => 999 - rng.below(60) as u16,
            false => rng.below(1_000) as u16,
        },
    }
}

fn refresh(rng: &mut Rng) -> Op {
    use Rights::{A, All, Nothing, Rest, X};
    Op::Refresh {
        client: rng.below(CLIENTS as u64) as usize,
        rights: *rng.pick(&[All, All, A, X, Rest, Nothing]),
    }
}

fn revoke(rng: &mut Rng) -> Op {
    use Rights::{A, All, Nothing, Out, Rest, X};
    Op::Revoke {
        client: rng.below(CLIENTS as u64) as usize,
        rights: *rng.pick(&[All, A, X, Rest, Nothing, Out]),
    }
}

fn topic(rng: &mut Rng) -> String {
    (*rng.pick(&TOPICS)).to_owned()
}

fn size(rng: &mut Rng) -> usize {
    let most = *rng.pick(&[20, 20, 200, 2_000]);
    8 + rng.below(most) as usize
}
