//! How a value says that it is not what it must be, without repeating it; and the readers that more than one value needs.

use chrono::{DateTime, TimeDelta};

use crate::clock::BusinessTime;

/// Why a single value was refused. `detail` is written for the caller and never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Invalid {
    /// Stable, for programs: `required`, `too_long`, `out_of_range`, `invalid_format`, ...
    pub code: &'static str,
    /// For people: what to change.
    pub detail: String,
}

impl Invalid {
    /// A refusal with a stable code and a sentence for people.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

/// A refused value and where it stood in the body (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer, such as `/items/0/copies`.
    pub pointer: String,
    /// Why.
    pub invalid: Invalid,
}

/// Collects every refusal of a body, so that the caller learns of all at once.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Starts with none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a parse result: the value, or `None` with the refusal remembered.
    pub fn take<T>(&mut self, pointer: impl Into<String>, parsed: Result<T, Invalid>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(invalid) => {
                self.push(pointer, invalid);
                None
            }
        }
    }

    /// Remembers a refusal.
    pub fn push(&mut self, pointer: impl Into<String>, invalid: Invalid) {
        self.0.push(FieldError {
            pointer: pointer.into(),
            invalid,
        });
    }

    /// All refusals, in the order they were found; empty when the body is fine.
    pub fn into_vec(self) -> Vec<FieldError> {
        self.0
    }
}

/// Refuses control characters: NUL, which PostgreSQL cannot hold, and everything else that no label can print, line
/// breaks of Unicode and marks that turn the direction of what follows among them.
pub fn without_control(text: &str) -> Result<(), Invalid> {
    let turns = |c: char| matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}');
    if text.chars().any(|c| c.is_control() || turns(c)) {
        return Err(control_character());
    }
    Ok(())
}

/// What a text with control characters is told.
pub fn control_character() -> Invalid {
    Invalid::new("control_character", "must not contain control characters")
}

/// Reads a moment that both engines can hold, in whole microseconds.
///
/// # Errors
/// `invalid_format`, `out_of_range`.
pub fn moment(text: &str) -> Result<BusinessTime, Invalid> {
    let at = DateTime::parse_from_rfc3339(text).map_err(|_| {
        Invalid::new(
            "invalid_format",
            "must be a time as RFC 3339 writes it: 2026-11-23T08:00:00Z",
        )
    })?;
    let latest = BusinessTime::UNIX_EPOCH + TimeDelta::days(365 * 1000);
    BusinessTime::from_timestamp_micros(at.timestamp_micros())
        .filter(|at| (BusinessTime::UNIX_EPOCH..latest).contains(at))
        .ok_or_else(|| Invalid::new("out_of_range", "must be a time after 1970 and before 2969"))
}

/// Space, and what looks like none at all.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}')
}

/// Trims, then checks for control characters and that between `min` and `max` characters (not bytes) are left.
pub fn bounded_text(text: &str, min: usize, max: usize) -> Result<String, Invalid> {
    let trimmed = text.trim_matches(is_blank);
    without_control(trimmed)?;
    let length = trimmed.chars().count();
    if length < min {
        return Err(Invalid::new("required", "must not be empty"));
    }
    if length > max {
        return Err(Invalid::new("too_long", format!("must have at most {max} characters")));
    }
    Ok(trimmed.to_owned())
}
