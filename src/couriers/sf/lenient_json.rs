//! Reading JSON whose shape cannot be relied upon: SF writes a member as text here and as a number there, as an object
//! here and as an object's JSON in a text there, and spells it `originCode` or `origincode`.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The text of a body, without the mark that some put before it. SF speaks UTF-8; a byte that is none spoils the words
/// that it stands in and nothing else.
pub(super) fn characters(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body))
}

/// How often a text may turn out to be JSON again.
const DEEPEST: usize = 3;

/// The value, or what the JSON in its text says.
pub(super) fn opened(value: &Value) -> Cow<'_, Value> {
    let mut value = Cow::Borrowed(value);
    for _ in 0..DEEPEST {
        let Value::String(text) = &*value else { break };
        match serde_json::from_str(text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_) | Value::String(_))) => value = Cow::Owned(inner),
            _ => break,
        }
    }
    value
}

/// A member, whatever the case of its name; `null` counts as absent.
pub(super) fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let members: &Map<String, Value> = value.as_object()?;
    let found = members.get(name).or_else(|| {
        let alike = |(known, _): &(&String, &Value)| known.eq_ignore_ascii_case(name);
        members.iter().find(alike).map(|(_, value)| value)
    });
    found.filter(|value| !value.is_null())
}

/// A member as text without blanks around it: a text that is not empty, a number or a truth value.
pub(super) fn text(value: &Value, name: &str) -> Option<String> {
    let text = match member(value, name)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A member as a truth value, which may be spelled out.
pub(super) fn truth(value: &Value, name: &str) -> Option<bool> {
    match text(value, name)?.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A list, or the one thing that stands in place of a list of one.
pub(super) fn items(value: &Value) -> Vec<Value> {
    match opened(value).into_owned() {
        Value::Array(items) => items,
        one @ Value::Object(_) => vec![one],
        _ => Vec::new(),
    }
}

/// A member that is a list; absent is empty.
pub(super) fn list(value: &Value, name: &str) -> Vec<Value> {
    member(value, name).map(items).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_found_in_any_case_and_the_exact_one_first() {
        let value = json!({"ORIGINCODE": 1, "origincode": "2", "null": null});
        assert_eq!(text(&value, "origincode").as_deref(), Some("2"));
        assert_eq!(text(&value, "originCode").as_deref(), Some("1"));
        assert_eq!(member(&value, "null"), None);
        assert_eq!(member(&json!([1]), "x"), None);
    }

    #[test]
    fn text_number_and_truth_are_read_alike() {
        let value = json!({"a": " x ", "b": 4001, "c": true, "d": "", "e": [], "f": "TRUE"});
        let read = ["a", "b", "c", "d", "e"].map(|name| text(&value, name));
        assert_eq!(
            read,
            [Some("x".into()), Some("4001".into()), Some("true".into()), None, None]
        );
        assert_eq!((truth(&value, "f"), truth(&value, "a")), (Some(true), None));
    }

    #[test]
    fn json_inside_a_text_is_opened_and_other_text_stays() {
        assert_eq!(*opened(&json!("{\"a\":1}")), json!({"a": 1}));
        assert_eq!(*opened(&json!("\"{\\\"a\\\":1}\"")), json!({"a": 1}));
        assert_eq!(*opened(&json!("{***}")), json!("{***}"));
        assert_eq!(*opened(&json!("4001")), json!("4001"));
        assert_eq!(items(&json!("[1,2]")), [json!(1), json!(2)]);
        assert_eq!(items(&json!({"a": 1})).len(), 1);
        assert!(list(&json!({"a": 7}), "a").is_empty());
    }
}
