//! How the requests to a model that name no version are divided among its versions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

/// How requests are divided among the versions of a model: a percentage for each, which sum to 100.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split(BTreeMap<String, u8>);

/// Why percentages are no split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSplit {
    /// One is no percentage.
    #[error("version {version:?} has {found}: expected a whole number from 0 to 100, in percent")]
    Percentage {
        /// The version.
        version: String,
        /// What it has.
        found: String,
    },
    /// They do not sum to 100.
    #[error("the split sums to {sum}: expected 100, in percent")]
    Sum {
        /// What they sum to.
        sum: u64,
    },
}

/// Which of some versions answers a request, for weights that sum to whatever they sum to.
pub struct Shares {
    weights: Vec<u8>,
    /// The order in which those without a key are answered, over and over.
    order: Vec<u8>,
    next: AtomicUsize,
}

// === impl Split ===

impl Split {
    /// A split of these percentages, by version.
    ///
    /// # Errors
    ///
    /// One is over 100, or they do not sum to 100.
    pub fn new(percentages: BTreeMap<String, u64>) -> Result<Split, InvalidSplit> {
        let mut split = BTreeMap::new();
        let mut sum = 0_u64;
        for (version, percentage) in percentages {
            let found = u8::try_from(percentage).ok().filter(|&percentage| percentage <= 100);
            let Some(found) = found else {
                return Err(InvalidSplit::Percentage { version, found: percentage.to_string() });
            };
            sum += u64::from(found);
            split.insert(version, found);
        }
        if sum == 100 { Ok(Split(split)) } else { Err(InvalidSplit::Sum { sum }) }
    }

    /// All requests to one version.
    #[must_use]
    pub fn all_to(version: &str) -> Split {
        Split(BTreeMap::from([(version.to_owned(), 100)]))
    }

    /// The percentage of a version; 0 for one that the split does not name.
    #[must_use]
    pub fn percentage(&self, version: &str) -> u8 {
        self.0.get(version).copied().unwrap_or(0)
    }

    /// The versions with their percentages.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u8)> {
        self.0.iter().map(|(version, &percentage)| (version.as_str(), percentage))
    }
}

// === impl Shares ===

impl Shares {
    /// Shares in proportion to these weights, of which there are at most 256 and one is not 0.
    pub fn new(weights: Vec<u8>) -> Shares {
        let order = order(&weights);
        Shares { weights, order, next: AtomicUsize::new(0) }
    }

    /// The weights, in the order that they were given in.
    pub fn weights(&self) -> &[u8] {
        &self.weights
    }

    /// The index of the version whose turn it is. Any run of as many requests as the weights sum to is divided exactly.
    pub fn next(&self) -> usize {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.order.len().max(1);
        self.order.get(turn).copied().map_or(0, usize::from)
    }

    /// The index of the version that answers whoever sends this key: always the same one, and over many keys in proportion.
    ///
    /// By rendezvous hashing ([Thaler and Ravishankar 1998](https://www.eecs.umich.edu/techreports/cse/96/CSE-TR-316-96.pdf))
    /// with weights, as [Schindelhauer and Schomaker 2005](https://doi.org/10.1145/1073970.1074008) have it: each version draws
    /// the time until it comes, at a rate of its weight, and the first one answers. When weights change, no more keys move than
    /// have to, and nothing but weights, names and the key decides, so that all nodes agree.
    pub fn of_key<'a>(&self, model: &str, versions: impl Iterator<Item = &'a str>, key: &[u8]) -> usize {
        let times = self.weights.iter().zip(versions).map(|(&weight, version)| match weight {
            0 => f64::INFINITY,
            weight => -uniform(model, version, key).ln() / f64::from(weight),
        });
        times.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(index, _)| index)
    }

    /// The index of the version with the greatest share; of several, the last.
    pub fn greatest(&self) -> usize {
        self.weights.iter().enumerate().max_by_key(|(_, weight)| **weight).map_or(0, |(index, _)| index)
    }
}

/// A number between 0 and 1 that looks random, and is the same whenever the arguments are.
fn uniform(model: &str, version: &str, key: &[u8]) -> f64 {
    let mut hasher = Sha256::new();
    for part in [model.as_bytes(), version.as_bytes()] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(key);
    let digest = hasher.finalize();
    let first = digest.iter().take(8).fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    // The 53 bits that a number has, and a half, so that it is neither 0 nor 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let high = (first >> 11) as f64;
    (high + 0.5) / (1_u64 << 53) as f64
}

/// Turns in proportion to the weights and as even as can be: smooth weighted round-robin, as nginx has it. Each gets its
/// weight in every round, and whoever has most takes the turn and pays for it with all that was given.
fn order(weights: &[u8]) -> Vec<u8> {
    let sum: i32 = weights.iter().map(|&weight| i32::from(weight)).sum();
    let mut credit = vec![0_i32; weights.len()];
    let mut order = Vec::new();
    for _ in 0..sum {
        for (credit, &weight) in credit.iter_mut().zip(weights) {
            *credit += i32::from(weight);
        }
        // Of several with the same credit, the first.
        let turn = (0..credit.len()).rev().max_by_key(|&index| credit[index]).unwrap_or(0);
        credit[turn] -= sum;
        order.push(u8::try_from(turn).unwrap_or(u8::MAX));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(percentages: &[(&str, u64)]) -> Result<Split, InvalidSplit> {
        Split::new(percentages.iter().map(|&(version, percentage)| (version.to_owned(), percentage)).collect())
    }

    #[test]
    fn a_split_sums_to_100() {
        assert_eq!(split(&[("1", 90), ("2", 10)]).unwrap().percentage("2"), 10);
        assert_eq!(split(&[("1", 100), ("2", 0)]).unwrap().percentage("3"), 0);
        assert_eq!(split(&[("1", 80), ("2", 10)]), Err(InvalidSplit::Sum { sum: 90 }));
        assert_eq!(split(&[]), Err(InvalidSplit::Sum { sum: 0 }));
        let over = split(&[("1", 101)]).unwrap_err().to_string();
        assert!(over.contains("\"1\" has 101"), "{over}");
    }

    #[test]
    fn turns_are_in_proportion_in_any_run_of_them() {
        let shares = Shares::new(vec![70, 20, 10]);
        for _ in 0..37 {
            shares.next();
        }
        let mut counts = [0; 3];
        for _ in 0..100 {
            counts[shares.next()] += 1;
        }
        assert_eq!(counts, [70, 20, 10]);
        // Spread out, not one after the other.
        let shares = Shares::new(vec![90, 10]);
        let turns: Vec<usize> = (0..100).map(|_| shares.next()).collect();
        assert!(turns.chunks(10).all(|ten| ten.iter().sum::<usize>() == 1), "{turns:?}");
    }

    fn of_keys(weights: &[u8]) -> Vec<usize> {
        let shares = Shares::new(weights.to_vec());
        (0..10_000).map(|key| shares.of_key("m", ["1", "2", "3"].into_iter(), format!("u{key}").as_bytes())).collect()
    }

    #[test]
    fn keys_are_in_proportion_and_stay_where_they_are() {
        let keys = of_keys(&[90, 10]);
        let second = keys.iter().filter(|&&version| version == 1).count();
        assert!((900..=1100).contains(&second), "{second}");
        assert_eq!(keys, of_keys(&[90, 10]));
        // From 10 % to 20 %: a tenth moves, all of it to the version that has more now.
        let moved: Vec<_> = keys.iter().zip(of_keys(&[80, 20])).filter(|(before, now)| *before != now).collect();
        assert!((850..=1150).contains(&moved.len()), "{}", moved.len());
        assert!(moved.iter().all(|(before, now)| (**before, *now) == (0, 1)));
        // A version without a share gets nothing.
        assert!(of_keys(&[50, 0, 50]).iter().all(|&version| version != 1));
    }

    #[test]
    fn the_greatest_share_is_the_newest_of_equals() {
        assert_eq!(Shares::new(vec![10, 90, 0]).greatest(), 1);
        assert_eq!(Shares::new(vec![50, 50]).greatest(), 1);
    }
}
