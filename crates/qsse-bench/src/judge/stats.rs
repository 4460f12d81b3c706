//! Medians and how far figures spread around them.

use serde::Serialize;

/// Figures of the same thing, summed up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    /// The middle one; with an even number of figures, between the two in the middle.
    pub(super) median: f64,
    /// The smallest.
    pub(super) min: f64,
    /// The largest.
    pub(super) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(super) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median = match figures.len() % 2 {
            1 => figures[middle],
            _ => (figures[middle - 1] + figures[middle]) / 2.0,
        };
        Some(Self { median, min, max })
    }

    /// Of pairs of the same round, each divided; rounds that lack one are left out.
    pub(super) fn of_ratios(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Option<Self> {
        let pairs = ours.iter().zip(theirs);
        Self::of(pairs.filter_map(|(ours, theirs)| {
            let (ours, theirs) = ((*ours)?, (*theirs)?);
            (theirs > 0.0).then(|| ours / theirs)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([]), None);
        let odd = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of([1.0, 4.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let ours = [Some(1.0), None, Some(9.0)];
        let theirs = [Some(2.0), Some(1.0), Some(3.0)];
        let ratios = Spread::of_ratios(&ours, &theirs).unwrap();
        assert_eq!((ratios.min, ratios.max), (0.5, 3.0));
        assert_eq!(Spread::of_ratios(&ours, &[Some(0.0), None, None]), None);
    }
}
