//! What no single value can tell: limits, values that contradict each other, and what is allowed only on a machine that
//! nobody else can reach. Judges and changes nothing; opens no database and no file. What holds for one courier alone is
//! judged by its adapter ([`CheckedSection::check`](super::CheckedSection::check)).

use std::time::Duration;

use super::checks::{Checks, Findings};
use super::{Config, Problem};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// The longest that a person may be kept after an order's end.
const LONGEST_WINDOW: Duration = Duration::from_secs(365 * 86_400);

/// Everything that is wrong.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Findings::default();
    vault(config, &mut found);
    retention(config, &mut found);
    shop(config, &mut found);
    running(config, &mut found);
    couriers(config, &mut found);
    found.into_problems()
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
        .map(|(section, _)| section.name())
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
            is_default: chosen.default == section.name(),
            is_fallback: chosen.fallbacks.iter().any(|name| name == section.name()),
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
