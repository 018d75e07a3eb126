//! What is in force and where it comes from, for `check-config`. Keeps printed values only: a secret is `***` from the
//! start, so that nothing here can leak one.

use std::fmt::{self, Write as _};

use figment::value::Value;

use super::DatabaseUrl;
use super::keys::{Key, Keys, Kind};
use super::layers::Layers;

/// Every key as it was loaded.
#[derive(Clone, Default)]
pub(super) struct Effective(Vec<Line>);

/// A configuration's Debug shows its typed values; the same again as text would only be noise.
impl fmt::Debug for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[derive(Clone)]
struct Line {
    key: String,
    /// As TOML; `None` for a key without a value.
    shown: Option<String>,
    origin: Option<String>,
    is_default: bool,
}

impl Effective {
    pub(super) fn new(keys: &Keys, layers: &Layers) -> Self {
        let line = |key: &Key| {
            let in_force = layers.in_force(&key.name);
            Line {
                key: key.name.clone(),
                shown: in_force.as_ref().map(|(value, _)| show(key.kind, value)),
                origin: in_force.map(|(_, origin)| origin),
                is_default: layers.is_default(&key.name),
            }
        };
        Self(keys.iter().map(line).collect())
    }

    /// Where a key was written.
    pub(super) fn origin(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|line| line.key == key && !line.is_default)?
            .origin
            .as_deref()
    }

    /// Whether a key has its default.
    pub(super) fn is_default(&self, key: &str) -> bool {
        self.origin(key).is_none()
    }

    /// TOML, a comment behind each value saying where it is from.
    pub(super) fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for line in &self.0 {
            let Some((in_section, name)) = line.key.rsplit_once('.') else {
                continue;
            };
            // Writing to a String cannot fail.
            if in_section != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[{in_section}]");
                section = in_section;
            }
            let _ = match (&line.shown, &line.origin) {
                (Some(shown), Some(origin)) => writeln!(text, "{:<44}# {origin}", format!("{name} = {shown}")),
                _ => writeln!(text, "{:<44}# not set", format!("#{name} =")),
            };
        }
        text
    }
}

fn show(kind: Kind, value: &Value) -> String {
    let plain = |value: &Value| serde_json::to_string(value).unwrap_or_else(|_| "\"***\"".to_owned());
    match kind {
        Kind::Secret => "\"***\"".to_owned(),
        Kind::Secrets => {
            let shown = vec!["\"***\""; value.as_array().map_or(1, <[Value]>::len)];
            format!("[{}]", shown.join(", "))
        }
        Kind::Database => match value.as_str().map(str::parse) {
            Some(Ok(url @ DatabaseUrl::Sqlite(_))) => plain(&Value::from(url.to_string())),
            Some(Ok(url @ DatabaseUrl::Postgres(_))) => plain(&Value::from(format!("{url}?***"))),
            _ => "\"***\"".to_owned(),
        },
        _ => plain(value),
    }
}
