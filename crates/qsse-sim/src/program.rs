//! Programs: sequences of operations, as data that can be printed, saved and run again.

use serde::{Deserialize, Serialize};

/// A world and what happens in it, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Program {
    /// What the network, the endpoints and the clients draw from.
    pub(crate) seed: u64,
    pub(crate) setting: Setting,
    pub(crate) steps: Vec<Step>,
}

/// How the world is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) store: StoreKind,
    /// Most events in the log's memory; `None` is as many as there are.
    pub(crate) history_events: Option<u64>,
    /// Most events of each topic `a.…` in the log's memory or, with a store, in that.
    pub(crate) topic_events: Option<u64>,
    /// Most events in the store.
    pub(crate) store_events: Option<u64>,
    /// Most bytes in the log's memory or, with a store, in that.
    pub(crate) bytes: Option<u64>,
    /// The greatest age of an event there.
    pub(crate) age_ms: Option<u64>,
    pub(crate) segment_bytes: u64,
    pub(crate) feed_bytes: usize,
    pub(crate) send_window: u64,
    pub(crate) stream_window: u64,
    pub(crate) heartbeat_ms: u64,
    /// How long a token is good for.
    pub(crate) token_ms: Option<u64>,
    /// The authorizer knows names only.
    pub(crate) names_only: bool,
    /// A subscription in the server's process sees everything as it becomes visible.
    pub(crate) witness: bool,
    pub(crate) dedup_ms: u64,
    /// How long a publish waits for a connection.
    pub(crate) publish_wait_ms: u64,
    /// The longest that authenticator and authorizer take for an answer.
    pub(crate) auth_ms: u64,
    /// The longest that the disk takes for an operation.
    pub(crate) disk_ms: u64,
}

/// Where the server keeps its events, and what an acknowledgement then means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoreKind {
    None,
    Memory,
    Written,
    Synced,
}

/// One thing that happens, some time after the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) after_ms: u64,
    pub(crate) op: Op,
}

/// What can happen. Clients and subscriptions are numbered places, taken again once what was there
/// has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// Makes a subscription in a place, in place of the one that is there.
    Subscribe {
        sub: usize,
        client: usize,
        filter: Vec<String>,
        start: From,
        lag: Lag,
        by: By,
        /// It reads without being told to.
        reads: bool,
    },
    Unsubscribe {
        sub: usize,
    },
    Stall {
        sub: usize,
    },
    Resume {
        sub: usize,
    },
    /// Reads so many, stalled or not.
    Read {
        sub: usize,
        count: u64,
    },
    /// Publishes one by one, all at the same time.
    Publish {
        client: usize,
        topic: String,
        size: usize,
        count: usize,
    },
    /// Publishes under a key of the client's, again and again after a while without waiting for the
    /// answer.
    Keyed {
        client: usize,
        topic: String,
        size: usize,
        key: u8,
        times: usize,
        every_ms: u64,
    },
    Matching {
        client: usize,
        pattern: String,
        size: usize,
    },
    /// Publishes through one of the client's two ordered publishers; the second one sends exactly
    /// once.
    Send {
        client: usize,
        exactly_once: bool,
        topic: String,
        size: usize,
        count: usize,
    },
    /// Closes the client; its place is taken by a new one, and its subscriptions go on there from
    /// their cursors.
    DropClient {
        client: usize,
    },
    /// Cuts a client off for a time.
    Partition {
        client: usize,
        ms: u64,
    },
    /// What the network does from now on.
    Network {
        loss_percent: u8,
        duplicate_percent: u8,
        min_ms: u64,
        max_ms: u64,
    },
    /// Drains the server and starts another.
    Restart {
        drain_ms: u64,
    },
    /// Ends the server at once when its store has done so many more operations, or soon; with
    /// `power` the machine goes down, too.
    Kill {
        power: bool,
        operations: usize,
        down_ms: u64,
    },
    /// Copies the store's files as they are; the copy before that is forgotten.
    Copy,
    /// Ends the server at once, and starts another on the copy, if there is one.
    Restore {
        down_ms: u64,
    },
    /// Ends the server, damages a file of its store, and starts another.
    Damage {
        /// It is drained before; otherwise it ends at once.
        drains: bool,
        part: Part,
        harm: Harm,
        /// Where in the file.
        per_mille: u16,
    },
    /// The disk has room for so many more bytes.
    Full {
        room: u64,
    },
    /// The disk has room again.
    Room,
    /// An operation of the store fails, the one after so many.
    Fail {
        operations: usize,
        how: How,
    },
    /// The wall clock jumps.
    Clock {
        seconds: i64,
    },
    /// A client shows a newer token, which may allow less than the one before, or more.
    Refresh {
        client: usize,
        rights: Rights,
    },
    /// The server takes all tokens that a client has shown for this, from its next question on.
    Revoke {
        client: usize,
        rights: Rights,
    },
    /// The disk does nothing for a time; the clock goes on, and so does the server.
    Hang {
        ms: u64,
    },
    /// Time passes, and with it the retention's ticks.
    Wait {
        ms: u64,
    },
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum From {
    Live,
    /// After the cursor of the last subscription in the same place; live if there was none.
    Saved,
    Earliest,
    Since {
        back_ms: u64,
    },
    Last(u32),
}

/// Which of the two ways to read a subscription uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum By {
    Next,
    Lend,
    /// Begins one way, leaves off and reads the other way.
    Turns,
}

/// What is done when it lags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lag {
    CatchUp,
    Skip,
    Latest,
    Disconnect,
}

/// How an operation of the store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    Io,
    Full,
    Short,
}

/// A file of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    /// The segment that is written to.
    Newest,
    /// Another segment.
    Older,
    /// The index of a segment.
    Index,
    /// One of the two that say which seqs were given out.
    Meta,
}

/// How a file is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Harm {
    Bit,
    /// So many bytes are overwritten.
    Bytes(usize),
    /// What follows is gone.
    Cut,
}

/// What a token lets its client do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rights {
    All,
    /// Reads `a.…`, publishes on all but `c`.
    A,
    /// Reads `….x`, publishes on all but `a.…`.
    X,
    /// Reads `b.…` and `c`, publishes on everything.
    Rest,
    Nothing,
    /// Not even connects.
    Out,
}

impl Rights {
    /// Whether a topic may be read or, as a whole, a pattern.
    pub(crate) fn may_read(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::A => name.starts_with("a."),
            Self::X => name.ends_with(".x"),
            Self::Rest => name.starts_with("b.") || name == "c",
            Self::Nothing | Self::Out => false,
        }
    }

    /// Whether a topic may be published on or, as a whole, a pattern.
    pub(crate) fn may_publish(self, name: &str) -> bool {
        match self {
            Self::All | Self::Rest => true,
            Self::A => !["c", "*"].contains(&name),
            Self::X => !name.starts_with("a.") && !name.starts_with('*'),
            Self::Nothing | Self::Out => false,
        }
    }
}

/// The topics there are.
pub(crate) const TOPICS: [&str; 6] = ["a.x", "a.y", "b.x", "b.y", "c", "a.x.deep"];
/// How many clients there are. Number [`LIMITED`] may do less than the others.
pub(crate) const CLIENTS: usize = 4;
/// How many places for subscriptions.
pub(crate) const SUBS: usize = 6;
/// The client that begins with [`Rights::A`]; the others begin with [`Rights::All`].
pub(crate) const LIMITED: usize = 2;

impl Program {
    /// As lines: the setting, then a line for each step. [`parse`](Self::parse) reads it.
    pub(crate) fn to_text(&self) -> String {
        let line = |value: serde_json::Result<String>| value.expect("plain data") + "\n";
        let mut text = line(serde_json::to_string(&self.seed));
        text += &line(serde_json::to_string(&self.setting));
        for step in &self.steps {
            text += &line(serde_json::to_string(step));
        }
        text
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let mut next = || lines.next().ok_or_else(|| anyhow::anyhow!("too short"));
        let seed = serde_json::from_str(next()?)?;
        let setting = serde_json::from_str(next()?)?;
        let steps = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Self {
            seed,
            setting,
            steps,
        })
    }
}

impl Setting {
    /// Nothing is let go of.
    pub(crate) fn keeps_all(&self) -> bool {
        let memory = self.store == StoreKind::None && self.history_events.is_some();
        let store = self.store_events.is_some() || self.topic_events.is_some();
        !memory && !store && self.bytes.is_none() && self.age_ms.is_none()
    }
}
