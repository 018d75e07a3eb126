//! Durations as people write them: `90s`, `24h`, `1h30m`. Units are ms, s, m, h and d; a number without one is refused,
//! for it would mean seconds to one reader and days to another.
//!
//! By hand and not by `humantime`, which also takes spaces, weeks, months and years: a retention window of "1M" would be
//! a month of 30.44 days there, and the contract has five units.

use std::time::Duration;

/// What a duration must look like, for error messages.
pub(super) const EXPECTED: &str = "a duration such as \"90s\", \"24h\" or \"1h30m\" (units ms, s, m, h, d)";

/// Reads whole numbers, each with a unit, added up. `None` when it is anything else or does not fit.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
        let millis_each: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let millis = number.parse::<u64>().ok()?.checked_mul(millis_each)?;
        total = total.checked_add(Duration::from_millis(millis))?;
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_counts_and_several_add_up() {
        let cases = [
            ("250ms", 250),
            ("0s", 0),
            ("10s", 10_000),
            ("15m", 900_000),
            ("24h", 86_400_000),
            ("30d", 2_592_000_000),
            ("1h30m", 5_400_000),
            ("1m500ms", 60_500),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_with_a_unit_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5h",
            "1 h",
            "1w",
            "1y",
            "1hm",
            "١s",
            "99999999999999999999d",
            "9999999999999999d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
