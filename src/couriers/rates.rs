//! Choosing among the offers of couriers that broker others.

use rust_decimal::Decimal;
use serde_json::Value;

use crate::couriers::rest::{is_id, text};

/// One offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rate {
    /// What to buy it by.
    pub(super) id: String,
    /// Who carries.
    pub(super) carrier: String,
    /// Under which product.
    pub(super) service: String,
    price: Decimal,
    currency: String,
}

impl Rate {
    /// Reads an offer; `None` where it cannot be bought or compared.
    pub(super) fn read(offer: &Value, carrier: &str, price: &str) -> Option<Self> {
        let price = amount(offer.get(price)?)?;
        Some(Self {
            id: text(offer, "id").filter(|id| is_id(id))?.to_owned(),
            carrier: text(offer, carrier)?.to_owned(),
            service: text(offer, "service")?.to_owned(),
            price,
            currency: text(offer, "currency").unwrap_or("?").to_ascii_uppercase(),
        })
    }

    /// As the order keeps it: `USPS Priority 7.58 USD`. Facts of the courier's catalogue; anything else is cut out.
    pub(super) fn describe(&self) -> String {
        let parts = [
            plain(&self.carrier),
            plain(&self.service),
            self.price.to_string(),
            plain(&self.currency),
        ];
        parts.join(" ")
    }
}

fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '+' | '?'))
        .take(40)
        .collect()
}

/// An amount of money, as text or as a number; never negative.
fn amount(value: &Value) -> Option<Decimal> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let read = text.parse().or_else(|_| Decimal::from_scientific(&text)).ok()?;
    (read >= Decimal::ZERO).then_some(read)
}

/// The cheapest offer, the first of equals. Amounts of different currencies cannot be compared: the first offer's counts.
pub(super) fn cheapest(offers: impl IntoIterator<Item = Rate>) -> Option<Rate> {
    let mut offers = offers.into_iter().peekable();
    let currency = offers.peek()?.currency.clone();
    offers
        .filter(|offer| offer.currency == currency)
        .min_by(|one, other| one.price.cmp(&other.price))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rate(id: &str, price: Value, currency: &str) -> Option<Rate> {
        let offer = json!({"id": id, "carrier": "USPS", "service": "Priority", "rate": price, "currency": currency});
        Rate::read(&offer, "carrier", "rate")
    }

    #[test]
    fn prices_are_compared_as_decimals_within_one_currency() {
        let offers = [
            ("a", "10.00", "USD"),
            ("b", "9.5", "usd"),
            ("c", "1.00", "CNY"),
            ("d", "9.50", "USD"),
        ];
        let offers = offers.map(|(id, price, currency)| rate(id, json!(price), currency).unwrap());
        let best = cheapest(offers).unwrap();
        assert_eq!(
            (best.id.as_str(), best.describe().as_str()),
            ("b", "USPS Priority 9.5 USD")
        );
        assert_eq!(cheapest([]), None);
    }

    #[test]
    fn an_offer_that_cannot_be_compared_or_bought_is_none() {
        assert_eq!(
            rate("a", json!(0.0), "USD").unwrap().describe(),
            "USPS Priority 0.0 USD"
        );
        assert!(rate("a", json!(1e-7), "USD").is_some());
        for price in [json!("-1"), json!("free"), json!(null), json!([]), json!("NaN")] {
            assert_eq!(rate("a", price.clone(), "USD"), None, "{price}");
        }
        assert_eq!(rate("../x", json!("1"), "USD"), None);
    }
}
