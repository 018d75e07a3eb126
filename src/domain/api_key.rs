//! The text of an API key: `sl_<key id>_<secret><checksum>`, letters and digits in every part, so that a double click
//! selects it whole. The checksum, which anybody can compute, tells a key that was cut off or mistyped from one that is
//! wrong. Keys of the form before it, which has none, are read as well.

use zeroize::Zeroizing;

use crate::privacy::Secret;

const PREFIX: &str = "sl_";
/// 71 bits: ids do not meet, and are no secret.
const ID_LENGTH: usize = 12;
/// 196 bits.
const SECRET_LENGTH: usize = 33;
/// 62^6 is more than 2^32.
const CHECKSUM_LENGTH: usize = 6;
const OLD_ID_LENGTH: usize = 18;
const OLD_SECRET_LENGTH: usize = 43;

/// The digits of base 62, by value.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A text that is no API key, for anybody to see: its form or its checksum is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the API key is malformed: its form or its checksum is wrong")]
pub struct MalformedKey;

/// A well-formed key, taken apart. Whether there is such a key, the store says. No `Debug`: it holds the secret.
#[derive(Clone, Copy)]
pub struct KeyText<'a> {
    id: &'a str,
    secret: &'a str,
}

impl<'a> KeyText<'a> {
    /// Reads a key of today's form or of the one before it; their ids differ in length, so that none is both.
    ///
    /// # Errors
    /// Neither form, or a checksum that does not match.
    pub fn parse(text: &'a str) -> Result<Self, MalformedKey> {
        let (id, rest) = text
            .strip_prefix(PREFIX)
            .and_then(|parts| parts.split_once('_'))
            .ok_or(MalformedKey)?;
        let secret = match (id.len(), rest.len()) {
            (ID_LENGTH, length) if length == SECRET_LENGTH + CHECKSUM_LENGTH => {
                let checked = text.len() - CHECKSUM_LENGTH;
                let (before, sum) = text.split_at_checked(checked).ok_or(MalformedKey)?;
                let well_formed = is_base62(id) && is_base62(rest) && sum == checksum(before);
                rest.get(..SECRET_LENGTH).filter(|_| well_formed)
            }
            (OLD_ID_LENGTH, OLD_SECRET_LENGTH) => (is_hex(id) && is_old_secret(rest)).then_some(rest),
            _ => None,
        };
        secret.map(|secret| Self { id, secret }).ok_or(MalformedKey)
    }

    /// The public part.
    pub const fn id(&self) -> &'a str {
        self.id
    }

    /// What is hashed and compared. The checksum is not in it: it says nothing that the rest does not.
    pub const fn secret(&self) -> &'a str {
        self.secret
    }
}

/// A key that was just made, in today's form.
#[derive(Debug)]
pub struct GeneratedKey {
    /// The public part.
    pub id: String,
    /// What is hashed and compared; see [`KeyText::secret`].
    pub secret: Secret<String>,
    /// The whole key, for its owner.
    pub text: Secret<String>,
}

impl GeneratedKey {
    /// Makes a key out of what `fill` fills buffers with, which must come from a generator for secrets.
    pub fn generate(mut fill: impl FnMut(&mut [u8])) -> Self {
        let id = random_letters(ID_LENGTH, &mut fill);
        let secret = random_letters(SECRET_LENGTH, &mut fill);
        // Room for all of it at once: a text that grows leaves copies of itself behind.
        let mut text = String::with_capacity(PREFIX.len() + ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH);
        for part in [PREFIX, &id, "_", &secret] {
            text.push_str(part);
        }
        let sum = checksum(&text);
        text.push_str(&sum);
        Self {
            id,
            secret: Secret::new(secret),
            text: Secret::new(text),
        }
    }
}

/// CRC-32 (ISO-HDLC, that of zlib) in base 62, most significant digit first, padded with `0`.
fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [char::from(b'0'); CHECKSUM_LENGTH];
    for place in digits.iter_mut().rev() {
        *place = digit(rest);
        rest /= 62;
    }
    digits.iter().collect()
}

/// The last digit of `value` in base 62.
fn digit(value: u32) -> char {
    let at = usize::try_from(value % 62).unwrap_or_default();
    DIGITS.get(at).copied().map_or('0', char::from)
}

/// `count` letters and digits, each as likely as the other.
fn random_letters(count: usize, fill: &mut impl FnMut(&mut [u8])) -> String {
    // A byte above this would make the first letters likelier than the last.
    const FAIR: u8 = 4 * 62;
    let mut letters = String::with_capacity(count);
    let mut bytes = Zeroizing::new([0_u8; 64]);
    while letters.len() < count {
        fill(&mut *bytes);
        let fair = bytes.iter().filter(|byte| **byte < FAIR);
        letters.extend(fair.take(count - letters.len()).map(|byte| digit(u32::from(*byte))));
    }
    letters
}

fn is_base62(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// base64url, with `.` for `_`.
fn is_old_secret(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    /// What SECURITY.md tells secret scanners to look for.
    const SCANNED: &str = r"\bsl_[0-9A-Za-z]{12}_[0-9A-Za-z]{39}\b";
    const SCANNED_OLD: &str = r"\bsl_[0-9a-f]{18}_[0-9A-Za-z.-]{43}";

    /// No key of anybody's: its secret is made of counted bytes.
    const EXAMPLE: &str = "sl_0123456789AB_23456789ABCDEFGHIJKLMNOPQRSTUVWXY40We7N";
    const OLD: &str = "sl_00112233445566778a_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-.abcde";

    /// A generator that is none: it counts.
    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 0_u8;
        move |bytes| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_add(1);
            }
        }
    }

    fn parse(text: &str) -> Option<(String, String)> {
        KeyText::parse(text)
            .ok()
            .map(|key| (key.id().to_owned(), key.secret().to_owned()))
    }

    prop_compose! {
        fn keys()(seed in proptest::collection::vec(any::<u8>(), 256)) -> GeneratedKey {
            // What is left when the seed is used up counts on, so that no seed goes on forever.
            let mut bytes = seed.into_iter().chain((0..=u8::MAX).cycle());
            GeneratedKey::generate(|buffer| buffer.iter_mut().zip(&mut bytes).for_each(|(to, from)| *to = from))
        }
    }

    #[test]
    fn the_form_of_a_key_and_its_checksum_stay_what_they_are() {
        let key = GeneratedKey::generate(counting());
        assert_eq!(key.text.expose(), EXAMPLE);
        assert_eq!(parse(EXAMPLE), Some((key.id.clone(), key.secret.expose().clone())));
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = GeneratedKey::generate(counting());
        let shown = format!("{key:?} {:?}", KeyText::parse("sl_").err());
        assert!(!shown.contains(key.secret.expose()), "{shown}");
    }

    #[test]
    fn every_letter_and_digit_is_as_likely() {
        // Every byte value once.
        let mut count = BTreeMap::new();
        for letter in random_letters(4 * 62, &mut counting()).chars() {
            *count.entry(letter).or_insert(0) += 1;
        }
        assert_eq!(
            (count.len(), count.values().all(|times| *times == 4)),
            (62, true),
            "{count:?}"
        );
    }

    #[test]
    fn keys_of_the_form_before_are_read_without_a_checksum() {
        let (id, secret) = parse(OLD).unwrap();
        assert_eq!((id.as_str(), secret.len()), ("00112233445566778a", 43));
        for other in [
            OLD.to_uppercase().replace("SL_", "sl_"),
            OLD.replace("8a_", "8g_"),
            OLD.replace('.', "_"),
            OLD.replace('.', "+"),
            format!("{OLD}a"),
            OLD[..OLD.len() - 1].to_owned(),
        ] {
            assert_eq!(parse(&other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_key_is_malformed_and_stops_nothing() {
        for text in [
            "",
            "sl_",
            "sl__",
            "sl_0123456789AB",
            "ghp_0123456789ABCDEFGHIJKLMNOPQRSTUVW000",
            "sl_张三张三_0123456789ABCDEFGHIJKLMNOPQRSTUVW000000",
            "sl_0123456789AB_张三张三张三张三张三张三张三",
            "sl_0123456789AB_0123456789ABCDEFGHIJKLMNOPQRSTU张三张三",
            &"sl_x".repeat(10_000),
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_scanners_look_for_is_what_keys_are() {
        let documented = include_str!("../../SECURITY.md");
        assert!(documented.contains(&format!("\n    {SCANNED}\n")), "{SCANNED}");
        assert!(documented.contains(&format!("\n    {SCANNED_OLD}\n")), "{SCANNED_OLD}");
        assert!(documented.contains(&format!("`{EXAMPLE}`")), "{EXAMPLE}");
        let (new, old) = (Regex::new(SCANNED).unwrap(), Regex::new(SCANNED_OLD).unwrap());
        let text = format!("KEY={EXAMPLE}\n{{\"key\":\"{EXAMPLE}\"}} Bearer {EXAMPLE}, {OLD}");
        assert_eq!(
            new.find_iter(&text).filter(|found| found.as_str() == EXAMPLE).count(),
            3
        );
        assert_eq!(
            old.find_iter(&text).map(|found| found.as_str()).collect::<Vec<_>>(),
            [OLD]
        );
        assert_eq!(new.find(&format!("{EXAMPLE}0")), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_key_reads_back_and_is_found_by_scanners(key in keys()) {
            let text = key.text.expose();
            prop_assert_eq!(parse(text), Some((key.id.clone(), key.secret.expose().clone())));
            let found = Regex::new(SCANNED).unwrap().find(text).map(|found| found.as_str());
            prop_assert_eq!(found, Some(text.as_str()));
            prop_assert!(text[3..].bytes().filter(|byte| !byte.is_ascii_alphanumeric()).count() == 1);
        }

        #[test]
        fn one_wrong_character_anywhere_is_noticed(key in keys()) {
            let text = key.text.expose();
            for at in 0..text.len() {
                for other in (b' '..=b'~').map(char::from).filter(|other| !text[at..].starts_with(*other)) {
                    let mut wrong = text.clone();
                    wrong.replace_range(at..=at, other.encode_utf8(&mut [0; 4]));
                    prop_assert_eq!(parse(&wrong), None, "{} at {}", other, at);
                }
            }
        }

        #[test]
        fn neighbours_that_changed_places_are_noticed(key in keys()) {
            let text = key.text.expose().as_bytes();
            for at in 1..text.len() {
                let mut wrong = text.to_vec();
                wrong.swap(at - 1, at);
                if wrong != text {
                    prop_assert_eq!(parse(str::from_utf8(&wrong).unwrap()), None, "at {}", at);
                }
            }
        }

        #[test]
        fn a_key_with_a_part_missing_or_too_much_is_noticed(key in keys(), extra in "[ -~]") {
            let text = key.text.expose();
            for at in 0..text.len() {
                prop_assert_eq!(parse(&text[..at]), None);
                prop_assert_eq!(parse(&text[at + 1..]), None);
                prop_assert_eq!(parse(&format!("{}{}", &text[..at], &text[at + 1..])), None);
                prop_assert_eq!(parse(&format!("{}{extra}{}", &text[..at], &text[at..])), None);
            }
            for around in [format!(" {text}"), format!("{text}\n"), format!("\"{text}\""), format!("<{text}>")] {
                prop_assert_eq!(parse(&around), None);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            prop_assert_eq!(parse(&text), None);
        }
    }
}
