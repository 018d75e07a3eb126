//! Amounts of money: decimal text at the edges, minor units in the store, never a float.
//!
//! An amount is a fact, not personal data. There is no arithmetic here: an order is paid elsewhere.

use std::fmt;

use rust_decimal::Decimal;

use crate::domain::invalid::{FieldErrors, Invalid};

/// A currency of ISO 4217 that amounts can be in (`XXX` and the precious metals, which have no minor unit, are none).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Reads a code: three upper-case letters.
    ///
    /// # Errors
    /// `required`, `unknown_currency`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("required", "must not be empty"));
        }
        match iso_currency::Currency::from_code(text) {
            Some(currency) if currency.exponent().is_some() => Ok(Self(currency)),
            _ => Err(Invalid::new(
                "unknown_currency",
                "must be an ISO 4217 code in upper case, such as CNY",
            )),
        }
    }

    /// The code: three upper-case letters.
    pub fn code(&self) -> &'static str {
        self.0.code()
    }

    /// How many decimals the currency has: 2 for CNY, 0 for JPY, 3 for KWD.
    pub fn exponent(&self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount of 0 or more in a currency, held in minor units (fen, cents).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// Reads a decimal text such as `12.90` and a currency code, and collects what is wrong with either. Of the amount:
    /// `required`, `invalid_format` (sign, exponent, white space, superfluous zeros in front), `too_many_decimals` (more
    /// than the currency has), `out_of_range` (its minor units do not fit 63 bits). Fewer decimals are fine.
    pub fn parse(
        amount: &str,
        currency: &str,
        pointer_amount: &str,
        pointer_currency: &str,
        errors: &mut FieldErrors,
    ) -> Option<Self> {
        let currency = errors.take(pointer_currency, Currency::parse(currency));
        // The form is judged even where the currency is not known, so that both are reported.
        let decimals = errors.take(pointer_amount, decimals(amount))?;
        let currency = currency?;
        let minor = errors.take(pointer_amount, minor_units(amount, decimals, currency))?;
        Some(Self { minor, currency })
    }

    /// Takes minor units from the store.
    ///
    /// # Errors
    /// `out_of_range` when negative.
    pub fn from_minor(minor: i64, currency: Currency) -> Result<Self, Invalid> {
        if minor < 0 {
            return Err(Invalid::new("out_of_range", "must be 0 or more"));
        }
        Ok(Self { minor, currency })
    }

    /// In minor units: 1290 for CNY 12.90.
    pub fn minor(&self) -> i64 {
        self.minor
    }

    /// As a decimal with exactly the currency's decimals.
    pub fn decimal(&self) -> Decimal {
        // No currency has more than four decimals; a scale above 28 is the only error.
        Decimal::try_new(self.minor, self.currency.exponent()).unwrap_or_default()
    }

    /// As text with exactly the currency's decimals: `12.90`, and `1290` in JPY.
    pub fn amount(&self) -> String {
        self.decimal().to_string()
    }

    /// In which currency.
    pub fn currency(&self) -> Currency {
        self.currency
    }
}

/// How many decimals a well-formed amount has: digits without superfluous zeros in front, perhaps a point and digits.
fn decimals(amount: &str) -> Result<usize, Invalid> {
    if amount.is_empty() {
        return Err(Invalid::new("required", "must not be empty"));
    }
    let (whole, fraction) = amount
        .split_once('.')
        .map_or((amount, None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !fraction.is_none_or(digits) || (whole.len() > 1 && whole.starts_with('0')) {
        return Err(Invalid::new(
            "invalid_format",
            "must be a decimal text of 0 or more, such as \"12.90\"",
        ));
    }
    Ok(fraction.map_or(0, str::len))
}

fn minor_units(amount: &str, decimals: usize, currency: Currency) -> Result<i64, Invalid> {
    let exponent = currency.exponent();
    if u32::try_from(decimals).map_or(true, |decimals| decimals > exponent) {
        let detail = format!("must have at most as many decimals as the currency: {exponent}");
        return Err(Invalid::new("too_many_decimals", detail));
    }
    Decimal::from_str_exact(amount)
        .ok()
        .and_then(|decimal| decimal.checked_mul(Decimal::from(10_u64.checked_pow(exponent)?)))
        .and_then(|minor| i64::try_from(minor.normalize()).ok())
        .ok_or_else(|| Invalid::new("out_of_range", "is too large"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(amount: &str, currency: &str) -> Result<Money, Vec<(String, &'static str)>> {
        let mut errors = FieldErrors::new();
        let money = Money::parse(amount, currency, "/amount", "/currency", &mut errors);
        let errors: Vec<_> = errors
            .into_vec()
            .into_iter()
            .map(|error| (error.pointer, error.invalid.code))
            .collect();
        assert_eq!(
            money.is_some(),
            errors.is_empty(),
            "money is read exactly when nothing is refused"
        );
        money.ok_or(errors)
    }

    fn refused(amount: &str, currency: &str, code: &'static str) {
        assert_eq!(
            parse(amount, currency),
            Err(vec![("/amount".to_owned(), code)]),
            "{amount} {currency}"
        );
    }

    #[test]
    fn an_amount_has_exactly_the_decimals_of_its_currency() {
        for (text, currency, minor, shown) in [
            ("12.90", "CNY", 1290, "12.90"),
            ("12.9", "CNY", 1290, "12.90"),
            ("12", "CNY", 1200, "12.00"),
            ("0", "CNY", 0, "0.00"),
            ("0.05", "USD", 5, "0.05"),
            ("1290", "JPY", 1290, "1290"),
            ("1.234", "KWD", 1234, "1.234"),
            ("1.2345", "CLF", 12345, "1.2345"),
            ("92233720368547758.07", "CNY", i64::MAX, "92233720368547758.07"),
            ("9223372036854775807", "JPY", i64::MAX, "9223372036854775807"),
        ] {
            let money = parse(text, currency).unwrap();
            assert_eq!(
                (money.minor(), money.amount().as_str(), money.currency().code()),
                (minor, shown, currency),
                "{text}"
            );
        }
    }

    #[test]
    fn only_plain_decimal_text_is_an_amount() {
        for text in [
            "-1", "+1", "1e3", " 1", "1 ", "1,5", ".5", "5.", "007", "00", "1.2.3", "0x1", "1_000", "NaN", "１２", "¥1",
        ] {
            refused(text, "CNY", "invalid_format");
        }
        refused("", "CNY", "required");
    }

    #[test]
    fn more_decimals_than_the_currency_has_are_refused_even_when_they_are_zero() {
        refused("12.900", "CNY", "too_many_decimals");
        refused("1290.0", "JPY", "too_many_decimals");
        refused(&format!("0.{}", "0".repeat(40)), "KWD", "too_many_decimals");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        refused("92233720368547758.08", "CNY", "out_of_range");
        refused("9223372036854775808", "JPY", "out_of_range");
        refused("79228162514264337593543950335", "CNY", "out_of_range");
        refused(&"9".repeat(60), "CNY", "out_of_range");
        let cny = Currency::parse("CNY").unwrap();
        assert_eq!(Money::from_minor(-1, cny).unwrap_err().code, "out_of_range");
    }

    #[test]
    fn only_currencies_that_exist_are_read_and_both_refusals_come_at_once() {
        for code in ["cny", "RMB", "ABC", "XXX", "XAU", "CNYY", "¥", " CNY"] {
            assert_eq!(Currency::parse(code).unwrap_err().code, "unknown_currency", "{code}");
        }
        let both = vec![
            ("/currency".to_owned(), "unknown_currency"),
            ("/amount".to_owned(), "invalid_format"),
        ];
        assert_eq!(parse("-1", "RMB"), Err(both));
        assert_eq!(parse("1.999", ""), Err(vec![("/currency".to_owned(), "required")]));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            minor in prop_oneof![0..=i64::MAX, 0..100_000_i64],
            code in prop_oneof![Just("CNY"), Just("JPY"), Just("KWD"), Just("CLF"), Just("USD"), Just("KRW")],
        ) {
            let money = Money::from_minor(minor, Currency::parse(code).unwrap()).unwrap();
            prop_assert_eq!(parse(&money.amount(), code), Ok(money));
        }

        #[test]
        fn no_text_makes_reading_panic_and_what_is_read_is_the_same_number(text in prop_oneof![any::<String>(), "[0-9]{1,30}[.]?[0-9]{0,6}"]) {
            if let Ok(money) = parse(&text, "CNY") {
                prop_assert_eq!(money.decimal(), text.parse::<Decimal>().unwrap());
            }
        }
    }
}
