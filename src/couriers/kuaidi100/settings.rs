//! How Kuaidi100 is configured.

use crate::config::{Checks, section};
use crate::couriers::adapter::CourierSettings;
use crate::couriers::kuaidi100::wire;
use crate::privacy::Secret;

/// The longest `callBackUrl`, in bytes.
pub(super) const LONGEST_CALLBACK: usize = 200;

/// Bytes of a callback's URL behind the service's own: `/webhooks/kuaidi100/` and a booking reference.
const CALLBACK_PATH: usize = 20 + 30;

/// The longest `http.public_url` that leaves room for a callback's path, in bytes.
pub(super) const LONGEST_PUBLIC_URL: usize = LONGEST_CALLBACK - CALLBACK_PATH;

section! {
    /// `[couriers.kuaidi100]`.
    pub struct Settings {
        /// The order desk, `borderapi.do`.
        pub order_url: String,
        /// The query, `query.do`.
        pub query_url: String,
        /// The subscription, `poll`.
        pub subscribe_url: String,
        /// The authorisation key (授权码).
        pub key: Option<Secret<String>>,
        /// The customer id that queries are signed with.
        pub customer: Option<String>,
        /// The secret that orders are signed with.
        pub secret: Option<Secret<String>>,
        /// What pushes to us are signed with; chosen by us. Empty: no push is believed.
        pub salt: Option<Secret<String>>,
        /// The company that carries, such as `yuantong`.
        pub courier_code: Option<String>,
    }
}

impl CourierSettings for Settings {
    const NAME: &'static str = "kuaidi100";

    fn check(&self, checks: &mut Checks<'_>) {
        checks.web_url("order_url", &self.order_url);
        checks.web_url("query_url", &self.query_url);
        checks.web_url("subscribe_url", &self.subscribe_url);
        if self.key.is_none() && !checks.is_chosen() {
            return;
        }
        let given =
            |secret: &Option<Secret<String>>| secret.as_ref().is_some_and(|text| !text.expose().trim().is_empty());
        let written = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        let needed = "is needed to book with Kuaidi100";
        checks.own(given(&self.key), "key", needed);
        checks.own(written(&self.customer), "customer", needed);
        checks.own(given(&self.secret), "secret", needed);
        checks.own(given(&self.salt), "salt", needed);
        checks.own(written(&self.courier_code), "courier_code", needed);
        checks.own(
            !written(&self.courier_code) || self.courier_code.as_deref().is_some_and(wire::is_company),
            "courier_code",
            "must be a company's code in small letters, such as \"yuantong\"",
        );
        let url = checks.public_url;
        checks.other(
            url.is_some(),
            "http.public_url",
            "is needed to book with Kuaidi100: it sends its news there",
        );
        checks.other(
            url.is_none_or(|url| url.len() <= LONGEST_PUBLIC_URL),
            "http.public_url",
            "must have at most 150 bytes: Kuaidi100 takes callback addresses of at most 200",
        );
    }
}

impl Settings {
    /// Whether every credential is there.
    pub(super) const fn is_complete(&self) -> bool {
        self.key.is_some()
            && self.customer.is_some()
            && self.secret.is_some()
            && self.salt.is_some()
            && self.courier_code.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::given;
    use crate::couriers::registry;

    #[test]
    fn by_default_it_is_the_production_order_desk_without_credentials() {
        let config = given("").load();
        let kuaidi100: &Settings = registry::settings(&config).unwrap();
        assert!(kuaidi100.key.is_none() && kuaidi100.salt.is_none() && kuaidi100.courier_code.is_none());
        assert_eq!(kuaidi100.order_url, "https://poll.kuaidi100.com/order/borderapi.do");
    }

    #[test]
    fn kuaidi100_is_in_use_once_it_has_a_key_and_every_missing_key_is_named() {
        let problems = given("[couriers.kuaidi100]\nkey = \"k\"").refused();
        for missing in [
            "couriers.kuaidi100.customer",
            "couriers.kuaidi100.secret",
            "couriers.kuaidi100.salt",
            "couriers.kuaidi100.courier_code",
            "http.public_url",
        ] {
            assert!(
                problems.iter().any(|problem| problem.starts_with(missing)),
                "{missing} is not in {problems:#?}"
            );
        }
        given("[couriers]\ndefault = \"kuaidi100\"").is_refused_with("couriers.kuaidi100.key: is needed");
        let whole = "[couriers.kuaidi100]\nkey = \"k\"\ncustomer = \"c\"\nsecret = \"s\"\nsalt = \"salt\"\n\
                     courier_code = \"yuantong\"\n[http]\npublic_url = ";
        given(&format!("{whole}\"https://orders.example.cn\"")).load();
        let long = format!("https://{}.cn", "a".repeat(150));
        given(&format!("{whole}\"{long}\"")).is_refused_with("http.public_url: must have at most 150 bytes");
        given(&format!("{}\"https://a.cn\"", whole.replace("yuantong", "YuanTong")))
            .is_refused_with("couriers.kuaidi100.courier_code: must be a company's code in small letters");
    }
}
