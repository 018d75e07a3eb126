//! How Karrio is configured.

use crate::config::{Checks, section};
use crate::couriers::adapter::CourierSettings;
use crate::privacy::Secret;

section! {
    /// `[couriers.karrio]`.
    pub struct Settings {
        /// Without `/v1`: `https://karrio.example.com`; `Some` where there is a token.
        pub base_url: Option<String>,
        /// `key_...`.
        pub token: Option<Secret<String>>,
        /// `whsec_...`, as Karrio gave it out with the webhook; `Some` where there is a token.
        pub webhook_secret: Option<Secret<String>>,
        /// Buy only this service, such as `ups_standard`.
        pub service: Option<String>,
        /// Ask only these carrier accounts; all where empty.
        pub carrier_ids: Vec<String>,
    }
}

impl CourierSettings for Settings {
    const NAME: &'static str = "karrio";

    fn check(&self, checks: &mut Checks<'_>) {
        if let Some(url) = &self.base_url {
            checks.private_url("base_url", url);
        }
        if let Some(token) = &self.token {
            let needed = "is needed where couriers.karrio.token is set";
            let given = |secret: &Secret<String>| !secret.expose().trim().is_empty();
            checks.own(given(token), "token", "must not be empty");
            checks.own(self.base_url.is_some(), "base_url", needed);
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
                "[couriers.karrio]\ntoken = \"key_1\"",
                "couriers.karrio.base_url: is needed where",
            ),
            (
                "[couriers.karrio]\ntoken = \"key_1\"",
                "couriers.karrio.webhook_secret: is needed where",
            ),
            (
                "[couriers.karrio]\nbase_url = \"http://karrio:5002\"",
                "couriers.karrio.base_url: expected an https://",
            ),
        ] {
            given(toml).is_refused_with(problem);
        }
    }
}
