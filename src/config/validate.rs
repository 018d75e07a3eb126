//! What no single value can tell: limits, values that contradict each other, and what is allowed only on a machine that
//! nobody else can reach. Judges and changes nothing; opens no database and no file.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;

use super::{COURIERS, Config, Problem, SfConfig};
use crate::privacy::Secret;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// Characters of a push token that nobody guesses; it is all that shows who sends.
const SHORTEST_TOKEN: usize = 16;

/// The longest that a person may be kept after an order's end.
const LONGEST_WINDOW: Duration = Duration::from_secs(365 * 86_400);

/// Everything that is wrong.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut check = |holds: bool, key: &str, message: &str| {
        if !holds {
            found.push(Problem::new(key, message));
        }
    };
    let loopback = is_loopback(config);

    if let Some(url) = &config.http.public_url {
        check(is_web_url(url), "http.public_url", WEB_URL);
    }
    check(
        config.database.pool_size >= 1,
        "database.pool_size",
        "must be at least 1",
    );

    let vault = &config.vault;
    let apart = !vault.url.same_as(&config.database.url);
    check(
        apart,
        "vault.url",
        "must be another database than database.url: a copy of the orders must not hold the keys",
    );
    check(
        vault.epoch_length >= SECOND,
        "vault.epoch_length",
        "must be at least 1s",
    );
    check(vault.epochs_ahead >= 1, "vault.epochs_ahead", "must be at least 1");
    let outlived = vault.copy_horizon >= 2 * vault.epoch_length;
    check(
        outlived,
        "vault.copy_horizon",
        "must be at least twice vault.epoch_length: a key lives an epoch, and goes before the copies made in it are that old",
    );

    let retention = &config.retention;
    check(
        retention.window <= LONGEST_WINDOW,
        "retention.window",
        "must be at most 365d",
    );
    check(
        !retention.stuck_after.is_zero(),
        "retention.stuck_after",
        "must be more than 0: orders would end at once",
    );
    check(
        !retention.draft_after.is_zero(),
        "retention.draft_after",
        "must be more than 0: drafts would end at once",
    );
    check(config.print.lease >= SECOND, "print.lease", "must be at least 1s");

    let (sender, parcel) = (&config.sender, &config.parcel);
    for (key, text) in [
        ("sender.name", &sender.name),
        ("sender.phone", &sender.phone),
        ("sender.province", &sender.province),
        ("sender.city", &sender.city),
        ("sender.street", &sender.street),
        ("parcel.contents", &parcel.contents),
    ] {
        check(!text.trim().is_empty(), key, "must not be empty");
    }
    for (key, country) in [
        ("sender.country", &sender.country),
        ("couriers.simulated.region", &config.couriers.simulated.region),
        ("couriers.sf.region", &config.couriers.sf.region),
        ("couriers.kuaidi100.region", &config.couriers.kuaidi100.region),
        ("couriers.easypost.region", &config.couriers.easypost.region),
        ("couriers.karrio.region", &config.couriers.karrio.region),
    ] {
        check(
            is_country(country),
            key,
            "must be a country's two capital letters (ISO 3166), such as \"CN\"",
        );
    }
    for (key, number) in [
        ("parcel.weight_g", parcel.weight_g),
        ("parcel.length_mm", parcel.length_mm),
        ("parcel.width_mm", parcel.width_mm),
        ("parcel.height_mm", parcel.height_mm),
        ("clock.speed", config.clock.speed),
        ("intake.queue", config.intake.queue),
        ("intake.batch", config.intake.batch),
        ("intake.writers", config.intake.writers),
        ("jobs.concurrency", config.jobs.concurrency),
    ] {
        check(number >= 1, key, "must be at least 1");
    }
    check(!config.jobs.poll.is_zero(), "jobs.poll", "must be more than 0");
    let real_time = config.clock.speed <= 1 || loopback;
    check(
        real_time,
        "clock.speed",
        "must be 1 where http.listen is not a loopback address: it is for development only",
    );

    let couriers = &config.couriers;
    let known = |name: &String| COURIERS.contains(&name.as_str());
    let names = format!("this build has these couriers: {}", COURIERS.join(", "));
    check(known(&couriers.default), "couriers.default", &names);
    check(couriers.fallbacks.iter().all(known), "couriers.fallbacks", &names);
    let others = !couriers.fallbacks.contains(&couriers.default);
    check(
        others,
        "couriers.fallbacks",
        "must not name couriers.default, which has refused by then",
    );
    let simulated = &couriers.simulated;
    let pretends = |name: &String| name == "simulated" && !loopback && !simulated.allow;
    let refused = "\"simulated\" delivers nothing and is refused where http.listen is not a loopback address; \
                   couriers.simulated.allow = true lets it through on a test installation";
    check(!pretends(&couriers.default), "couriers.default", refused);
    check(!couriers.fallbacks.iter().any(pretends), "couriers.fallbacks", refused);
    check(
        !simulated.timeout.is_zero(),
        "couriers.simulated.timeout",
        "must be more than 0",
    );
    if let Some(url) = &simulated.base_url {
        check(is_web_url(url), "couriers.simulated.base_url", WEB_URL);
    }
    if !simulated.embedded {
        let needed = "is needed where couriers.simulated.embedded = false";
        check(simulated.base_url.is_some(), "couriers.simulated.base_url", needed);
        check(
            simulated.webhook_secret.is_some(),
            "couriers.simulated.webhook_secret",
            needed,
        );
    }
    found.extend(brokers(config));
    let mut check = |holds: bool, key: &str, message: &str| {
        if !holds {
            found.push(Problem::new(key, message));
        }
    };

    let sf = &couriers.sf;
    check(is_web_url(&sf.base_url), "couriers.sf.base_url", WEB_URL);
    check(!sf.timeout.is_zero(), "couriers.sf.timeout", "must be more than 0");
    check(
        sf.express_type_id >= 1,
        "couriers.sf.express_type_id",
        "must be at least 1",
    );
    let given = |secret: &Secret<String>| !secret.expose().trim().is_empty();
    check(
        sf.push_tokens.iter().all(given),
        "couriers.sf.push_tokens",
        "must not hold an empty token",
    );
    if sf.is_configured() || couriers.default == "sf" || couriers.fallbacks.iter().any(|name| name == "sf") {
        let needed = "is needed to book with SF";
        let partner = sf.partner_id.as_ref().is_some_and(|id| !id.trim().is_empty());
        check(partner, "couriers.sf.partner_id", needed);
        check(
            sf.checkword.as_ref().is_some_and(given),
            "couriers.sf.checkword",
            needed,
        );
    }
    kuaidi100(config, &mut check);

    let filter = tracing_subscriber::EnvFilter::builder().parse(&config.log.filter);
    check(
        filter.is_ok(),
        "log.filter",
        "expected levels such as \"info\" or \"info,safelight::jobs=debug\"",
    );
    found
}

/// Bytes of `http.public_url` that leave room for the rest of a callback's address, of which Kuaidi100 takes 200.
const LONGEST_PUBLIC_URL: usize = 150;

fn kuaidi100(config: &Config, check: &mut impl FnMut(bool, &str, &str)) {
    let kuaidi100 = &config.couriers.kuaidi100;
    for (key, url) in [
        ("couriers.kuaidi100.order_url", &kuaidi100.order_url),
        ("couriers.kuaidi100.query_url", &kuaidi100.query_url),
        ("couriers.kuaidi100.subscribe_url", &kuaidi100.subscribe_url),
    ] {
        check(is_web_url(url), key, WEB_URL);
    }
    check(
        !kuaidi100.timeout.is_zero(),
        "couriers.kuaidi100.timeout",
        "must be more than 0",
    );
    let named = |name: &String| name == "kuaidi100";
    if kuaidi100.key.is_none() && !named(&config.couriers.default) && !config.couriers.fallbacks.iter().any(named) {
        return;
    }
    let given = |secret: &Option<Secret<String>>| secret.as_ref().is_some_and(|text| !text.expose().trim().is_empty());
    let written = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
    for (holds, key) in [
        (given(&kuaidi100.key), "couriers.kuaidi100.key"),
        (written(&kuaidi100.customer), "couriers.kuaidi100.customer"),
        (given(&kuaidi100.secret), "couriers.kuaidi100.secret"),
        (given(&kuaidi100.salt), "couriers.kuaidi100.salt"),
        (written(&kuaidi100.courier_code), "couriers.kuaidi100.courier_code"),
    ] {
        check(holds, key, "is needed to book with Kuaidi100");
    }
    let small = |code: &String| {
        code.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    check(
        kuaidi100.courier_code.as_ref().is_none_or(small),
        "couriers.kuaidi100.courier_code",
        "must be a company's code in small letters, such as \"yuantong\"",
    );
    let url = config.http.public_url.as_deref();
    check(
        url.is_some(),
        "http.public_url",
        "is needed to book with Kuaidi100: it sends its news there",
    );
    check(
        url.is_none_or(|url| url.len() <= LONGEST_PUBLIC_URL),
        "http.public_url",
        "must have at most 150 bytes: Kuaidi100 takes callback addresses of at most 200",
    );
}

/// EasyPost and Karrio: configured once their credential is set; then the rest must be there too.
fn brokers(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut check = |holds: bool, key: &str, message: &str| {
        if !holds {
            found.push(Problem::new(key, message));
        }
    };
    let (easypost, karrio) = (&config.couriers.easypost, &config.couriers.karrio);
    check(
        is_private_url(&easypost.base_url),
        "couriers.easypost.base_url",
        PRIVATE_URL,
    );
    check(
        !easypost.timeout.is_zero(),
        "couriers.easypost.timeout",
        "must be more than 0",
    );
    check(
        !karrio.timeout.is_zero(),
        "couriers.karrio.timeout",
        "must be more than 0",
    );
    if let Some(url) = &karrio.base_url {
        check(is_private_url(url), "couriers.karrio.base_url", PRIVATE_URL);
    }
    let set =
        |secret: &Option<Secret<String>>| secret.as_ref().is_some_and(|secret| !secret.expose().trim().is_empty());
    if easypost.api_key.is_some() {
        let needed = "is needed where couriers.easypost.api_key is set";
        check(set(&easypost.api_key), "couriers.easypost.api_key", "must not be empty");
        check(
            set(&easypost.webhook_secret),
            "couriers.easypost.webhook_secret",
            needed,
        );
    }
    if karrio.token.is_some() {
        let needed = "is needed where couriers.karrio.token is set";
        check(set(&karrio.token), "couriers.karrio.token", "must not be empty");
        check(karrio.base_url.is_some(), "couriers.karrio.base_url", needed);
        check(set(&karrio.webhook_secret), "couriers.karrio.webhook_secret", needed);
    }
    found
}

/// What works but is probably not what anybody wants.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let (orders, vault) = (&config.database.url, &config.vault.url);
    if orders.host().is_some() && orders.host() == vault.host() {
        found.push(
            "database.url and vault.url are on one server: whoever copies the server has the orders and their keys; \
             put the vault on another"
                .to_owned(),
        );
    }
    if let (Some(orders), Some(vault)) = (orders.sqlite_path(), vault.sqlite_path())
        && let (Some(folder), Some(vault_folder)) = (orders.parent(), vault.parent())
        && !folder.as_os_str().is_empty()
        && vault_folder.starts_with(folder)
    {
        found.push(
            "vault.url is inside the folder of database.url: a copy of the folder has the orders and their keys; put \
             the vault beside it"
                .to_owned(),
        );
    }
    if config.http.trusted_proxies.trusts_everyone() {
        found.push("http.trusted_proxies covers every address: anybody can pretend to come from anywhere".to_owned());
    }
    if !is_loopback(config) && config.is_default("sender.street") {
        found.push(
            "sender.street is the placeholder: parcels would be sent from an address that is not yours".to_owned(),
        );
    }
    let sf = &config.couriers.sf;
    if sf.is_configured() {
        found.extend(sf_warnings(sf));
    }
    if config.vault.copy_horizon < DAY && config.clock.speed == 1 {
        found.push("vault.copy_horizon is less than a day: every order is re-sealed again and again".to_owned());
    }
    found
}

fn sf_warnings(sf: &SfConfig) -> Vec<String> {
    let mut found = Vec::new();
    let plain = Url::parse(&sf.base_url).is_ok_and(|url| url.scheme() == "http" && !is_this_machine(&url));
    if plain {
        found.push("couriers.sf.base_url is not https: recipients would be readable on the way".to_owned());
    }
    if sf.push_tokens.is_empty() {
        found.push(
            "couriers.sf.push_tokens is empty: what SF pushes is refused, for it does not sign; put in a long random \
             token and give SF the address that ends in it"
                .to_owned(),
        );
    }
    if sf.push_tokens.iter().any(|token| token.expose().len() < SHORTEST_TOKEN) {
        found.push("couriers.sf.push_tokens has one that can be guessed: use 32 random characters".to_owned());
    }
    if sf.monthly_card.is_none() {
        found.push("couriers.sf.monthly_card is not set: SF would have every parcel paid in cash".to_owned());
    }
    found
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn is_loopback(config: &Config) -> bool {
    config.http.listen.ip().to_canonical().is_loopback()
}

const WEB_URL: &str = "expected an http:// or https:// URL without user, password, parameters or a slash at the end";

fn is_web_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && !text.ends_with('/')
    })
}

const PRIVATE_URL: &str = "expected an https:// URL without user, password, parameters or a slash at the end; http:// only \
                           on this machine (127.0.0.1, localhost): it would show the recipients to everybody between";

fn is_private_url(text: &str) -> bool {
    let loopback = |url: &Url| match url.host_str().map(|host| host.trim_matches(['[', ']'])) {
        Some("localhost") => true,
        Some(host) => host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback()),
        None => false,
    };
    is_web_url(text) && Url::parse(text).is_ok_and(|url| url.scheme() == "https" || loopback(&url))
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
