//! How the simulated courier is configured.

use crate::config::{Checks, section};
use crate::couriers::adapter::{CourierSettings, Endpoint};
use crate::privacy::Secret;

section! {
    /// `[couriers.simulated]`.
    pub struct Settings {
        /// Inside this process.
        pub embedded: bool,
        /// Also where `http.listen` is not loopback.
        pub allow: bool,
        /// Where it runs: `http://host:port`, with or without a path; `Some` unless embedded.
        pub base_url: Option<String>,
        /// What it signs its webhooks with, `whsec_...`, as Standard Webhooks writes it; `Some` unless embedded.
        pub webhook_secret: Option<Secret<String>>,
    }
}

/// An address without the secret that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("couriers.simulated.base_url needs couriers.simulated.webhook_secret beside it")]
pub struct SecretMissing;

impl Settings {
    /// The courier that runs elsewhere, where its address is configured; `embedded` does not matter then.
    ///
    /// # Errors
    /// Its address is configured and its secret is not.
    pub fn elsewhere(&self) -> Result<Option<Endpoint>, SecretMissing> {
        match (&self.base_url, &self.webhook_secret) {
            (None, _) => Ok(None),
            (Some(base_url), Some(webhook_secret)) => Ok(Some(Endpoint {
                base_url: base_url.clone(),
                webhook_secret: webhook_secret.clone(),
            })),
            (Some(_), None) => Err(SecretMissing),
        }
    }
}

impl CourierSettings for Settings {
    const NAME: &'static str = "simulated";

    fn check(&self, checks: &mut Checks<'_>) {
        let real = checks.is_loopback || self.allow;
        let refused = "\"simulated\" delivers nothing and is refused where http.listen is not a loopback address; \
                       couriers.simulated.allow = true lets it through on a test installation";
        checks.other(real || !checks.is_default, "couriers.default", refused);
        checks.other(real || !checks.is_fallback, "couriers.fallbacks", refused);
        if let Some(url) = &self.base_url {
            checks.web_url("base_url", url);
        }
        let needed = "is needed where couriers.simulated.embedded = false";
        checks.own(self.embedded || self.base_url.is_some(), "base_url", needed);
        checks.own(self.embedded || self.webhook_secret.is_some(), "webhook_secret", needed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::given;
    use crate::couriers::registry;

    #[test]
    fn by_default_it_runs_inside_the_service() {
        let config = given("").load();
        let simulated: &Settings = registry::settings(&config).unwrap();
        assert!(
            simulated.embedded
                && !simulated.allow
                && simulated.base_url.is_none()
                && simulated.webhook_secret.is_none()
        );
    }

    #[test]
    fn what_it_needs_is_named() {
        for (toml, problem) in [
            (
                "[couriers.simulated]\nembedded = false",
                "couriers.simulated.base_url: is needed where",
            ),
            (
                "[couriers.simulated]\nbase_url = \"http://u:p@h\"",
                "couriers.simulated.base_url: expected an http://",
            ),
        ] {
            given(toml).is_refused_with(problem);
        }
    }
}
