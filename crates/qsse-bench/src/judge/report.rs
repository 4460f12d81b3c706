//! What rounds have shown, as a table and as a row of the machine-readable file.

use serde_json::{Map, Value, json};

use super::rounds::Outcome;
use super::run::Sample;
use super::stats::Spread;
use crate::work::Peer;

/// Something that is read off each run.
pub(super) struct Figure {
    /// Its name in the file, behind that of the system.
    pub(super) key: &'static str,
    /// Its name in the table.
    pub(super) title: &'static str,
    /// Reads it.
    pub(super) of: fn(&Sample) -> f64,
    /// Digits behind the point.
    pub(super) digits: usize,
    /// Whether more is better.
    pub(super) more_is_better: bool,
}

/// Prints the table, and gives the row with these fields before the figures. Ratios are of the
/// first figure, by round.
pub(super) fn report(
    title: &str,
    fields: &[(&str, Value)],
    figures: &[Figure],
    outcomes: &[Outcome],
) -> Value {
    print_table(title, figures, outcomes);
    row(fields, figures, outcomes)
}

fn print_table(title: &str, figures: &[Figure], outcomes: &[Outcome]) {
    println!("\n{title}");
    let (first, others) = figures.split_first().expect("there is something to tell");
    print!(
        "{:<16} {:>34}",
        "",
        format!("{} (least - most)", first.title)
    );
    print!(" {:>24}", "qsse is");
    for figure in others {
        print!(" {:>12}", figure.title);
    }
    println!();
    let ours = ours(outcomes);
    for outcome in outcomes {
        let ratio = ours.filter(|ours| !std::ptr::eq(*ours, outcome));
        let ratio = ratio.and_then(|ours| ratio_of(ours, outcome, first));
        let figure = shown(spread(outcome, first), first.digits);
        print!(
            "{:<16} {figure:>34} {:>24}",
            outcome.side.name(),
            shown(ratio, 2)
        );
        for figure in others {
            let median = spread(outcome, figure).map(|spread| spread.median);
            let digits = figure.digits;
            let median = median.map_or("-".to_owned(), |median| format!("{median:.digits$}"));
            print!(" {median:>12}");
        }
        println!();
        for failure in &outcome.failures {
            println!("{:<16} FAILED: {failure}", "");
        }
    }
    if let Some(same) = same_against_same(outcomes, first) {
        println!("raw-quinn against itself: {}", shown(Some(same), 2));
    }
}

fn shown(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or("-".to_owned(), |Spread { median, min, max }| {
        format!("{median:.digits$} ({min:.digits$} - {max:.digits$})")
    })
}

fn row(fields: &[(&str, Value)], figures: &[Figure], outcomes: &[Outcome]) -> Value {
    let mut row: Map<_, _> = fields
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    let ours = ours(outcomes);
    // One limit for all figures: the side that does better in the first.
    let limit = better_raw(outcomes, &figures[0]);
    for (at, figure) in figures.iter().enumerate() {
        for outcome in outcomes.iter().filter(|outcome| !outcome.side.again) {
            let peer = outcome.side.peer;
            let name = match limit {
                Some(limit) if std::ptr::eq(limit, outcome) => "raw_quinn".to_owned(),
                _ if peer.is_raw() => continue,
                _ => peer.key(),
            };
            let Some(spread) = spread(outcome, figure) else {
                continue;
            };
            row.insert(key(peer, &name, figure), json!(spread.median));
            if let Some(ours) = ours.filter(|_| peer != Peer::Qsse) {
                let ratio = ratio_of(ours, outcome, figure);
                let key = match at {
                    0 => format!("ratio_to_{name}"),
                    _ => format!("{}_ratio_to_{name}", figure.key),
                };
                row.insert(key.clone(), json!(ratio.map(|ratio| ratio.median)));
                let spread = ratio.map(|ratio| [ratio.min, ratio.max]);
                row.insert(format!("{key}_spread"), json!(spread));
            }
        }
    }
    if let Some(same) = same_against_same(outcomes, &figures[0]) {
        row.insert("raw_quinn_to_itself".to_owned(), json!(same));
    }
    row.insert("systems".to_owned(), systems(figures, outcomes));
    Value::Object(row)
}

/// Everything about every side.
fn systems(figures: &[Figure], outcomes: &[Outcome]) -> Value {
    let system = |outcome: &Outcome| {
        let mut system = Map::new();
        for figure in figures {
            let spread = spread(outcome, figure);
            system.insert(figure.key.to_owned(), json!(spread));
        }
        if !outcome.failures.is_empty() {
            system.insert("failures".to_owned(), json!(outcome.failures));
        }
        (outcome.side.name(), Value::Object(system))
    };
    outcomes.iter().map(system).collect::<Map<_, _>>().into()
}

fn ours(outcomes: &[Outcome]) -> Option<&Outcome> {
    let mut outcomes = outcomes.iter();
    outcomes.find(|outcome| outcome.side.peer == Peer::Qsse)
}

/// The raw side that does best, by its median.
fn better_raw<'a>(outcomes: &'a [Outcome], figure: &Figure) -> Option<&'a Outcome> {
    let raw = outcomes
        .iter()
        .filter(|outcome| outcome.side.peer.is_raw() && !outcome.side.again);
    let known = raw.filter_map(|outcome| Some((outcome, spread(outcome, figure)?.median)));
    let best = known.max_by(|(_, a), (_, b)| match figure.more_is_better {
        true => a.total_cmp(b),
        false => b.total_cmp(a),
    });
    best.map(|(outcome, _)| outcome)
}

fn spread(outcome: &Outcome, figure: &Figure) -> Option<Spread> {
    Spread::of(outcome.figures(figure.of).into_iter().flatten())
}

fn ratio_of(ours: &Outcome, theirs: &Outcome, figure: &Figure) -> Option<Spread> {
    Spread::of_ratios(&ours.figures(figure.of), &theirs.figures(figure.of))
}

fn same_against_same(outcomes: &[Outcome], figure: &Figure) -> Option<Spread> {
    let again = outcomes.iter().find(|outcome| outcome.side.again)?;
    let first = outcomes
        .iter()
        .find(|outcome| outcome.side.peer == again.side.peer && !outcome.side.again)?;
    ratio_of(again, first, figure)
}

/// What a figure of a system, by this name, is called in a row.
pub(super) fn key(peer: Peer, name: &str, figure: &Figure) -> String {
    match peer {
        Peer::Qsse => figure.key.to_owned(),
        _ => format!("{name}_{}", figure.key),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rounds::interleave;
    use super::*;
    use crate::judge::run::sample_of;

    const PER_S: Figure = Figure {
        key: "deliveries_per_s",
        title: "deliveries/s",
        of: |sample| sample.per_s,
        digits: 0,
        more_is_better: true,
    };

    fn outcomes(rates: &[(Peer, f64)]) -> Vec<Outcome> {
        let peers: Vec<_> = rates.iter().map(|(peer, _)| *peer).collect();
        let rate = |peer| rates.iter().find(|(other, _)| *other == peer);
        let measure = |peer| Ok(sample_of(rate(peer).expect("it is listed").1));
        interleave("x", &peers, 3, measure, |_| String::new())
    }

    #[test]
    fn a_row_has_figures_of_all_and_the_ratio_to_the_better_limit() {
        let outcomes = outcomes(&[
            (Peer::Qsse, 30.0),
            (Peer::RawQuinn, 40.0),
            (Peer::RawQuinnBest, 60.0),
            (Peer::SseH2, 10.0),
        ]);
        let row = row(&[("subscribers", json!(10))], &[PER_S], &outcomes);
        assert_eq!(row["subscribers"], 10);
        assert_eq!(row["deliveries_per_s"], 30.0);
        assert_eq!(row["raw_quinn_deliveries_per_s"], 60.0);
        assert_eq!(row["ratio_to_raw_quinn"], 0.5);
        assert_eq!(row["ratio_to_raw_quinn_spread"], json!([0.5, 0.5]));
        assert_eq!(row["sse_h2_deliveries_per_s"], 10.0);
        assert_eq!(row["ratio_to_sse_h2"], 3.0);
        assert_eq!(row["raw_quinn_to_itself"]["median"], 1.0);
        let same = &row["systems"]["raw-quinn"]["deliveries_per_s"];
        assert_eq!(same["median"], 40.0);
    }

    #[test]
    fn less_may_be_better_and_some_may_be_missing() {
        let outcomes = outcomes(&[(Peer::RawQuinn, 40.0), (Peer::RawQuinnBest, 60.0)]);
        let less = Figure {
            more_is_better: false,
            ..PER_S
        };
        let row = row(&[], &[less], &outcomes);
        assert_eq!(row["raw_quinn_deliveries_per_s"], 40.0);
        assert!(row.get("ratio_to_raw_quinn").is_none());
    }
}
