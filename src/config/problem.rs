//! What is wrong with a configuration, all of it at once, without ever repeating a value.

use std::fmt;

/// One thing to put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key, or the file that could not be read.
    pub subject: String,
    /// What is wrong and what is expected.
    pub message: String,
    /// Where it was written: `file safelight.toml`, `environment SAFELIGHT__HTTP__LISTEN`, `flag`; `None` for what no
    /// single place is to blame for.
    pub origin: Option<String>,
}

impl Problem {
    pub(super) fn new(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            message: message.into(),
            origin: None,
        }
    }

    pub(super) fn at(self, origin: impl Into<String>) -> Self {
        Self {
            origin: Some(origin.into()),
            ..self
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)?;
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot be run with: every problem found, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order they were found.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// `Ok` when there is nothing wrong.
    pub(super) fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self { problems })
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}
