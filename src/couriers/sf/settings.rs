//! How SF is configured.

use ipnet::IpNet;

use crate::config::{Checks, is_readable_on_the_way, section};
use crate::couriers::adapter::CourierSettings;
use crate::privacy::Secret;

/// Characters of a push token that nobody guesses; it is all that shows who sends.
const SHORTEST_TOKEN: usize = 16;

section! {
    /// `[couriers.sf]`.
    pub struct Settings {
        /// The gateway, with or without its path.
        pub base_url: String,
        /// Our customer code.
        pub partner_id: Option<String>,
        /// What requests are signed with.
        pub checkword: Option<Secret<String>>,
        /// The account that pays, ten digits.
        pub monthly_card: Option<Secret<String>>,
        /// The product that is booked.
        pub express_type_id: u32,
        /// Each of them, in the path of a push, stands for a signature. None: no push is believed.
        pub push_tokens: Vec<Secret<String>>,
        /// Where pushes may come from besides; empty: anywhere.
        pub push_addresses: Vec<IpNet>,
    }
}

impl Settings {
    /// Whether somebody means to use it.
    const fn is_begun(&self) -> bool {
        self.partner_id.is_some() || self.checkword.is_some()
    }
}

impl CourierSettings for Settings {
    const NAME: &'static str = "sf";

    fn check(&self, checks: &mut Checks<'_>) {
        checks.web_url("base_url", &self.base_url);
        checks.own(self.express_type_id >= 1, "express_type_id", "must be at least 1");
        let given = |secret: &Secret<String>| !secret.expose().trim().is_empty();
        checks.own(
            self.push_tokens.iter().all(given),
            "push_tokens",
            "must not hold an empty token",
        );
        if self.is_begun() || checks.is_chosen() {
            let needed = "is needed to book with SF";
            let partner = self.partner_id.as_ref().is_some_and(|id| !id.trim().is_empty());
            checks.own(partner, "partner_id", needed);
            checks.own(self.checkword.as_ref().is_some_and(given), "checkword", needed);
        }
    }

    fn warnings(&self) -> Vec<String> {
        if !self.is_begun() {
            return Vec::new();
        }
        let guessable = |token: &Secret<String>| token.expose().len() < SHORTEST_TOKEN;
        let warnings = [
            (
                is_readable_on_the_way(&self.base_url),
                "couriers.sf.base_url is not https: recipients would be readable on the way",
            ),
            (
                self.push_tokens.is_empty(),
                "couriers.sf.push_tokens is empty: what SF pushes is refused, for it does not sign; put in a long random \
                 token and give SF the address that ends in it",
            ),
            (
                self.push_tokens.iter().any(guessable),
                "couriers.sf.push_tokens has one that can be guessed: use 32 random characters",
            ),
            (
                self.monthly_card.is_none(),
                "couriers.sf.monthly_card is not set: SF would have every parcel paid in cash",
            ),
        ];
        warnings
            .into_iter()
            .filter(|(applies, _)| *applies)
            .map(|(_, warning)| warning.to_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::testing::given;
    use crate::couriers::registry;

    fn of(config: &Config) -> &Settings {
        registry::settings(config).unwrap()
    }

    #[test]
    fn by_default_it_is_the_production_gateway_without_credentials() {
        let config = given("").load();
        let sf = of(&config);
        assert!(!sf.is_begun() && sf.monthly_card.is_none() && sf.push_tokens.is_empty());
        assert_eq!(
            (&*sf.base_url, sf.express_type_id, sf.push_addresses.len()),
            ("https://bspgw.sf-express.com/std/service", 1, 0)
        );
    }

    #[test]
    fn what_it_needs_is_named() {
        for (toml, problem) in [
            (
                "[couriers]\ndefault = \"sf\"",
                "couriers.sf.partner_id: is needed to book with SF",
            ),
            (
                "[couriers]\nfallbacks = [\"sf\"]",
                "couriers.sf.checkword: is needed to book with SF",
            ),
            (
                "[couriers.sf]\npartner_id = \"X\"",
                "couriers.sf.checkword: is needed to book with SF",
            ),
            (
                "[couriers.sf]\nbase_url = \"bspgw.sf-express.com\"",
                "couriers.sf.base_url: expected an http:// or https:// URL",
            ),
            (
                "[couriers.sf]\npush_tokens = [\"a\", \" \"]",
                "couriers.sf.push_tokens: must not hold an empty token",
            ),
            (
                "[couriers.sf]\npush_addresses = [\"sf-express.com\"]",
                "couriers.sf.push_addresses: expected a list of IP addresses",
            ),
        ] {
            given(toml).is_refused_with(problem);
        }
    }

    #[test]
    fn a_list_of_secrets_is_read_from_everywhere_and_shown_nowhere() {
        let tokens = |config: &Config| -> Vec<String> {
            let tokens = of(config).push_tokens.iter();
            tokens.map(|token| token.expose().clone()).collect()
        };
        let by_file = given("[couriers.sf]\npush_tokens_file = \"tokens\"").file("tokens", "hunter2\n\n hunter3 \n");
        let by_env = given("").env("SAFELIGHT__COURIERS__SF__PUSH_TOKENS", "hunter2, hunter3");
        let by_toml = given("[couriers.sf]\npush_tokens = [\"hunter2\", \"hunter3\"]");
        for given in [by_file, by_env, by_toml] {
            let config = given.load();
            assert_eq!(tokens(&config), ["hunter2", "hunter3"]);
            let shown = format!("{}\n{config:?}", config.effective_toml());
            assert!(!shown.contains("hunter"), "{shown}");
            assert!(shown.contains("push_tokens = [\"***\", \"***\"]"), "{shown}");
        }
        given("[couriers.sf]\npush_tokens = \"hunter2\"")
            .is_refused_with("couriers.sf.push_tokens: expected a list of texts");
    }

    #[test]
    fn what_would_make_sf_dangerous_or_dear_is_warned_about() {
        let credentials = "[couriers.sf]\npartner_id = \"X\"\ncheckword = \"hunter2\"\n";
        let warned = |toml: &str| given(&format!("{credentials}{toml}")).load().warnings().join("\n");
        let bare = warned("base_url = \"http://sf.example.cn/std/service\"");
        for word in ["is not https", "push_tokens is empty", "monthly_card is not set"] {
            assert!(bare.contains(word), "{bare}");
        }
        let weak = warned("push_tokens = [\"short\"]\nmonthly_card = \"7551234567\"");
        assert!(weak.contains("can be guessed") && !weak.contains("https"), "{weak}");
        let local =
            "base_url = \"http://127.0.0.1:9\"\npush_tokens = [\"0123456789abcdef\"]\nmonthly_card = \"7551234567\"";
        assert!(!warned(local).contains("couriers.sf"));
        assert!(!given("").load().warnings().join("\n").contains("couriers.sf"));
    }
}
