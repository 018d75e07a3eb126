//! Which keys there are, with the kind of each value, and what somebody may have meant by one that there is not.
//!
//! The list follows from the typed sections ([`section!`](super::section)), the couriers' among them. Holds no defaults: those are in `deploy/safelight.example.toml`.

use super::{duration, proxies, rate};

/// What a key's value is: how text from the environment is read, and what an error says was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A credential: never printed, may be given as `<key>_file`.
    Secret,
    /// Several that count alike, so that one can be replaced without a gap; `<key>_file` has one a line.
    Secrets,
    /// Where a database is; may hold a password, so treated as a secret.
    Database,
    /// A file or folder, relative to the working folder.
    Path,
    /// `true` or `false`.
    Flag,
    /// A whole number, 32 bits.
    Number,
    /// A span of time, such as `1h30m`.
    Duration,
    /// So many in a span of time, such as `100/s`.
    Rate,
    /// An IP address and a port.
    Listen,
    /// IP addresses and networks.
    Networks,
    /// Several names.
    Names,
    /// How log lines look.
    LogFormat,
}

impl Kind {
    /// Completes "expected ...".
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::Text | Self::Secret => "text in quotes",
            Self::Secrets => "a list of texts, such as [\"...\"]",
            Self::Database => "sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE in quotes",
            Self::Path => "a path in quotes",
            Self::Flag => "true or false",
            Self::Number => "a whole number, not negative, below 4294967296",
            Self::Duration => duration::EXPECTED,
            Self::Rate => rate::EXPECTED,
            Self::Listen => "an IP address and a port, such as \"127.0.0.1:8080\"",
            Self::Networks => proxies::EXPECTED,
            Self::Names => "a list of names, such as [\"simulated\"]",
            Self::LogFormat => "\"auto\", \"pretty\" or \"json\"",
        }
    }

    pub(super) const fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Secrets | Self::Database)
    }
}

/// A key, dotted as in `retention.window`.
#[derive(Debug, Clone)]
pub struct Key {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// The name of a section's key: `retention` and `window` are `retention.window`.
pub fn dotted(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    }
}

/// Every key of this build: a section's keys together, in the order of the example file.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    all: Vec<Key>,
    couriers: Vec<&'static str>,
}

impl Keys {
    /// These keys, with those of the couriers' sections put behind `[couriers]`.
    pub(super) fn new(mut all: Vec<Key>, couriers: Vec<&'static str>, of_couriers: Vec<Key>) -> Self {
        let last = all.iter().rposition(|key| key.name.starts_with("couriers."));
        let behind = last.map_or(all.len(), |last| last + 1);
        all.splice(behind..behind, of_couriers);
        Self { all, couriers }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.all.iter()
    }

    /// Whether there is such a key; `<secret>_file` does not count.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.all.iter().any(|key| key.name == name)
    }

    /// The kind of a key's value, `<secret>_file` included; `None` for a key that there is not.
    pub(super) fn kind_of(&self, name: &str) -> Option<Kind> {
        let exact = |name: &str| self.all.iter().find(|key| key.name == name).map(|key| key.kind);
        let file_of_secret = || {
            name.strip_suffix("_file")
                .and_then(exact)
                .filter(|kind| kind.is_secret())
        };
        exact(name).or_else(|| file_of_secret().map(|_| Kind::Path))
    }

    /// Whether this is a section: `http`, `http.rate_limit`.
    pub(super) fn is_section(&self, name: &str) -> bool {
        self.all
            .iter()
            .any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
    }

    /// Says what is wrong with a key that there is not, and what may have been meant. `spell` writes a key the way its
    /// source does.
    pub(super) fn explain_unknown(&self, name: &str, is_table: bool, spell: impl Fn(&str) -> String) -> String {
        let courier = name
            .strip_prefix("couriers.")
            .and_then(|rest| match rest.split_once('.') {
                Some((courier, _)) => Some(courier),
                None if is_table => Some(rest),
                None => None,
            });
        if let Some(courier) = courier.filter(|courier| !self.couriers.contains(courier)) {
            let known = self.couriers.join(", ");
            return format!("this build has no courier \"{courier}\" (it has: {known})");
        }
        if self.is_section(name) {
            return "is a section with keys of its own, not a value".to_owned();
        }
        match self.nearest(name) {
            Some(meant) => format!("unknown key; did you mean {}?", spell(meant)),
            None => "unknown key".to_owned(),
        }
    }

    /// The known key most like this one: a slip within a section, or a right name in a wrong one.
    fn nearest(&self, name: &str) -> Option<&str> {
        use strsim::{jaro_winkler, normalized_damerau_levenshtein as likeness_of};
        let split = |name: &str| match name.rsplit_once('.') {
            Some((section, last)) => (section.to_owned(), last.to_owned()),
            None => (String::new(), name.to_owned()),
        };
        let (section, last) = split(name);
        let likeness = |known: &str| {
            let (known_section, known_last) = split(known);
            if section == known_section {
                return jaro_winkler(&last, &known_last);
            }
            let whole = likeness_of(name, known);
            whole.max(f64::midpoint(whole, likeness_of(&last, &known_last)))
        };
        self.all
            .iter()
            .map(|key| (key.name.as_str(), likeness(&key.name)))
            .filter(|(_, likeness)| *likeness >= 0.7)
            .max_by(|one, two| one.1.total_cmp(&two.1))
            .map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::couriers::registry;

    fn keys() -> Keys {
        crate::config::keys_with(&registry::sections())
    }

    fn explained(name: &str, is_table: bool) -> String {
        keys().explain_unknown(name, is_table, str::to_owned)
    }

    #[test]
    fn a_slip_of_the_finger_and_a_wrong_section_are_recognised() {
        for (typed, meant) in [
            ("retention.windw", "retention.window"),
            ("database.pool", "database.pool_size"),
            ("http.per_address", "http.rate_limit.per_address"),
            ("lease", "print.lease"),
            ("databse.url", "database.url"),
            ("retention_window", "retention.window"),
            ("couriers.fallback", "couriers.fallbacks"),
        ] {
            assert_eq!(explained(typed, false), format!("unknown key; did you mean {meant}?"));
        }
        assert_eq!(explained("quite.different", false), "unknown key");
    }

    #[test]
    fn a_courier_that_this_build_lacks_is_called_that() {
        for name in ["couriers.pigeon.partner_id", "couriers.pigeon.region"] {
            let expected = format!(
                "this build has no courier \"pigeon\" (it has: {})",
                registry::names().join(", ")
            );
            assert_eq!(explained(name, false), expected);
        }
        assert!(explained("couriers.pigeon", true).contains("no courier \"pigeon\""));
        assert!(explained("couriers.simulated.partner_id", false).starts_with("unknown key"));
    }

    #[test]
    fn only_secrets_have_a_file_beside_them() {
        let keys = keys();
        assert_eq!(keys.kind_of("database.url_file"), Some(Kind::Path));
        assert_eq!(keys.kind_of("couriers.simulated.webhook_secret_file"), Some(Kind::Path));
        assert_eq!(keys.kind_of("http.listen_file"), None);
        assert!(keys.is_section("http.rate_limit") && keys.is_section("couriers") && !keys.is_section("http.listen"));
    }
}
