//! What no single value can tell: limits, values that contradict each other, and what is allowed only on a machine that
//! nobody else can reach. Judges and changes nothing; opens no database and no file. What holds for one courier alone is
//! judged by its adapter ([`CheckedSection::check`](super::CheckedSection::check)).

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;

use super::{Checks, Config, Problem};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// The longest that a person may be kept after an order's end.
const LONGEST_WINDOW: Duration = Duration::from_secs(365 * 86_400);

/// What is wrong, as it is found.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Problem>);

impl Findings {
    /// Reports the key unless `holds`.
    pub(super) fn check(&mut self, holds: bool, key: &str, message: &str) {
        if !holds {
            self.0.push(Problem::new(key, message));
        }
    }

    fn at_least_one(&mut self, key: &str, number: u32) {
        self.check(number >= 1, key, "must be at least 1");
    }

    fn not_empty(&mut self, key: &str, text: &str) {
        self.check(!text.trim().is_empty(), key, "must not be empty");
    }

    pub(super) fn web_url(&mut self, key: &str, url: &str) {
        self.check(is_web_url(url), key, WEB_URL);
    }

    pub(super) fn private_url(&mut self, key: &str, url: &str) {
        self.check(is_private_url(url), key, PRIVATE_URL);
    }

    pub(super) fn country(&mut self, key: &str, country: &str) {
        let expected = "must be a country's two capital letters (ISO 3166), such as \"CN\"";
        self.check(is_country(country), key, expected);
    }
}

/// Everything that is wrong.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Findings::default();
    vault(config, &mut found);
    retention(config, &mut found);
    shop(config, &mut found);
    running(config, &mut found);
    couriers(config, &mut found);
    found.0
}

fn vault(config: &Config, found: &mut Findings) {
    let vault = &config.vault;
    found.check(
        !vault.url.same_as(&config.database.url),
        "vault.url",
        "must be another database than database.url: a copy of the orders must not hold the keys",
    );
    found.check(
        vault.epoch_length >= SECOND,
        "vault.epoch_length",
        "must be at least 1s",
    );
    found.at_least_one("vault.epochs_ahead", vault.epochs_ahead);
    found.check(
        vault.copy_horizon >= 2 * vault.epoch_length,
        "vault.copy_horizon",
        "must be at least twice vault.epoch_length: a key lives an epoch, and goes before the copies made in it are that old",
    );
}

fn retention(config: &Config, found: &mut Findings) {
    let retention = &config.retention;
    found.check(
        retention.window <= LONGEST_WINDOW,
        "retention.window",
        "must be at most 365d",
    );
    found.check(
        !retention.stuck_after.is_zero(),
        "retention.stuck_after",
        "must be more than 0: orders would end at once",
    );
    found.check(
        !retention.draft_after.is_zero(),
        "retention.draft_after",
        "must be more than 0: drafts would end at once",
    );
}

fn shop(config: &Config, found: &mut Findings) {
    let (sender, parcel) = (&config.sender, &config.parcel);
    found.not_empty("sender.name", &sender.name);
    found.not_empty("sender.phone", &sender.phone);
    found.not_empty("sender.province", &sender.province);
    found.not_empty("sender.city", &sender.city);
    found.not_empty("sender.street", &sender.street);
    found.country("sender.country", &sender.country);
    found.not_empty("parcel.contents", &parcel.contents);
    found.at_least_one("parcel.weight_g", parcel.weight_g);
    found.at_least_one("parcel.length_mm", parcel.length_mm);
    found.at_least_one("parcel.width_mm", parcel.width_mm);
    found.at_least_one("parcel.height_mm", parcel.height_mm);
}

/// How the process runs: its doors, its workers, its clock, its log.
fn running(config: &Config, found: &mut Findings) {
    if let Some(url) = &config.http.public_url {
        found.web_url("http.public_url", url);
    }
    found.at_least_one("database.pool_size", config.database.pool_size);
    found.check(config.print.lease >= SECOND, "print.lease", "must be at least 1s");
    found.at_least_one("intake.queue", config.intake.queue);
    found.at_least_one("intake.batch", config.intake.batch);
    found.at_least_one("intake.writers", config.intake.writers);
    found.at_least_one("jobs.concurrency", config.jobs.concurrency);
    found.check(!config.jobs.poll.is_zero(), "jobs.poll", "must be more than 0");
    found.at_least_one("clock.speed", config.clock.speed);
    found.check(
        config.clock.speed <= 1 || is_loopback(config),
        "clock.speed",
        "must be 1 where http.listen is not a loopback address: it is for development only",
    );
    let filter = tracing_subscriber::EnvFilter::builder().parse(&config.log.filter);
    found.check(
        filter.is_ok(),
        "log.filter",
        "expected levels such as \"info\" or \"info,safelight::jobs=debug\"",
    );
}

fn couriers(config: &Config, found: &mut Findings) {
    let chosen = &config.couriers;
    let names: Vec<&str> = config
        .courier_sections
        .iter()
        .map(|(section, _)| section.name)
        .collect();
    let known = |name: &String| names.contains(&name.as_str());
    let expected = format!("this build has these couriers: {}", names.join(", "));
    found.check(known(&chosen.default), "couriers.default", &expected);
    found.check(chosen.fallbacks.iter().all(known), "couriers.fallbacks", &expected);
    found.check(
        !chosen.fallbacks.contains(&chosen.default),
        "couriers.fallbacks",
        "must not name couriers.default, which has refused by then",
    );
    for (section, settings) in config.courier_sections.iter() {
        settings.check(&mut Checks {
            section: section.path(),
            found,
            public_url: config.http.public_url.as_deref(),
            is_loopback: is_loopback(config),
            is_default: chosen.default == section.name,
            is_fallback: chosen.fallbacks.iter().any(|name| name == section.name),
        });
    }
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
    for (_, settings) in config.courier_sections.iter() {
        found.extend(settings.warnings());
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

const PRIVATE_URL: &str = "expected an https:// URL without user, password, parameters or a slash at the end; http:// only \
                           on this machine (127.0.0.1, localhost): it would show the recipients to everybody between";

fn is_private_url(text: &str) -> bool {
    is_web_url(text) && Url::parse(text).is_ok_and(|url| url.scheme() == "https" || is_this_machine(&url))
}

fn is_this_machine(url: &Url) -> bool {
    match url.host_str().map(|host| host.trim_matches(['[', ']'])) {
        Some("localhost") => true,
        Some(host) => host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback()),
        None => false,
    }
}

/// Whether what is sent to this address can be read on the way: plain http to another machine.
pub fn is_readable_on_the_way(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "http" && !is_this_machine(&url))
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
