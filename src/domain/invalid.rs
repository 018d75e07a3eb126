//! How a value says that it is not what it must be, without repeating it.

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

/// Refuses control characters (NUL among them), which PostgreSQL cannot hold and no label can print.
pub fn without_control(text: &str) -> Result<(), Invalid> {
    if text.chars().any(char::is_control) {
        return Err(Invalid::new("control_character", "must not contain control characters"));
    }
    Ok(())
}

/// Trims, then checks for control characters and that between `min` and `max` characters (not bytes) are left.
pub fn bounded_text(text: &str, min: usize, max: usize) -> Result<String, Invalid> {
    let trimmed = text.trim();
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
