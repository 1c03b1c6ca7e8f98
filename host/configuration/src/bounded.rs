//! Numbers within bounds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bounded<const MIN: u64, const MAX: u64>(u64);

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Deserialize)]
#[serde(try_from = "f64")]
pub struct Ratio(f64);

/// Why a number is no [`Ratio`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number from 0 to 1, found {0}")]
pub struct NoRatio(String);

/// Why a number is not within its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a whole number from {min} to {max}, found {found}")]
pub struct OutOfBounds {
    min: u64,
    max: u64,
    found: String,
}

// === impl Bounded ===

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    /// The number, if it is within the bounds.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn new(number: u64) -> Result<Self, OutOfBounds> {
        if (MIN..=MAX).contains(&number) { Ok(Bounded(number)) } else { Err(Self::refuse(&number)) }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    fn refuse(found: &dyn fmt::Display) -> OutOfBounds {
        OutOfBounds { min: MIN, max: MAX, found: found.to_string() }
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for Bounded<MIN, MAX> {
    type Err = OutOfBounds;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map_err(|_| Self::refuse(&format_args!("{text:?}"))).and_then(Self::new)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const MIN: u64, const MAX: u64>;

        impl<const MIN: u64, const MAX: u64> de::Visitor<'_> for Visitor<MIN, MAX> {
            type Value = Bounded<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                Bounded::new(number).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                let bounded = u64::try_from(number).map_err(|_| Bounded::<MIN, MAX>::refuse(&number));
                bounded.and_then(Bounded::new).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl<const MIN: u64, const MAX: u64> fmt::Display for Bounded<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Ratio ===

impl Ratio {
    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Ratio {
    type Error = NoRatio;

    fn try_from(number: f64) -> Result<Ratio, NoRatio> {
        if (0.0..=1.0).contains(&number) { Ok(Ratio(number)) } else { Err(NoRatio(number.to_string())) }
    }
}

impl FromStr for Ratio {
    type Err = NoRatio;

    fn from_str(text: &str) -> Result<Ratio, NoRatio> {
        text.parse::<f64>().map_err(|_| NoRatio(format!("{text:?}"))).and_then(Ratio::try_from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_a_number_from_0_to_1() {
        assert_eq!("0.25".parse::<Ratio>().unwrap().get(), 0.25);
        for text in ["-0.1", "1.5", "NaN", "half", ""] {
            let error = text.parse::<Ratio>().unwrap_err().to_string();
            assert!(error.starts_with("expected a number from 0 to 1, found "), "{error}");
        }
    }

    #[test]
    fn only_what_is_within_the_bounds_is_a_number() {
        type Percent = Bounded<1, 100>;
        assert_eq!("100".parse::<Percent>().unwrap().get(), 100);
        for text in ["0", "101", "-1", "1.5", "", "ten", "99999999999999999999"] {
            let error = text.parse::<Percent>().unwrap_err().to_string();
            assert!(error.starts_with("expected a whole number from 1 to 100, found "), "{error}");
        }
    }
}
