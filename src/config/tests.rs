//! The whole configuration as it is loaded: the example against the code, the order of the places, what is refused.

use std::net::SocketAddr;
use std::time::Duration;

use super::testing::{given, load};
use super::*;
use crate::couriers::{registry, simulated};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn keys() -> Keys {
    keys_with(&registry::sections())
}

fn simulated_of(config: &Config) -> &simulated::Settings {
    registry::settings(config).unwrap()
}

#[test]
fn without_any_configuration_everything_is_as_the_contract_says() {
    let folder = tempfile::tempdir().unwrap();
    let options = LoadOptions {
        working_dir: folder.path().to_owned(),
        ..LoadOptions::default()
    };
    let config = load(&options).unwrap();
    assert_eq!(config.http.listen, SocketAddr::from(([127, 0, 0, 1], 8080)));
    assert!(config.http.public_url.is_none() && config.http.trusted_proxies.is_empty());
    let limits = &config.http.rate_limit;
    assert_eq!(
        (
            limits.enabled,
            limits.per_key.count.get(),
            limits.per_address.count.get()
        ),
        (true, 100, 20)
    );
    assert_eq!(
        config.database.url.sqlite_path(),
        Some(&*folder.path().join("data/safelight.db"))
    );
    let vault = &config.vault;
    assert_eq!(vault.url.sqlite_path(), Some(&*folder.path().join("vault/vault.db")));
    assert_eq!(vault.master_key_file, folder.path().join("vault/master.key"));
    assert!(vault.master_key_previous_file.is_none() && vault.journal_mirror.is_none());
    assert_eq!(
        (vault.epoch_length, vault.epochs_ahead, vault.copy_horizon),
        (DAY, 7, 45 * DAY)
    );
    assert_eq!(vault.key_cache, MINUTE);
    let retention = &config.retention;
    assert_eq!((retention.window, retention.stuck_after), (30 * DAY, 90 * DAY));
    assert_eq!((retention.draft_after, retention.max_hold), (DAY, 365 * DAY));
    assert_eq!(config.print.lease, 15 * MINUTE);
    let couriers = &config.couriers;
    assert_eq!(
        (&*couriers.default, couriers.fallbacks.len(), couriers.settle),
        ("simulated", 0, MINUTE / 2)
    );
    let parcel = &config.parcel;
    assert_eq!(
        (parcel.weight_g, parcel.length_mm, parcel.width_mm, parcel.height_mm),
        (50, 240, 160, 5)
    );
    assert_eq!(parcel.contents, "照片");
    assert_eq!(config.clock.speed, 1);
    assert_eq!((config.log.format, &*config.log.filter), (LogFormat::Auto, "info"));
    assert_eq!(config.warnings(), Vec::<String>::new());
}

/// Lines such as `#company = "..."`: keys that have no default.
fn commented_keys() -> Vec<String> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((name, _)) = line.strip_prefix('#').and_then(|rest| rest.split_once(" = "))
            && !name.contains(' ')
        {
            found.push(format!("{section}.{name}"));
        }
    }
    found
}

#[test]
fn the_example_has_every_key_and_nothing_else() {
    let mut problems = Vec::new();
    let keys = keys();
    let layers = Layers::read(&LoadOptions::default(), &keys, &mut problems);
    assert_eq!(problems, [], "the example names a key that there is not");
    let mut written: Vec<String> = keys
        .iter()
        .filter(|key| layers.in_force(&key.name).is_some())
        .map(|key| key.name.clone())
        .collect();
    written.extend(commented_keys());
    let mut known: Vec<String> = keys.iter().map(|key| key.name.clone()).collect();
    known.extend(
        keys.iter()
            .filter(|key| key.kind.is_secret())
            .map(|key| format!("{}_file", key.name)),
    );
    written.sort();
    known.sort();
    assert_eq!(
        written, known,
        "every key stands once in the example: live with its default, or commented out"
    );
}

#[test]
fn every_key_of_the_example_is_explained_above_it_or_behind_it() {
    let mut explained_above = false;
    for line in EXAMPLE.lines() {
        let sets = line
            .split_once(" = ")
            .is_some_and(|(name, _)| !name.trim_start_matches('#').contains(' '));
        // `<key>_file` is explained once, at the top.
        if sets && !line.contains("_file = \"/run/secrets/") {
            assert!(explained_above || line.contains(" # "), "{line} is not explained");
        }
        explained_above = line.starts_with("# ");
    }
}

#[test]
fn the_example_with_every_commented_key_switched_on_is_accepted_and_each_one_counts() {
    let switched_on: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && !rest.contains("/run/secrets/") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = given(&switched_on).load();
    let shown = config.effective_toml();
    assert!(!shown.contains("# not set") && !shown.contains("# default"), "{shown}");
    // Typed, too: an optional field that no key reaches would stay empty.
    assert!(config.http.public_url.is_some() && config.sender.company.is_some() && config.log.file.is_some());
    assert!(config.vault.master_key_previous_file.is_some() && config.vault.journal_mirror.is_some());
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
    let file = given("[retention]\nwindow = \"20d\"");
    assert_eq!(file.load().retention.window, 20 * DAY);
    let env = file.env("SAFELIGHT__RETENTION__WINDOW", "10d");
    assert_eq!(env.load().retention.window, 10 * DAY);
    let flag = env.flag("retention.window", "5d");
    assert_eq!(flag.load().retention.window, 5 * DAY);
    assert_eq!(flag.load().retention.stuck_after, 90 * DAY);
}

#[test]
fn every_kind_of_value_can_be_set_from_the_environment() {
    let config = given("")
        .env("SAFELIGHT__HTTP__LISTEN", "[::1]:9000")
        .env("SAFELIGHT__HTTP__TRUSTED_PROXIES", "10.0.0.0/8, ::1")
        .env("SAFELIGHT__HTTP__RATE_LIMIT__ENABLED", "false")
        .env("SAFELIGHT__HTTP__RATE_LIMIT__PER_KEY", "6/m")
        .env("SAFELIGHT__DATABASE__POOL_SIZE", "3")
        .env("SAFELIGHT__SENDER__PHONE", "075512345678")
        .env("SAFELIGHT__COURIERS__FALLBACKS", "[]")
        .env("SAFELIGHT__LOG__FORMAT", "json")
        // Of a Kubernetes service called safelight, and somebody else's.
        .env("SAFELIGHT_PORT", "tcp://10.0.0.1:80")
        .env("HOME", "/root")
        .load();
    assert_eq!(config.http.listen.port(), 9000);
    assert!(config.http.trusted_proxies.contains("10.1.2.3".parse().unwrap()));
    assert!(config.http.trusted_proxies.contains("::1".parse().unwrap()));
    assert!(!config.http.rate_limit.enabled);
    assert_eq!(
        (
            config.http.rate_limit.per_key.count.get(),
            config.http.rate_limit.per_key.per
        ),
        (6, MINUTE)
    );
    assert_eq!((config.database.pool_size, config.log.format), (3, LogFormat::Json));
    assert_eq!(
        config.sender.phone, "075512345678",
        "digits stay text where text is meant"
    );
    assert!(config.couriers.fallbacks.is_empty());
}

#[test]
fn a_named_file_must_exist_and_the_usual_one_need_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = LoadOptions {
        working_dir: folder.path().to_owned(),
        ..LoadOptions::default()
    };
    assert!(load(&options).is_ok());
    options.file = Some("shop.toml".into());
    let error = load(&options).unwrap_err();
    assert!(error.to_string().contains("shop.toml: cannot be read"), "{error}");
    std::fs::write(folder.path().join("shop.toml"), "[clock]\nspeed = 60").unwrap();
    assert_eq!(load(&options).unwrap().clock.speed, 60);
}

#[test]
fn unknown_keys_are_refused_with_their_place_and_what_may_have_been_meant() {
    let problems = given("[retention]\nwindw = \"1d\"\n[http]\nport = 80\n[couriers.pigeon]\nkey = 1\n[nonsense]\n")
        .env("SAFELIGHT__RETENTION__WINDWO", "1d")
        .refused();
    let known = registry::names().join(", ");
    let no_pigeon =
        format!("couriers.pigeon: this build has no courier \"pigeon\" (it has: {known}) (file safelight.toml)");
    assert!(
        known.starts_with("simulated, sf, kuaidi100, easypost, karrio"),
        "{known}"
    );
    for expected in [
        "retention.windw: unknown key; did you mean retention.window? (file safelight.toml)",
        "http.port: unknown key (file safelight.toml)",
        no_pigeon.as_str(),
        "nonsense: unknown key (file safelight.toml)",
        "retention.windwo: unknown key; did you mean SAFELIGHT__RETENTION__WINDOW? \
         (environment SAFELIGHT__RETENTION__WINDWO)",
    ] {
        assert!(
            problems.iter().any(|problem| problem == expected),
            "{expected:?} is not in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), 5, "all at once, each once: {problems:#?}");
}

#[test]
fn a_section_that_is_given_a_value_and_a_value_that_is_given_a_table_are_refused() {
    given("http = 3").is_refused_with("http: is a section");
    given("[http.listen]\nport = 3").is_refused_with("http.listen: expected an IP address and a port");
    given("[retention]\nwindow = 2026-11-23").is_refused_with("retention.window: expected a duration");
}

#[test]
fn every_value_of_a_wrong_type_is_reported_at_once_with_what_is_expected() {
    let problems = given(
        "[http]\nlisten = \"localhost\"\ntrusted_proxies = [\"10.0.0.0/8\", 7]\n[database]\npool_size = -1\n\
         [retention]\nwindow = 30\n[sender]\nphone = 13800138000\n[log]\nformat = \"loud\"",
    )
    .env("SAFELIGHT__PRINT__LEASE", "15")
    .env("SAFELIGHT__COURIERS__SIMULATED__EMBEDDED", "maybe")
    .flag("http.rate_limit.per_key", "100")
    .refused();
    for expected in [
        "http.listen: expected an IP address and a port, such as \"127.0.0.1:8080\" (file safelight.toml)",
        "http.trusted_proxies: expected a list of IP addresses",
        "database.pool_size: expected a whole number",
        "retention.window: expected a duration such as",
        "sender.phone: expected text in quotes (file safelight.toml)",
        "log.format: expected \"auto\", \"pretty\" or \"json\"",
        "(environment SAFELIGHT__PRINT__LEASE)",
        "couriers.simulated.embedded: expected true or false",
        "http.rate_limit.per_key: expected a rate such as \"100/s\", \"30/m\" or \"5/h\", at least 1 (flag)",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{expected:?} is not in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), 9, "{problems:#?}");
}

#[test]
fn no_value_is_ever_repeated_in_an_error() {
    let secret = "hunter2";
    let known = keys();
    let wrong = |name: &str| match known.kind_of(name).unwrap() {
        Kind::Text | Kind::Secret | Kind::Secrets | Kind::Path => None,
        _ => Some(secret),
    };
    for key in known.iter() {
        let Some(value) = wrong(&key.name) else { continue };
        let (section, name) = key.name.rsplit_once('.').unwrap();
        for toml in [
            format!("[{section}]\n{name} = \"{value}\""),
            // Lists of words may hold any; none may hold lists.
            format!("[{section}]\n{name} = [[\"{value}\"]]"),
        ] {
            let problems = given(&toml).refused().join("\n");
            assert!(problems.contains(&key.name) && !problems.contains(secret), "{problems}");
        }
    }
    let syntax = given("[couriers.simulated]\nwebhook_secret = hunter2")
        .refused()
        .join("\n");
    assert!(syntax.contains("line 2") && !syntax.contains(secret), "{syntax}");
    let type_error = given("[couriers.simulated]\nwebhook_secret = 42424242")
        .refused()
        .join("\n");
    assert!(
        type_error.contains("text in quotes") && !type_error.contains("4242"),
        "{type_error}"
    );
    let broken = given("")
        .env("SAFELIGHT__DATABASE__URL", "hunter2\u{fffd}")
        .refused()
        .join("\n");
    assert!(
        broken.contains("not valid UTF-8") && !broken.contains(secret),
        "{broken}"
    );
}

#[test]
fn a_secret_may_come_from_a_file_without_its_last_newline() {
    let url = "postgres://shop:hunter2@db/orders";
    let config = given("[database]\nurl_file = \"db.url\"")
        .file("db.url", &format!("{url}\n"))
        .file("hook", "whsec_hunter2\r\n")
        .env("SAFELIGHT__COURIERS__SIMULATED__WEBHOOK_SECRET_FILE", "hook")
        .load();
    assert!(matches!(&config.database.url, DatabaseUrl::Postgres(whole) if whole.expose() == url));
    assert_eq!(
        simulated_of(&config).webhook_secret.as_ref().unwrap().expose(),
        "whsec_hunter2"
    );
    let shown = format!("{}\n{config:?}", config.effective_toml());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("# environment SAFELIGHT__COURIERS__SIMULATED__WEBHOOK_SECRET_FILE"),
        "{shown}"
    );
}

#[test]
fn a_secret_given_twice_or_in_an_absent_or_empty_file_is_refused() {
    given("[database]\nurl = \"sqlite:a.db\"")
        .env("SAFELIGHT__DATABASE__URL_FILE", "db.url")
        .is_refused_with("database.url and database.url_file are both given");
    given("[database]\nurl_file = \"absent\"").is_refused_with("absent cannot be read");
    given("[database]\nurl_file = \"empty\"")
        .file("empty", "\n")
        .is_refused_with("empty is empty");
    given("[database]\nurl_file = 7").is_refused_with("database.url_file: expected a path");
    given("[database]\nurl_file = \"odd\"")
        .file("odd", "mysql://h/d")
        .is_refused_with("sqlite:PATH or postgres://");
}

#[test]
fn a_copy_of_the_orders_never_holds_the_keys() {
    let same = "must be another database than database.url";
    given("[vault]\nurl = \"sqlite:./data/safelight.db\"").is_refused_with(same);
    given("[database]\nurl = \"postgres://a@h/d\"\n[vault]\nurl = \"postgres://b@h/d\"").is_refused_with(same);
    let warned = |toml: &str| given(toml).load().warnings().join("\n");
    let one_server = warned("[database]\nurl = \"postgres://a@h:5432/d\"\n[vault]\nurl = \"postgres://b@h/v\"");
    assert!(one_server.contains("one server"), "{one_server}");
    assert_eq!(
        warned("[database]\nurl = \"postgres://a@h/d\"\n[vault]\nurl = \"postgres://b@g/v\""),
        ""
    );
    assert!(warned("[vault]\nurl = \"sqlite:data/vault/v.db\"").contains("inside the folder"));
}

#[test]
fn what_is_for_development_is_refused_where_others_can_reach_it() {
    let open = "[http]\nlisten = \"0.0.0.0:8080\"\n";
    given(open).is_refused_with("couriers.default: \"simulated\" delivers nothing");
    let allowed = format!("{open}[couriers.simulated]\nallow = true\n");
    let warnings = given(&allowed).load().warnings().join("\n");
    assert!(warnings.contains("sender.street is the placeholder"), "{warnings}");
    given(&format!("{allowed}[clock]\nspeed = 60")).is_refused_with("clock.speed: must be 1 where http.listen");
    assert_eq!(
        given("[http]\nlisten = \"[::1]:80\"\n[clock]\nspeed = 86400")
            .load()
            .clock
            .speed,
        86_400
    );
}

#[test]
fn limits_hold_and_the_place_of_the_value_is_named() {
    for (toml, problem) in [
        (
            "[retention]\nwindow = \"366d\"",
            "retention.window: must be at most 365d (file safelight.toml)",
        ),
        ("[clock]\nspeed = 0", "clock.speed: must be at least 1"),
        (
            "[vault]\nepoch_length = \"999ms\"",
            "vault.epoch_length: must be at least 1s",
        ),
        ("[vault]\nepochs_ahead = 0", "vault.epochs_ahead: must be at least 1"),
        (
            "[vault]\ncopy_horizon = \"1h\"",
            "vault.copy_horizon: must be at least twice vault.epoch_length",
        ),
        ("[print]\nlease = \"500ms\"", "print.lease: must be at least 1s"),
        (
            "[couriers]\ndefault = \"pigeon\"",
            "couriers.default: this build has these couriers: simulated",
        ),
        (
            "[couriers]\nfallbacks = [\"pigeon\"]",
            "couriers.fallbacks: this build has these couriers: simulated",
        ),
        (
            "[couriers]\nfallbacks = [\"simulated\"]",
            "couriers.fallbacks: must not name couriers.default",
        ),
        (
            "[http]\npublic_url = \"orders.example.cn\"",
            "http.public_url: expected an http:// or https:// URL",
        ),
        ("[sender]\nname = \" \"", "sender.name: must not be empty"),
        ("[parcel]\nweight_g = 0", "parcel.weight_g: must be at least 1"),
        (
            "[log]\nfilter = \"safelight=loud\"",
            "log.filter: expected levels such as",
        ),
    ] {
        given(toml).is_refused_with(problem);
    }
    assert_eq!(
        given("[retention]\nwindow = \"365d\"").load().retention.window,
        365 * DAY
    );
    assert_eq!(
        given("[retention]\nwindow = \"0s\"").load().retention.window,
        Duration::ZERO
    );
}

#[test]
fn what_is_changed_after_loading_can_be_judged_again() {
    let mut config = given("").load();
    assert_eq!(config.validate(), Ok(()));
    config.retention.window = 400 * DAY;
    assert_eq!(config.validate().unwrap_err().problems[0].subject, "retention.window");
}

#[test]
fn what_is_in_force_is_printed_as_toml_with_its_place_and_without_secrets() {
    let config = given("[vault]\nurl = \"postgres://v:hunter2@db:5432/vault?password=hunter2\"")
        .env("SAFELIGHT__PRINT__LEASE", "20m")
        .flag("log.filter", "debug")
        .load();
    let shown = config.effective_toml();
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    assert!(
        line("lease = \"20m\"").ends_with("# environment SAFELIGHT__PRINT__LEASE"),
        "{shown}"
    );
    assert!(line("filter = \"debug\"").ends_with("# flag"), "{shown}");
    assert!(
        line("url = \"sqlite:data/safelight.db\"").ends_with("# default"),
        "{shown}"
    );
    assert!(
        line("url = \"postgres://db:5432/vault?***\"").ends_with("# file safelight.toml"),
        "{shown}"
    );
    assert!(line("#public_url =").ends_with("# not set"), "{shown}");
    assert!(
        !shown.contains("hunter2") && !format!("{config:?}").contains("hunter2"),
        "{shown}"
    );
    let printed: toml::Table = shown.parse().unwrap();
    for key in keys()
        .iter()
        .filter(|key| !shown.contains(&format!("#{} =", key.name.rsplit('.').next().unwrap())))
    {
        let mut value = Some(&printed[key.name.split('.').next().unwrap()]);
        for part in key.name.split('.').skip(1) {
            value = value.and_then(|table| table.get(part));
        }
        assert!(value.is_some(), "{} is not printed", key.name);
    }
}

#[test]
fn only_what_is_ours_is_taken_from_the_process() {
    assert!(environment().iter().all(|(name, _)| name.starts_with("SAFELIGHT__")));
}
