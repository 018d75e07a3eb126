//! EasyPost's webhook signature, version 1: HMAC-SHA-256 over the raw body, in lower-case hex behind a prefix. The key is
//! the secret as NFKD, which matters once it has an accent.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use unicode_normalization::UnicodeNormalization;

use crate::couriers::rest::SetupError;
use crate::privacy::Secret;

/// Where the signature stands.
pub(super) const HEADER: &str = "x-hmac-signature";

const PREFIX: &str = "hmac-sha256-hex=";

/// Checks with one secret.
#[derive(Debug)]
pub(super) struct Signature(Secret<String>);

impl Signature {
    /// # Errors
    /// The secret is empty: everybody could sign.
    pub(super) fn new(secret: &Secret<String>) -> Result<Self, SetupError> {
        let key: String = secret.expose().nfkd().collect();
        if key.trim().is_empty() {
            return Err(SetupError::WebhookSecret);
        }
        Ok(Self(Secret::new(key)))
    }

    /// Whether the header is ours over exactly these bytes; compared in constant time.
    pub(super) fn is_authentic(&self, header: &str, body: &[u8]) -> bool {
        let Some(given) = header.trim().strip_prefix(PREFIX) else {
            return false;
        };
        let Ok(given) = data_encoding::HEXLOWER_PERMISSIVE.decode(given.as_bytes()) else {
            return false;
        };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose().as_bytes()) else {
            return false;
        };
        mac.update(body);
        mac.verify_slice(&given).is_ok()
    }

    /// The header over such a body, as EasyPost would send it.
    #[cfg(test)]
    pub(super) fn of(&self, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose().as_bytes()).unwrap();
        mac.update(body);
        format!(
            "{PREFIX}{}",
            data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(secret: &str) -> Signature {
        Signature::new(&Secret::new(secret.to_owned())).unwrap()
    }

    #[test]
    fn an_accent_signs_the_same_however_it_is_spelt() {
        let (composed, decomposed) = (signature("s\u{e9}cret"), signature("se\u{301}cret"));
        assert_eq!(composed.of(b"{}"), decomposed.of(b"{}"));
        assert_ne!(composed.of(b"{}"), signature("secret").of(b"{}"));
    }

    #[test]
    fn another_body_secret_prefix_or_length_is_not_authentic() {
        let signature = signature("secret");
        let good = signature.of(b"{}");
        assert!(signature.is_authentic(&good, b"{}"));
        assert!(!signature.is_authentic(&good, b"{ }"));
        assert!(!signature.is_authentic(good.trim_start_matches(PREFIX), b"{}"));
        assert!(!signature.is_authentic(&good[..good.len() - 2], b"{}"));
        for bad in ["", PREFIX, "hmac-sha256-hex=zz"] {
            assert!(!signature.is_authentic(bad, b"{}"), "{bad}");
        }
        assert!(Signature::new(&Secret::new(" ".to_owned())).is_err());
    }
}
