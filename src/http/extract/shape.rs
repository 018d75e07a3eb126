//! What a serde error may tell the caller. serde's own messages repeat the value ("invalid type: string \"138...\""),
//! so a message is only recognised here, and a new one is written from what the code expected.
//!
//! Must not let anything through that the caller sent, except a name made of `[a-z_]` alone.

use std::borrow::Cow;

use crate::domain::invalid::Invalid;

/// A name longer than this, or with anything else in it, is not a field name of ours and not repeated.
const MAX_NAME: usize = 40;

/// Expectations come from the code; this only keeps a strange one from flooding the answer.
const MAX_EXPECTATION: usize = 400;

/// One shape error: the field it names, if it names one that is not yet part of the path.
pub(in crate::http) struct Shape {
    pub(in crate::http) field: Option<String>,
    pub(in crate::http) invalid: Invalid,
}

/// Whether a caller's name may be repeated.
pub(in crate::http) fn is_plain_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// Rewrites the message of a serde data error.
pub(in crate::http) fn explain(message: &str) -> Shape {
    let message = without_position(message);
    let expected = expectation(message);
    let named = |prefix: &str| message.strip_prefix(prefix).and_then(|rest| rest.split('`').next());
    let plain = |name: &str| is_plain_name(name).then(|| name.to_owned());

    if let Some(name) = named("missing field `") {
        return Shape {
            field: plain(name),
            invalid: Invalid::new("required", "is required"),
        };
    }
    if let Some(name) = named("duplicate field `") {
        return Shape {
            field: plain(name),
            invalid: Invalid::new("duplicate_field", "must be given once"),
        };
    }
    if let Some(name) = named("unknown field `") {
        let detail = match expected {
            Some(expected) => format!("is not known; expected {expected}"),
            None => "is not known".to_owned(),
        };
        return Shape {
            field: plain(name),
            invalid: Invalid::new("unknown_field", detail),
        };
    }
    let code = if message.starts_with("invalid type: ") {
        "wrong_type"
    } else if message.starts_with("invalid value: ") {
        "out_of_range"
    } else if message.starts_with("unknown variant `") {
        "unknown_value"
    } else if message.starts_with("invalid length ") {
        "wrong_length"
    } else {
        // A type's own wording: nobody knows what it repeats.
        return Shape {
            field: None,
            invalid: Invalid::new("invalid_format", "is not in the right format"),
        };
    };
    let detail = expected.map_or_else(
        || "is not what it must be".to_owned(),
        |expected| format!("must be {expected}"),
    );
    Shape {
        field: None,
        invalid: Invalid::new(code, detail),
    }
}

/// Cuts serde_json's ` at line 1 column 2`.
fn without_position(message: &str) -> &str {
    match message.rsplit_once(" at line ") {
        Some((text, position)) if position.bytes().all(|b| b.is_ascii_digit() || b" column".contains(&b)) => text,
        _ => message,
    }
}

/// The code's half of a message: what follows the *last* `, expected `, since a value can hold those words too.
fn expectation(message: &str) -> Option<Cow<'_, str>> {
    let (_, expected) = message.rsplit_once(", expected ")?;
    let plain = expected.len() <= MAX_EXPECTATION && expected.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    plain.then(|| in_json_words(expected))
}

/// Rust's words for types, in the words of JSON.
fn in_json_words(expected: &str) -> Cow<'_, str> {
    let range = |max: u64| Cow::Owned(format!("a whole number from 0 to {max}"));
    match expected {
        "u8" => range(u8::MAX.into()),
        "u16" => range(u16::MAX.into()),
        "u32" => range(u32::MAX.into()),
        "u64" | "usize" => "a whole number, not negative".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "string" | "str" => "a string".into(),
        "a sequence" => "an array".into(),
        "a map" => "an object".into(),
        "variant identifier" => "one of the known values".into(),
        _ if expected.starts_with("struct ") => "an object".into(),
        _ if expected.starts_with("enum ") || expected.contains("tagged enum") => "one of the known values".into(),
        _ => expected.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn explained(message: &str) -> (Option<String>, &'static str, String) {
        let shape = explain(message);
        (shape.field, shape.invalid.code, shape.invalid.detail)
    }

    #[test]
    fn the_expected_half_is_told_and_the_value_is_not() {
        let (_, code, detail) = explained("invalid type: string \"13800138000\", expected u16 at line 1 column 9");
        assert_eq!(
            (code, detail.as_str()),
            ("wrong_type", "must be a whole number from 0 to 65535")
        );
        let (_, code, detail) = explained("unknown variant `张三`, expected `self` or `kin` at line 1 column 9");
        assert_eq!((code, detail.as_str()), ("unknown_value", "must be `self` or `kin`"));
    }

    #[test]
    fn a_value_that_imitates_the_message_is_not_told_either() {
        let message =
            "invalid type: string \"x, expected 13800138000 at line 1 column 2\", expected u8 at line 1 column 70";
        assert_eq!(explained(message).2, "must be a whole number from 0 to 255");
        for message in [
            "13800138000",
            "input 13800138000 is bad, expected 13800138001",
            "unknown thing `13800138000`",
        ] {
            let (field, code, detail) = explained(message);
            assert_eq!((field, code), (None, "invalid_format"));
            assert!(!detail.contains("138"), "{detail}");
        }
    }

    #[test]
    fn an_unknown_field_is_named_only_when_its_name_is_plain() {
        let tail = ", expected `name` or `phone`";
        assert_eq!(
            explained(&format!("unknown field `fone`{tail}")).0.as_deref(),
            Some("fone")
        );
        for name in ["13800138000", "张三", "Zhang San", "a`, expected `b", &"x".repeat(41)] {
            let (field, code, detail) = explained(&format!("unknown field `{name}`{tail}"));
            assert!(field.is_none() || field.as_deref() == Some("a"), "{name}");
            assert_eq!(
                (code, detail.as_str()),
                ("unknown_field", "is not known; expected `name` or `phone`")
            );
        }
    }
}
