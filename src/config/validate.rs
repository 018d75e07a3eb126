//! What no single value can tell: limits, values that contradict each other, and what is allowed only on a machine that
//! nobody else can reach. Judges and changes nothing; opens no database and no file.

use std::time::Duration;

use reqwest::Url;

use super::{COURIERS, Config, Problem};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

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

    let filter = tracing_subscriber::EnvFilter::builder().parse(&config.log.filter);
    check(
        filter.is_ok(),
        "log.filter",
        "expected levels such as \"info\" or \"info,safelight::jobs=debug\"",
    );
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
    if config.vault.copy_horizon < DAY && config.clock.speed == 1 {
        found.push("vault.copy_horizon is less than a day: every order is re-sealed again and again".to_owned());
    }
    found
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

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
