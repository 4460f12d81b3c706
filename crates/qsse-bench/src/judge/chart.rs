//! A picture of fan-out throughput: bars for each system, in groups by subscribers and size of
//! events.

use std::fmt::Write as _;

use serde_json::Value;

/// Names of the systems and the keys of their figures, from the best known to the least.
const SYSTEMS: [(&str, &str, &str); 5] = [
    ("qsse", "deliveries_per_s", "#d9692b"),
    ("raw QUIC", "raw_quinn_deliveries_per_s", "#8a8f98"),
    ("SSE over HTTP/2", "sse_h2_deliveries_per_s", "#3f86c9"),
    ("NATS with TLS", "nats_deliveries_per_s", "#3d9c6c"),
    ("qsse in Go", "go_qsse_deliveries_per_s", "#9a6fc4"),
];

const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 16.0;
const STEP: f64 = 20.0;
const GROUP_HEAD: f64 = 30.0;

/// Draws the rows; words take the colour of the reader's choice of light or dark.
pub(super) fn fanout(rows: &[Value]) -> String {
    let mut bars = String::new();
    let most = rows.iter().flat_map(figures).map(|bar| bar.1);
    let most = most.fold(1.0, f64::max);
    let mut y = 34.0;
    for row in rows {
        let (count, bytes) = (&row["subscribers"], &row["event_bytes"]);
        let _ = writeln!(
            bars,
            r#"<text class="head" x="0" y="{:.0}">{count} subscribers, {bytes}-byte events</text>"#,
            y + 18.0
        );
        y += GROUP_HEAD;
        for (name, figure, colour) in figures(row) {
            bar(&mut bars, y, name, figure, figure / most, colour);
            y += STEP;
        }
    }
    let height = y + 10.0;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" role="img">
<title>Deliveries per second, each event to each subscriber</title>
<style>
text {{ font: 13px system-ui, sans-serif; fill: #24292f }}
.head {{ font-weight: 600 }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} }}
</style>
<text class="head" x="0" y="16">Million deliveries per second, each event to each subscriber; medians</text>
{bars}</svg>
"#
    )
}

/// Name, figure and colour of each system that was run.
fn figures(row: &Value) -> impl Iterator<Item = (&'static str, f64, &'static str)> {
    let figures = SYSTEMS.map(|(name, key, colour)| Some((name, row[key].as_f64()?, colour)));
    figures.into_iter().flatten()
}

fn bar(bars: &mut String, y: f64, name: &str, figure: f64, share: f64, colour: &str) {
    let width = (WIDTH - LEFT - RIGHT) * share;
    let middle = y + BAR - 3.0;
    let _ = writeln!(
        bars,
        r#"<text x="{:.0}" y="{middle:.0}" text-anchor="end">{name}</text><rect x="{LEFT:.0}" y="{y:.0}" width="{width:.1}" height="{BAR:.0}" rx="2" fill="{colour}"/><text x="{:.1}" y="{middle:.0}">{:.2}</text>"#,
        LEFT - 8.0,
        LEFT + width + 6.0,
        figure / 1e6,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bars_are_of_what_was_run() {
        let row = json!({
            "subscribers": 10, "event_bytes": 128,
            "deliveries_per_s": 2e6, "raw_quinn_deliveries_per_s": 4e6,
        });
        let picture = fanout(&[row]);
        assert_eq!(picture.matches("<rect").count(), 2);
        assert!(picture.contains("10 subscribers, 128-byte events"));
        assert!(picture.contains(">2.00<") && picture.contains(">4.00<"));
        assert!(!picture.contains("NATS"));
        assert!(fanout(&[]).ends_with("</svg>\n"));
    }
}
