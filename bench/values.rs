//! The values of one figure over the rounds: their median, the least and the most.

use serde::Serialize;

/// A value for each round.
#[derive(Clone, Debug, Default)]
pub struct Values(pub Vec<f64>);

/// What is shown of them.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The most.
    pub most: f64,
}

impl Values {
    /// The middle value; nothing of none.
    pub fn median(&self) -> Option<f64> {
        let mut values = self.0.clone();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            len if len % 2 == 1 => Some(values[middle]),
            _ => Some((values[middle - 1] + values[middle]) / 2.0),
        }
    }

    /// The median with the least and the most; nothing of none.
    pub fn spread(&self) -> Option<Spread> {
        let median = self.median()?;
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Spread { least, median, most })
    }
}

impl Spread {
    /// As tables show it: the median, and in brackets the least and the most where they differ.
    pub fn shown(&self, digits: usize) -> String {
        let Self { least, median, most } = self;
        if least == most {
            return format!("**{median:.digits$}**");
        }
        format!("**{median:.digits$}** [{least:.digits$}-{most:.digits$}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two_in_the_middle() {
        assert_eq!(Values(vec![]).median(), None);
        assert_eq!(Values(vec![9.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(Values(vec![4.0, 1.0, 2.0, 9.0]).median(), Some(3.0));
    }

    #[test]
    fn a_spread_is_shown_with_its_ends_where_they_differ() {
        let spread = Values(vec![2.0, 1.0, 4.0]).spread().unwrap();
        assert_eq!(spread, Spread { least: 1.0, median: 2.0, most: 4.0 });
        assert_eq!(spread.shown(1), "**2.0** [1.0-4.0]");
        assert_eq!(Values(vec![2.0]).spread().unwrap().shown(0), "**2**");
    }
}
