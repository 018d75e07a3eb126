//! Every key there is, with the kind of its value; and what somebody may have meant by one that there is not.
//!
//! Holds no defaults: those are in `deploy/safelight.example.toml`.

use super::{duration, proxies, rate};

/// What a key's value is: how text from the environment is read, and what an error says was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A credential: never printed, may be given as `<key>_file`.
    Secret,
    /// Several that count alike, so that one can be replaced without a gap; `<key>_file` has one a line.
    Secrets,
    /// Where a database is; may hold a password, so treated as a secret.
    Database,
    Path,
    Flag,
    Number,
    Duration,
    Rate,
    Listen,
    Networks,
    Names,
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
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind }
}

/// All of them, a section's keys together, in the order of the example file.
pub(super) const KEYS: &[Key] = &[
    key("http.listen", Kind::Listen),
    key("http.public_url", Kind::Text),
    key("http.trusted_proxies", Kind::Networks),
    key("http.rate_limit.enabled", Kind::Flag),
    key("http.rate_limit.per_key", Kind::Rate),
    key("http.rate_limit.per_address", Kind::Rate),
    key("database.url", Kind::Database),
    key("database.pool_size", Kind::Number),
    key("vault.url", Kind::Database),
    key("vault.master_key_file", Kind::Path),
    key("vault.master_key_previous_file", Kind::Path),
    key("vault.epoch_length", Kind::Duration),
    key("vault.epochs_ahead", Kind::Number),
    key("vault.copy_horizon", Kind::Duration),
    key("vault.key_cache", Kind::Duration),
    key("vault.journal_mirror", Kind::Path),
    key("retention.window", Kind::Duration),
    key("retention.stuck_after", Kind::Duration),
    key("retention.draft_after", Kind::Duration),
    key("retention.max_hold", Kind::Duration),
    key("print.lease", Kind::Duration),
    key("sender.name", Kind::Text),
    key("sender.company", Kind::Text),
    key("sender.phone", Kind::Text),
    key("sender.province", Kind::Text),
    key("sender.city", Kind::Text),
    key("sender.district", Kind::Text),
    key("sender.street", Kind::Text),
    key("sender.postal_code", Kind::Text),
    key("sender.country", Kind::Text),
    key("parcel.weight_g", Kind::Number),
    key("parcel.length_mm", Kind::Number),
    key("parcel.width_mm", Kind::Number),
    key("parcel.height_mm", Kind::Number),
    key("parcel.contents", Kind::Text),
    key("couriers.default", Kind::Text),
    key("couriers.fallbacks", Kind::Names),
    key("couriers.settle", Kind::Duration),
    key("couriers.simulated.embedded", Kind::Flag),
    key("couriers.simulated.allow", Kind::Flag),
    key("couriers.simulated.base_url", Kind::Text),
    key("couriers.simulated.webhook_secret", Kind::Secret),
    key("couriers.simulated.region", Kind::Text),
    key("couriers.simulated.timeout", Kind::Duration),
    key("couriers.sf.base_url", Kind::Text),
    key("couriers.sf.partner_id", Kind::Text),
    key("couriers.sf.checkword", Kind::Secret),
    key("couriers.sf.monthly_card", Kind::Secret),
    key("couriers.sf.express_type_id", Kind::Number),
    key("couriers.sf.push_tokens", Kind::Secrets),
    key("couriers.sf.push_addresses", Kind::Networks),
    key("couriers.sf.region", Kind::Text),
    key("couriers.sf.timeout", Kind::Duration),
    key("couriers.kuaidi100.order_url", Kind::Text),
    key("couriers.kuaidi100.query_url", Kind::Text),
    key("couriers.kuaidi100.subscribe_url", Kind::Text),
    key("couriers.kuaidi100.key", Kind::Secret),
    key("couriers.kuaidi100.customer", Kind::Text),
    key("couriers.kuaidi100.secret", Kind::Secret),
    key("couriers.kuaidi100.salt", Kind::Secret),
    key("couriers.kuaidi100.courier_code", Kind::Text),
    key("couriers.kuaidi100.region", Kind::Text),
    key("couriers.kuaidi100.timeout", Kind::Duration),
    key("couriers.easypost.base_url", Kind::Text),
    key("couriers.easypost.api_key", Kind::Secret),
    key("couriers.easypost.webhook_secret", Kind::Secret),
    key("couriers.easypost.carrier", Kind::Text),
    key("couriers.easypost.service", Kind::Text),
    key("couriers.easypost.carrier_account", Kind::Text),
    key("couriers.easypost.region", Kind::Text),
    key("couriers.easypost.timeout", Kind::Duration),
    key("couriers.karrio.base_url", Kind::Text),
    key("couriers.karrio.token", Kind::Secret),
    key("couriers.karrio.webhook_secret", Kind::Secret),
    key("couriers.karrio.service", Kind::Text),
    key("couriers.karrio.carrier_ids", Kind::Names),
    key("couriers.karrio.region", Kind::Text),
    key("couriers.karrio.timeout", Kind::Duration),
    key("clock.speed", Kind::Number),
    key("intake.queue", Kind::Number),
    key("intake.batch", Kind::Number),
    key("intake.writers", Kind::Number),
    key("jobs.concurrency", Kind::Number),
    key("jobs.poll", Kind::Duration),
    key("log.format", Kind::LogFormat),
    key("log.filter", Kind::Text),
    key("log.file", Kind::Path),
];

/// The couriers that this build can speak to.
pub const COURIERS: &[&str] = &["simulated", "sf", "kuaidi100", "easypost", "karrio"];

/// The kind of a key's value, `<secret>_file` included; `None` for a key that there is not.
pub(super) fn kind_of(name: &str) -> Option<Kind> {
    let exact = |name: &str| KEYS.iter().find(|key| key.name == name).map(|key| key.kind);
    let file_of_secret = || {
        name.strip_suffix("_file")
            .and_then(exact)
            .filter(|kind| kind.is_secret())
    };
    exact(name).or_else(|| file_of_secret().map(|_| Kind::Path))
}

/// Whether this is a section: `http`, `http.rate_limit`.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter()
        .any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// Says what is wrong with a key that there is not, and what may have been meant. `spell` writes a key the way its
/// source does.
pub(super) fn explain_unknown(name: &str, is_table: bool, spell: impl Fn(&str) -> String) -> String {
    let courier = name
        .strip_prefix("couriers.")
        .and_then(|rest| match rest.split_once('.') {
            Some((courier, _)) => Some(courier),
            None if is_table => Some(rest),
            None => None,
        });
    if let Some(courier) = courier.filter(|courier| !COURIERS.contains(courier)) {
        return format!(
            "this build has no courier \"{courier}\" (it has: {})",
            COURIERS.join(", ")
        );
    }
    if is_section(name) {
        return "is a section with keys of its own, not a value".to_owned();
    }
    match nearest(name) {
        Some(meant) => format!("unknown key; did you mean {}?", spell(meant)),
        None => "unknown key".to_owned(),
    }
}

/// The known key most like this one: a slip within a section, or a right name in a wrong one.
fn nearest(name: &str) -> Option<&'static str> {
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
    KEYS.iter()
        .map(|key| (key.name, likeness(key.name)))
        .filter(|(_, likeness)| *likeness >= 0.7)
        .max_by(|one, two| one.1.total_cmp(&two.1))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(name: &str, is_table: bool) -> String {
        explain_unknown(name, is_table, str::to_owned)
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
            let expected = format!("this build has no courier \"pigeon\" (it has: {})", COURIERS.join(", "));
            assert_eq!(explained(name, false), expected);
        }
        assert!(explained("couriers.pigeon", true).contains("no courier \"pigeon\""));
        assert!(explained("couriers.simulated.partner_id", false).starts_with("unknown key"));
    }

    #[test]
    fn only_secrets_have_a_file_beside_them() {
        assert_eq!(kind_of("database.url_file"), Some(Kind::Path));
        assert_eq!(kind_of("couriers.simulated.webhook_secret_file"), Some(Kind::Path));
        assert_eq!(kind_of("http.listen_file"), None);
        assert!(is_section("http.rate_limit") && is_section("couriers") && !is_section("http.listen"));
    }
}
