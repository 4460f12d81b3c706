//! The parameters of a request.

use std::time::SystemTime;

use qsse_server::{Epoch, EventId, OnLag, Start, Timestamp};

use crate::problem::Problem;

/// A position that is of no log: what a browser sends that had another server's events before. The
/// subscription begins with a reset.
const FOREIGN: EventId = EventId::new(Epoch::new(0), 0);

/// The parameters of a request, each with its name.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a URL after the `?`. Only `known` names are accepted: a misspelt one would
    /// otherwise do nothing. An error names those that are `shown`.
    pub(crate) fn read(
        text: Option<&str>,
        known: &[&str],
        shown: &[&str],
    ) -> Result<Self, Problem> {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        let pairs: Vec<_> = pairs.into_owned().collect();
        if let Some((name, _)) = pairs
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            return Err(Problem::bad_request(match shown {
                [] => format!("{name:?} is not a parameter here: there are none"),
                shown => format!(
                    "{name:?} is not a parameter here: there are {}",
                    shown.join(", ")
                ),
            }));
        }
        Ok(Self(pairs))
    }

    /// Returns all values of a name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let pairs = self.0.iter().filter(|(own, _)| own == name);
        pairs.map(|(_, value)| value.clone()).collect()
    }

    /// Returns the value of a name that occurs once at most.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(own, _)| own == name);
        let value = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            Some(_) => Err(Problem::bad_request(format!("give {name} once"))),
            None => Ok(value),
        }
    }
}

/// Reads where a subscription begins. The last event that a client has wins over `start`.
pub(crate) fn start(query: &Query, last_event_id: Option<&[u8]>) -> Result<Start, Problem> {
    let asked = match query.one("start")? {
        Some(text) => parse_start(text, SystemTime::now().into())?,
        None => Start::Live,
    };
    let last = match last_event_id {
        Some(bytes) => Some(bytes),
        None => query.one("last_event_id")?.map(str::as_bytes),
    };
    Ok(match last {
        None | Some([]) => asked,
        Some(bytes) => {
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            Start::After(text.parse().unwrap_or(FOREIGN))
        }
    })
}

fn parse_start(text: &str, now: Timestamp) -> Result<Start, Problem> {
    let wrong = |why: &str| Problem::bad_request(format!("start={text:?}: {why}"));
    if let Some(count) = text.strip_prefix("last:") {
        let count = count.parse().ok().filter(|count| *count > 0);
        let why = "write a number from 1 on, such as last:10";
        return count.map(Start::Last).ok_or_else(|| wrong(why));
    }
    if let Some(back) = text.strip_prefix("since:") {
        let why = "write a duration or a time, such as since:10m or since:2026-01-02T03:04:05Z";
        let time = match humantime::parse_duration(back) {
            Ok(back) => {
                let micros = u64::try_from(back.as_micros()).unwrap_or(u64::MAX);
                Timestamp::from_micros(now.as_micros().saturating_sub(micros))
            }
            Err(_) => back.parse().map_err(|_| wrong(why))?,
        };
        return Ok(Start::Since(time));
    }
    match text {
        "live" => Ok(Start::Live),
        "earliest" => Ok(Start::Earliest),
        _ => {
            if let Ok(time) = text.parse() {
                return Ok(Start::Since(time));
            }
            let why = "write live, earliest, last:N, since:10m, a time or the id of an event";
            text.parse().map(Start::After).map_err(|_| wrong(why))
        }
    }
}

/// Reads what happens when the subscription lags.
pub(crate) fn on_lag(query: &Query) -> Result<OnLag, Problem> {
    Ok(match query.one("on_lag")? {
        None | Some("catch-up") => OnLag::CatchUp,
        Some("skip") => OnLag::Skip,
        Some("latest") => OnLag::Latest,
        Some("disconnect") => OnLag::Disconnect,
        Some(other) => {
            return Err(Problem::bad_request(format!(
                "on_lag={other:?}: write catch-up, skip, latest or disconnect"
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_767_323_045_000_006);

    fn query(text: &str) -> Query {
        Query::read(
            Some(text),
            &["start", "last_event_id", "on_lag", "topic"],
            &[],
        )
        .unwrap()
    }

    #[test]
    fn starts_are_read() {
        let id = EventId::new(Epoch::new(1_000), 42);
        let since = |micros| Start::Since(Timestamp::from_micros(micros));
        for (text, start) in [
            ("live", Start::Live),
            ("earliest", Start::Earliest),
            ("last:3", Start::Last(3)),
            ("since:10m", since(NOW.as_micros() - 600_000_000)),
            ("since:2026-01-02T03:04:05.000006Z", since(NOW.as_micros())),
            ("2026-01-02T03:04:05.000006Z", since(NOW.as_micros())),
            ("since:1000years", since(0)),
            ("G8-42", Start::After(id)),
        ] {
            assert_eq!(parse_start(text, NOW).unwrap(), start, "{text}");
        }
        for text in [
            "", "last:", "last:0", "last:-1", "last:x", "since:", "since:x", "42", "Live",
        ] {
            let problem = parse_start(text, NOW).unwrap_err();
            assert_eq!(problem.status, 400);
            assert!(
                problem.detail.contains("write"),
                "{text}: {}",
                problem.detail
            );
        }
    }

    #[test]
    fn the_last_event_of_a_client_wins() {
        let id = EventId::new(Epoch::new(1_000), 42);
        let query = query("start=earliest&last_event_id=G8-41");
        let of = |header: Option<&[u8]>| start(&query, header).unwrap();
        assert_eq!(of(Some(b"G8-42")), Start::After(id));
        assert_eq!(of(None), Start::After(EventId::new(Epoch::new(1_000), 41)));
        assert_eq!(of(Some(b"")), Start::Earliest, "a browser has none yet");
        for foreign in [&b"17"[..], b"\xff\0", b"G8-042", b"G8-42\n"] {
            assert_eq!(of(Some(foreign)), Start::After(FOREIGN), "{foreign:?}");
        }
    }

    #[test]
    fn misspelt_and_repeated_parameters_are_refused() {
        let problem = Query::read(
            Some("topics=a"),
            &["topic", "start", "token"],
            &["topic", "start"],
        )
        .err()
        .unwrap();
        assert_eq!(
            problem.detail,
            "\"topics\" is not a parameter here: there are topic, start"
        );
        assert!(start(&query("start=live&start=live"), None).is_err());
        assert!(on_lag(&query("on_lag=block")).is_err());
        assert_eq!(on_lag(&query("on_lag=latest")).unwrap(), OnLag::Latest);
        assert_eq!(
            query("topic=a&topic=ride.%2A").all("topic"),
            ["a", "ride.*"]
        );
    }
}
