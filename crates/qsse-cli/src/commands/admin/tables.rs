//! Answers of the administration for people, within 80 columns.

use std::time::Duration;

use bytesize::ByteSize;
use qsse_admin::{Reloaded, Topics};
use qsse_server::{ConnectionInfo, ServerState, ServerStatus};

use crate::text::{one_line, thousands};

/// The widest name in a table.
const NAME: usize = 16;

/// How a column is aligned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

use Align::{Left, Right};

pub(super) fn status(status: &ServerStatus) -> String {
    let state = match status.state {
        ServerState::Serving => "serving",
        ServerState::Draining => "draining",
        ServerState::Closed => "closed",
        _ => "unknown",
    };
    let health = match &status.problem {
        Some(problem) => format!("publishing does not work: {}", one_line(problem)),
        None => "publishing works".into(),
    };
    let count = |count: usize| thousands(count as u64);
    let rows = [
        (
            "server",
            format!("qsse {} on {}", status.version, status.address),
        ),
        (
            "state",
            format!("{state} for {}, {health}", age(status.uptime)),
        ),
        ("connections", count(status.connections)),
        (
            "subscriptions",
            format!(
                "{}, {} behind",
                count(status.subscriptions),
                count(status.behind)
            ),
        ),
        ("last event", status.last_event.to_string()),
        ("topics", count(status.topics)),
        (
            "history",
            format!(
                "{} events, {}",
                thousands(status.history_events),
                size(status.history_bytes as u64)
            ),
        ),
        (
            "live tails",
            format!(
                "{}, {}",
                count(status.feeds),
                size(status.feed_bytes as u64)
            ),
        ),
        ("revocations", count(status.revocations)),
    ];
    let lines = rows
        .iter()
        .map(|(name, value)| format!("{name:<14} {value}\n"));
    lines.collect()
}

pub(super) fn connections(connections: &[ConnectionInfo]) -> String {
    if connections.is_empty() {
        return "no client is connected".into();
    }
    let head = [
        ("ID", Right),
        ("PRINCIPAL", Left),
        ("ADDRESS", Left),
        ("PROTOCOL", Left),
        ("SUBS", Right),
        ("LAG", Right),
        ("SENT", Right),
        ("AGE", Right),
    ];
    let rows = connections.iter().map(|connection| {
        let protocol = match connection.protocol.as_str() {
            native if native.starts_with("qsse/") => native,
            _ => "go",
        };
        [
            connection.id.to_string(),
            name(&connection.principal),
            connection.address.to_string(),
            protocol.to_owned(),
            connection.subscriptions.len().to_string(),
            thousands(connection.lag()),
            size(connection.bytes_sent),
            age(connection.connected_for),
        ]
    });
    table(head, rows)
}

pub(super) fn topics(answer: &Topics) -> String {
    if answer.topics.is_empty() {
        return "no topic matches".into();
    }
    let head = [("EVENTS", Right), ("LAST", Left), ("TOPIC", Left)];
    let rows = answer.topics.iter().map(|info| {
        let last = info.last.map_or_else(|| "-".into(), |id| id.to_string());
        let topic = one_line(info.topic.as_str());
        [thousands(info.events as u64), last, topic]
    });
    let mut out = table(head, rows);
    if answer.more {
        out.push_str("there are more: use --limit, or a narrower pattern\n");
    }
    out
}

pub(super) fn reloaded(reloaded: &Reloaded) -> String {
    let mut out = match &reloaded.changed[..] {
        [] => "reloaded: nothing has changed\n".to_owned(),
        changed => format!("reloaded: {}\n", changed.join(", ")),
    };
    if !reloaded.needs_restart.is_empty() {
        let names = reloaded.needs_restart.join(", ");
        out.push_str(&format!("only after a restart: {names}\n"));
    }
    out
}

/// Writes a table, each column as wide as its widest value.
fn table<const N: usize>(
    head: [(&str, Align); N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows: Vec<_> = rows.collect();
    let mut widths = head.map(|(title, _)| title.len());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let aligns = head.map(|(_, align)| align);
    let titles = head.map(|(title, _)| title.to_owned());
    let lines = std::iter::once(&titles).chain(&rows).map(|row| {
        let cells = row.iter().zip(widths).zip(aligns);
        let cells = cells.map(|((cell, width), align)| match align {
            Left => format!("{cell:<width$}"),
            Right => format!("{cell:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

/// Returns a name that fits its column and contains no control characters.
fn name(text: &str) -> String {
    let text = one_line(text);
    match text.chars().count() {
        ..=NAME => text,
        _ => text.chars().take(NAME - 1).chain(['…']).collect(),
    }
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec_short().to_string()
}

/// Returns a duration with its two largest units.
fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (1.., ..) => format!("{days}d{}h", hours % 24),
        (0, 1.., _) => format!("{hours}h{}m", minutes % 60),
        (0, 0, 1..) => format!("{minutes}m{}s", seconds % 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_two_units() {
        let shown = [5, 65, 3_700, 90_000].map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(shown, ["5s", "1m5s", "1h1m", "1d1h"]);
    }

    #[test]
    fn a_table_aligns_its_columns_and_ends_no_line_with_spaces() {
        let rows = [["7", "ada"], ["12", "x"]].map(|row| row.map(str::to_owned));
        let shown = table([("ID", Right), ("PRINCIPAL", Left)], rows.into_iter());
        assert_eq!(shown, "ID  PRINCIPAL\n 7  ada\n12  x\n");
    }

    #[test]
    fn a_name_is_cut_to_its_column() {
        assert_eq!(name("0123456789abcdef"), "0123456789abcdef");
        assert_eq!(name("0123456789abcdefg"), "0123456789abcde…");
        assert!(!name("a\u{1b}[2J").contains('\u{1b}'));
    }
}
