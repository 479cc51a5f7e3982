//! Sets of a job's indexes, as its status writes them: `0,2-4`.

use std::collections::BTreeSet;
use std::fmt;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(BTreeSet<i32>);

impl Indexes {
    /// What cannot be read, and what is not below `completions`, is left out.
    pub(super) fn parse(text: &str, completions: i32) -> Self {
        let mut all = BTreeSet::new();
        for interval in text.split(',') {
            let (first, last) = interval.split_once('-').unwrap_or((interval, interval));
            let Ok(first) = first.parse::<i32>() else { continue };
            let last = last.parse::<i32>().unwrap_or(first).min(completions - 1);
            all.extend(first..=last);
        }
        Self(all)
    }

    pub(super) fn insert(&mut self, index: i32) {
        self.0.insert(index);
    }

    pub(super) fn has(&self, index: i32) -> bool {
        self.0.contains(&index)
    }

    pub(super) fn count(&self) -> i32 {
        i32::try_from(self.0.len()).unwrap_or(i32::MAX)
    }

    pub(super) fn n_shared(&self, other: &Self) -> i32 {
        i32::try_from(self.0.intersection(&other.0).count()).unwrap_or(i32::MAX)
    }
}

impl FromIterator<i32> for Indexes {
    fn from_iter<I: IntoIterator<Item = i32>>(indexes: I) -> Self {
        Self(indexes.into_iter().collect())
    }
}

/// Two neighbours are written one by one, three and more as an interval.
impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut intervals: Vec<(i32, i32)> = Vec::new();
        for index in &self.0 {
            match intervals.last_mut() {
                Some((_, last)) if *last + 1 == *index => *last = *index,
                Some(_) | None => intervals.push((*index, *index)),
            }
        }
        for (i, (first, last)) in intervals.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_written_as_short_as_may_be() {
        for text in ["", "0", "0,1", "0-2", "0,2-4,6,7"] {
            assert_eq!(Indexes::parse(text, 100).to_string(), text);
        }
        assert_eq!(Indexes::parse("0-9,x", 3).to_string(), "0-2");
        assert_eq!(Indexes::parse("0-2", 9).n_shared(&[2, 3].into_iter().collect()), 1);
    }
}
