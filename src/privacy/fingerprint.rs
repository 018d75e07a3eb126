//! Keyed fingerprints: equal values under one key have equal fingerprints; without the key nothing can be guessed back.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// HMAC-SHA-256 of the parts, each preceded by its length so that no two lists of parts look alike.
pub fn fingerprint(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        mac.update(&length.to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parts_agree_and_shifted_borders_do_not() {
        let key = [7; 32];
        assert_eq!(fingerprint(&key, &[b"ab", b"c"]), fingerprint(&key, &[b"ab", b"c"]));
        assert_ne!(fingerprint(&key, &[b"ab", b"c"]), fingerprint(&key, &[b"a", b"bc"]));
        assert_ne!(fingerprint(&key, &[b"ab"]), fingerprint(&[8; 32], &[b"ab"]));
    }
}
