//! What goes wrong on request: each fault with its chance, how often it strikes, and what it needs besides.
//!
//! Faults are configuration: they are validated when set and never invented. A fault that was asked for twice strikes
//! twice, also across a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FaultKind {
    Refuse,
    Down,
    Unauthorized,
    DropBeforeBooking,
    RateLimit,
    Slow,
    DropAfterBooking,
    WebhookBeforeAnswer,
    WebhookTwice,
    WebhookLate,
    WebhookDisordered,
    WebhookBadSignature,
    WebhookWithoutReference,
    Lost,
    Returned,
    Rejected,
}

impl FaultKind {
    /// Every fault with its name, in the order of the documentation.
    pub(super) const ALL: [(Self, &'static str); 16] = [
        (Self::Refuse, "refuse"),
        (Self::Down, "down"),
        (Self::Unauthorized, "unauthorized"),
        (Self::DropBeforeBooking, "drop_before_booking"),
        (Self::RateLimit, "rate_limit"),
        (Self::Slow, "slow"),
        (Self::DropAfterBooking, "drop_after_booking"),
        (Self::WebhookBeforeAnswer, "webhook_before_answer"),
        (Self::WebhookTwice, "webhook_twice"),
        (Self::WebhookLate, "webhook_late"),
        (Self::WebhookDisordered, "webhook_disordered"),
        (Self::WebhookBadSignature, "webhook_bad_signature"),
        (Self::WebhookWithoutReference, "webhook_without_reference"),
        (Self::Lost, "lost"),
        (Self::Returned, "returned"),
        (Self::Rejected, "rejected"),
    ];

    fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|(_, name)| *name == text)
            .map(|(kind, _)| kind)
    }
}

/// Which calls `down`, `unauthorized`, `rate_limit` and `slow` concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Call {
    Book,
    Query,
    Cancel,
}

/// How a fault strikes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    /// 0 to 1.
    #[serde(default = "always")]
    probability: f64,
    /// How often it still strikes; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u32>,
    /// Seconds of wall time: how slow, how late, or what `Retry-After` asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay: Option<f64>,
    /// The code of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    /// The calls concerned; absent: bookings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on: Option<Vec<Call>>,
}

const fn always() -> f64 {
    1.0
}

/// The longest delay: past this a test would rather set `drop_before_booking`.
const LONGEST_DELAY_SECONDS: f64 = 3600.0;

impl Fault {
    /// The wait it asks for, wall time.
    pub(super) fn delay_or(&self, default: Duration) -> Duration {
        self.delay
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .unwrap_or(default)
    }

    fn is_valid(&self) -> bool {
        let code_ok = self.code.as_deref().is_none_or(|code| {
            (1..=40).contains(&code.len())
                && code.starts_with(|c: char| c.is_ascii_lowercase())
                && code
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        });
        (0.0..=1.0).contains(&self.probability)
            && self
                .delay
                .is_none_or(|seconds| (0.0..=LONGEST_DELAY_SECONDS).contains(&seconds))
            && code_ok
    }
}

/// Why a set of faults was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No fault of that name.
    #[error("there is no such fault; known are: {}", known().join(", "))]
    Unknown,
    /// A known fault, set in a way that has no meaning.
    #[error(
        "a fault is true, a probability from 0 to 1, or an object of probability, times, delay (seconds, at most 3600), \
         code ([a-z0-9_]) and on (book, query, cancel)"
    )]
    Invalid,
}

/// The names of every fault.
pub(super) fn known() -> Vec<&'static str> {
    FaultKind::ALL.into_iter().map(|(_, name)| name).collect()
}

/// The faults that are set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Faults(BTreeMap<FaultKind, Fault>);

impl Faults {
    /// Reads `{"drop_after_booking": 0.5, "slow": {"delay": 3, "times": 1}, "lost": true}`.
    pub(super) fn from_json(value: &Value) -> Result<Self, FaultError> {
        let Value::Object(given) = value else {
            return Err(FaultError::Invalid);
        };
        let mut faults = Self::default();
        for (name, options) in given {
            let kind = FaultKind::parse(name).ok_or(FaultError::Unknown)?;
            let options = match options {
                Value::Bool(true) => serde_json::json!({}),
                Value::Number(probability) => serde_json::json!({ "probability": probability }),
                other => other.clone(),
            };
            faults.insert(kind, serde_json::from_value(options).map_err(|_| FaultError::Invalid)?)?;
        }
        Ok(faults)
    }

    /// Reads flags of the command line, one fault each: `NAME`, `NAME=PROBABILITY`, and after either any of
    /// `,times=N`, `,delay=SECONDS`, `,code=WORD`, `,on=book+query+cancel`.
    ///
    /// # Errors
    /// A name that is no fault, or options that have no meaning.
    pub fn from_flags<S: AsRef<str>>(flags: impl IntoIterator<Item = S>) -> Result<Self, FaultError> {
        let mut faults = Self::default();
        for flag in flags {
            let mut words = flag.as_ref().split(',');
            let (name, probability) = match words.next().unwrap_or_default().split_once('=') {
                Some((name, number)) => (name, number.parse().map_err(|_| FaultError::Invalid)?),
                None => (flag.as_ref().split(',').next().unwrap_or_default(), always()),
            };
            let kind = FaultKind::parse(name.trim()).ok_or(FaultError::Unknown)?;
            let mut fault = Fault {
                probability,
                times: None,
                delay: None,
                code: None,
                on: None,
            };
            for word in words {
                match word.split_once('=') {
                    Some(("times", n)) => fault.times = Some(n.parse().map_err(|_| FaultError::Invalid)?),
                    Some(("delay", s)) => fault.delay = Some(s.parse().map_err(|_| FaultError::Invalid)?),
                    Some(("code", code)) => fault.code = Some(code.to_owned()),
                    Some(("on", calls)) => {
                        let calls = Value::from(calls.split('+').collect::<Vec<_>>());
                        fault.on = Some(serde_json::from_value(calls).map_err(|_| FaultError::Invalid)?);
                    }
                    _ => return Err(FaultError::Invalid),
                }
            }
            faults.insert(kind, fault)?;
        }
        Ok(faults)
    }

    fn insert(&mut self, kind: FaultKind, fault: Fault) -> Result<(), FaultError> {
        if !fault.is_valid() {
            return Err(FaultError::Invalid);
        }
        self.0.insert(kind, fault);
        Ok(())
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `kind` strikes now, on this call. A fault with `times` is used up by striking, and gone with its last.
    pub(super) fn strike(&mut self, kind: FaultKind, call: Call) -> Option<Fault> {
        let fault = self.0.get_mut(&kind)?;
        let concerned = fault
            .on
            .as_ref()
            .map_or(call == Call::Book, |calls| calls.contains(&call));
        if !concerned || fault.times == Some(0) || !chance(fault.probability) {
            return None;
        }
        fault.times = fault.times.map(|left| left - 1);
        let struck = fault.clone();
        if struck.times == Some(0) {
            self.0.remove(&kind);
        }
        Some(struck)
    }
}

impl Fault {
    /// Whether striking changed what is left, which must outlive a restart.
    pub(super) fn is_counted(&self) -> bool {
        self.times.is_some()
    }
}

/// True with that probability. Without randomness from the machine nothing but the certain happens.
fn chance(probability: f64) -> bool {
    let drawn = getrandom::u32().map_or(1.0, |bits| f64::from(bits) / (f64::from(u32::MAX) + 1.0));
    probability >= 1.0 || drawn < probability
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fault_with_a_count_strikes_that_often_and_no_more() {
        let mut faults = Faults::from_json(&json!({"refuse": {"times": 2, "code": "no_service"}})).unwrap();
        let code = |faults: &mut Faults| faults.strike(FaultKind::Refuse, Call::Book).and_then(|f| f.code);
        assert_eq!(code(&mut faults).as_deref(), Some("no_service"));
        assert_eq!(code(&mut faults).as_deref(), Some("no_service"));
        assert_eq!(code(&mut faults), None);
        assert!(faults.is_empty());
    }

    #[test]
    fn a_fault_strikes_bookings_unless_told_otherwise() {
        let mut faults = Faults::from_json(&json!({"down": true, "slow": {"on": ["query", "cancel"]}})).unwrap();
        assert!(faults.strike(FaultKind::Down, Call::Book).is_some());
        assert!(faults.strike(FaultKind::Down, Call::Query).is_none());
        assert!(faults.strike(FaultKind::Slow, Call::Book).is_none());
        assert!(faults.strike(FaultKind::Slow, Call::Cancel).is_some());
    }

    #[test]
    fn a_probability_of_nought_never_strikes_and_a_half_does_sometimes() {
        let mut faults = Faults::from_json(&json!({"lost": 0, "rejected": 0.5})).unwrap();
        assert!((0..200).all(|_| faults.strike(FaultKind::Lost, Call::Book).is_none()));
        let struck = (0..1000)
            .filter(|_| faults.strike(FaultKind::Rejected, Call::Book).is_some())
            .count();
        // Outside these bounds once in 10^30 runs.
        assert!((300..700).contains(&struck), "{struck}");
    }

    #[test]
    fn flags_and_json_say_the_same() {
        let flags = [
            "drop_after_booking=0.5",
            "slow,delay=2.5,times=3,on=book+query",
            "refuse=1,code=no_service",
        ];
        let json = json!({"drop_after_booking": 0.5, "slow": {"delay": 2.5, "times": 3, "on": ["book", "query"]},
            "refuse": {"probability": 1, "code": "no_service"}});
        assert_eq!(Faults::from_flags(flags), Faults::from_json(&json));
        assert!(Faults::from_flags(flags).is_ok());
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        for bad in [
            json!([]),
            json!({"slow": {"delay": -1}}),
            json!({"slow": {"dealy": 1}}),
            json!({"lost": 1.5}),
            json!({"lost": false}),
            json!({"refuse": {"code": "张三"}}),
            json!({"down": {"on": ["everything"]}}),
        ] {
            assert_eq!(Faults::from_json(&bad), Err(FaultError::Invalid), "{bad}");
        }
        assert_eq!(Faults::from_json(&json!({"fire": 1})), Err(FaultError::Unknown));
        assert_eq!(Faults::from_flags(["fire=1"]), Err(FaultError::Unknown));
        assert_eq!(Faults::from_flags(["lost=often"]), Err(FaultError::Invalid));
        assert_eq!(Faults::from_flags(["lost=NaN"]), Err(FaultError::Invalid));
    }
}
