//! Where `sub` starts, and what to do if it lags.

use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use qsse_client::{EventId, OnLag, Start, Timestamp};

/// The flags that select the start; at most one of them.
#[derive(Args)]
#[group(multiple = false)]
pub(super) struct StartFlags {
    /// Start with the oldest event that the server has
    #[arg(long)]
    earliest: bool,
    /// Start after the event with this id
    #[arg(long, value_name = "ID")]
    after: Option<EventId>,
    /// Start this long ago, as 10m, or at a time, as 2026-01-02T03:04:05Z
    #[arg(long, value_name = "DURATION|TIME", value_parser = since)]
    since: Option<Since>,
    /// Start with the last N events of each topic
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    last: Option<u32>,
}

impl StartFlags {
    /// Returns the start, as of now.
    pub(super) fn start(&self) -> Start {
        if let Some(id) = self.after {
            Start::After(id)
        } else if let Some(since) = self.since {
            Start::Since(since.time(SystemTime::now().into()))
        } else if let Some(count) = self.last {
            Start::Last(count)
        } else if self.earliest {
            Start::Earliest
        } else {
            Start::Live
        }
    }
}

/// The value of `--since`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// This long before now.
    Ago(Duration),
    At(Timestamp),
}

impl Since {
    fn time(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => {
                let ago = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
                Timestamp::from_micros(now.as_micros().saturating_sub(ago))
            }
        }
    }
}

fn since(text: &str) -> Result<Since, String> {
    let ago = humantime::parse_duration(text).map(Since::Ago);
    ago.or_else(|_| text.parse().map(Since::At)).map_err(|_| {
        "neither a duration, as in 90s or 2h, nor a time, as in 2026-01-02T03:04:05Z or 2026-01-02T03:04:05+01:00".into()
    })
}

/// What the server does if the subscription falls behind the live feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Lag {
    /// Catch up from the server's history
    #[default]
    CatchUp,
    /// Continue with new events
    Skip,
    /// Continue with the latest event of each topic that was missed
    Latest,
    /// End with status 3
    Disconnect,
}

impl From<Lag> for OnLag {
    fn from(lag: Lag) -> Self {
        match lag {
            Lag::CatchUp => Self::CatchUp,
            Lag::Skip => Self::Skip,
            Lag::Latest => Self::Latest,
            Lag::Disconnect => Self::Disconnect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_duration_back_or_a_time() {
        let now = Timestamp::from_micros(10_000_000);
        let time = |text| since(text).map(|since| since.time(now).as_micros());
        assert_eq!(time("3s"), Ok(7_000_000));
        assert_eq!(time("1500ms"), Ok(8_500_000));
        assert_eq!(time("0s"), Ok(10_000_000));
        assert_eq!(time("100years"), Ok(0), "before the first event is none");
        assert_eq!(time("1970-01-01T00:00:02.5Z"), Ok(2_500_000));
        assert_eq!(time("1970-01-01T01:00:02+01:00"), Ok(2_000_000));
        for text in [
            "",
            "3",
            "-3s",
            "yesterday",
            "1970-01-01",
            "1970-01-01T00:00:02",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
