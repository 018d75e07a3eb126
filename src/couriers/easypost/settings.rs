//! How EasyPost is configured.

use crate::config::{Checks, section};
use crate::couriers::adapter::CourierSettings;
use crate::privacy::Secret;

section! {
    /// `[couriers.easypost]`.
    pub struct Settings {
        /// `https://api.easypost.com/v2`.
        pub base_url: String,
        /// `EZAK...` in production, `EZTK...` for tests.
        pub api_key: Option<Secret<String>>,
        /// What webhooks are signed with; `Some` where there is a key.
        pub webhook_secret: Option<Secret<String>>,
        /// Buy only from this carrier, such as `USPS`.
        pub carrier: Option<String>,
        /// Buy only this service, such as `GroundAdvantage`.
        pub service: Option<String>,
        /// Buy only through this carrier account, `ca_...`.
        pub carrier_account: Option<String>,
    }
}

impl CourierSettings for Settings {
    const NAME: &'static str = "easypost";

    fn check(&self, checks: &mut Checks<'_>) {
        checks.private_url("base_url", &self.base_url);
        if let Some(key) = &self.api_key {
            let needed = "is needed where couriers.easypost.api_key is set";
            let given = |secret: &Secret<String>| !secret.expose().trim().is_empty();
            checks.own(given(key), "api_key", "must not be empty");
            checks.own(
                self.webhook_secret.as_ref().is_some_and(given),
                "webhook_secret",
                needed,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::given;

    #[test]
    fn what_it_needs_is_named() {
        for (toml, problem) in [
            (
                "[couriers.easypost]\napi_key = \"EZTK1\"",
                "couriers.easypost.webhook_secret: is needed where",
            ),
            (
                "[couriers.easypost]\nbase_url = \"http://api.easypost.com/v2\"",
                "couriers.easypost.base_url: expected an https://",
            ),
        ] {
            given(toml).is_refused_with(problem);
        }
    }
}
