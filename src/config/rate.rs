//! Rates as people write them: `100/s`, `30/m`, `5/h`.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// What a rate must look like, for error messages.
pub(super) const EXPECTED: &str = "a rate such as \"100/s\", \"30/m\" or \"5/h\", at least 1";

/// So many in a span of wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many, at least one.
    pub count: NonZeroU32,
    /// In how long: a second, a minute or an hour.
    pub per: Duration,
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (count, unit) = text.split_once('/').ok_or(EXPECTED)?;
        let per = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(EXPECTED),
        };
        let count = count.trim().parse().map_err(|_| EXPECTED)?;
        Ok(Self {
            count,
            per: Duration::from_secs(per),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_in_a_second_a_minute_or_an_hour() {
        for (text, count, secs) in [("100/s", 100, 1), ("30/m", 30, 60), ("5 / h", 5, 3600)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(
                (rate.count.get(), rate.per),
                (count, Duration::from_secs(secs)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_rate_of_nothing_or_without_a_unit_is_refused() {
        for text in ["0/s", "100", "100/", "/s", "-1/s", "100/d", "1/2/s", "99999999999/s"] {
            assert_eq!(text.parse::<Rate>(), Err(EXPECTED), "{text}");
        }
    }
}
