//! Standard Webhooks signatures, for both sides: the sandbox signs, the adapter checks.
//!
//! The signature is made by the reference implementation. Its own check asks the machine for the time, so the check
//! here takes the time as a parameter instead. It must never say why a signature was refused: that would help to forge.

use base64::Engine;
use standardwebhooks::Webhook;
use subtle::ConstantTimeEq;

use crate::clock::WallTime;
use crate::privacy::Secret;

pub(super) use standardwebhooks::{
    HEADER_WEBHOOK_ID as ID, HEADER_WEBHOOK_SIGNATURE as SIGNATURE, HEADER_WEBHOOK_TIMESTAMP as TIMESTAMP,
};

/// How far the sender's clock may be off, either way: what the specification's own libraries allow.
const TOLERANCE_SECONDS: u64 = 5 * 60;

/// The specification asks for keys of 24 to 64 bytes; a shorter one can be guessed.
const SHORTEST_KEY: usize = 24;

/// A webhook secret that is not `whsec_` and the base64 of at least 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is `whsec_` followed by the base64 of at least 24 random bytes")]
pub struct InvalidSecret;

/// Signs and checks with one secret.
pub(super) struct Signer(Webhook);

impl Signer {
    /// Reads a `whsec_...` secret.
    pub(super) fn new(secret: &Secret<String>) -> Result<Self, InvalidSecret> {
        let encoded = secret.expose().strip_prefix("whsec_").ok_or(InvalidSecret)?;
        let key = base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .map_err(|_| InvalidSecret)?;
        if key.len() < SHORTEST_KEY {
            return Err(InvalidSecret);
        }
        Webhook::from_bytes(key).map(Self).map_err(|_| InvalidSecret)
    }

    /// The signature header of a message, sent at `at` (seconds count); `None` when the body is not UTF-8.
    pub(super) fn sign(&self, id: &str, at: WallTime, body: &[u8]) -> Option<String> {
        self.0.sign(id, at.timestamp(), body).ok()
    }

    /// Whether one of the `signatures` is ours over exactly these bytes, and `timestamp` is recent.
    pub(super) fn is_authentic(&self, id: &str, timestamp: &str, signatures: &str, body: &[u8], now: WallTime) -> bool {
        let Ok(sent_at) = timestamp.parse::<i64>() else {
            return false;
        };
        if now.timestamp().abs_diff(sent_at) > TOLERANCE_SECONDS {
            return false;
        }
        let Ok(expected) = self.0.sign(id, sent_at, body) else {
            return false;
        };
        // Several may be sent, separated by spaces, while a secret is being changed.
        signatures
            .split(' ')
            .any(|given| given.as_bytes().ct_eq(expected.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    const GOOD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_published_example_is_signed_as_published() {
        let at = WallTime::from_timestamp_micros(1_614_265_330_000_000).unwrap();
        let signed =
            Signer::new(&secret(GOOD))
                .unwrap()
                .sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        assert_eq!(
            signed.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn a_changed_body_id_or_time_or_another_secret_is_not_authentic() {
        let signer = Signer::new(&secret(GOOD)).unwrap();
        let now = WallTime::from_timestamp_micros(1_700_000_000_000_000).unwrap();
        let good = signer.sign("msg_1", now, b"{}").unwrap();
        let check = |id: &str, time: &str, sig: &str, body: &[u8]| signer.is_authentic(id, time, sig, body, now);
        assert!(check("msg_1", "1700000000", &good, b"{}"));
        assert!(check("msg_1", "1700000000", &format!("v1,AAAA {good}"), b"{}"));
        assert!(!check("msg_2", "1700000000", &good, b"{}"));
        assert!(!check("msg_1", "1700000001", &good, b"{}"));
        assert!(!check("msg_1", "1700000000", &good, b"{ }"));
        assert!(!check("msg_1", "1700000000", "", b"{}"));
        let other = Signer::new(&secret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")).unwrap();
        assert!(!other.is_authentic("msg_1", "1700000000", &good, b"{}", now));
    }

    #[test]
    fn a_message_is_authentic_for_five_minutes_either_way_and_no_longer() {
        let signer = Signer::new(&secret(GOOD)).unwrap();
        let sent = WallTime::from_timestamp_micros(1_700_000_000_000_000).unwrap();
        let good = signer.sign("msg_1", sent, b"{}").unwrap();
        for (offset, holds) in [(-301, false), (-300, true), (300, true), (301, false)] {
            let now = sent + TimeDelta::seconds(offset);
            assert_eq!(
                signer.is_authentic("msg_1", "1700000000", &good, b"{}", now),
                holds,
                "{offset}"
            );
        }
    }

    #[test]
    fn secrets_that_are_short_or_not_marked_are_refused() {
        for bad in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "whsec_***",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert!(Signer::new(&secret(bad)).is_err(), "{bad}");
        }
    }
}
