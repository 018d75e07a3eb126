//! Which room may call which, what is named in one place only, and that no files go round in a circle; held by reading
//! `src/` with a parser. Comments, strings and what is compiled for tests alone do not count.

mod circles;
mod reader;

use std::collections::{BTreeMap, BTreeSet};

use reader::{Modules, sources};

/// Every room and the rooms it may name. Minimal: an arrow that nobody uses fails too.
const ARROWS: &[(&str, &[&str])] = &[
    // `app::prove` opens the files that `config::DatabaseUrl` names.
    (
        "app",
        &["clock", "config", "couriers", "domain", "privacy", "store", "vault"],
    ),
    ("clock", &[]),
    ("config", &["privacy"]),
    ("couriers", &["clock", "config", "domain", "privacy"]),
    ("domain", &["clock", "privacy"]),
    (
        "http",
        &["app", "clock", "config", "domain", "privacy", "store", "vault"],
    ),
    ("jobs", &["app", "clock", "domain", "store"]),
    ("privacy", &[]),
    // `store::conn` opens what `config::DatabaseUrl` names.
    ("store", &["clock", "config", "domain", "privacy"]),
    ("telemetry", &["config"]),
    ("vault", &["clock", "domain", "privacy", "store"]),
];

/// The rooms that put the house together; they may name every other.
const DOORS: &[&str] = &["main", "lib", "cli"];

/// The rooms inside `app`, each line above those that it may name. What stands directly in `app` is below them all.
const INSIDE_APP: &[&[&str]] = &[
    &["recovery"],
    &["subject_requests"],
    &["retention", "orders"],
    &["parcels", "privacy", "access"],
    &["records", "audit"],
];

#[test]
fn rooms_call_only_the_rooms_that_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let sources = sources();
    let modules = Modules::of(&sources);
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| !DOORS.contains(&source.room.as_str())) {
        let Some(allowed) = allowed.get(source.room.as_str()) else {
            wrong.push(format!("src/{} is in a room that the table does not know", source.path));
            continue;
        };
        for (file, path) in modules.named_by(source) {
            let room = file.split(['/', '.']).next().unwrap();
            if room != source.room && !allowed.contains(&room) {
                wrong.push(format!("src/{} names {path}, which is in {room}", source.path));
            }
            used.entry(&source.room).or_default().insert(room);
        }
    }
    for (room, allowed) in ARROWS {
        for other in *allowed {
            if !used.get(*room).is_some_and(|used| used.contains(*other)) {
                wrong.push(format!("{room} -> {other} is allowed and not needed"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_stands_on_itself() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for room in allowed.keys() {
        let mut reached = BTreeSet::new();
        let mut open = allowed[room].to_vec();
        while let Some(next) = open.pop() {
            assert_ne!(next, *room, "{room} reaches itself");
            if reached.insert(next) {
                open.extend(allowed.get(next).copied().unwrap_or_default());
            }
        }
    }
}

/// How far up in [`INSIDE_APP`] a file of `app` stands; 0 for what stands directly in it.
fn height(file: &str) -> Option<(usize, &str)> {
    let room = file.strip_prefix("app/")?.split(['/', '.']).next()?;
    let line = INSIDE_APP.iter().position(|rooms| rooms.contains(&room));
    Some((line.map_or(0, |line| INSIDE_APP.len() - line), room))
}

#[test]
fn inside_app_no_room_calls_one_that_stands_above_it_or_beside_it() {
    let sources = sources();
    let modules = Modules::of(&sources);
    let mut wrong = Vec::new();
    for source in &sources {
        let Some((from, room)) = height(&source.path) else {
            continue;
        };
        for (file, path) in modules.named_by(source) {
            if let Some((to, other)) = height(file)
                && to > 0
                && to >= from
                && room != other
            {
                wrong.push(format!("src/{} names {path}, which is in {other}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for room in INSIDE_APP.iter().copied().flatten() {
        let is_there = sources.iter().any(|source| source.path == format!("app/{room}.rs"));
        assert!(is_there, "app has no {room}");
    }
}

/// A word, and the files (or folders) that may hold it.
const HOMES: &[(&str, &[&str])] = &[
    ("diesel", &["store.rs", "store/"]),
    ("diesel_migrations", &["store/migrate.rs"]),
    (
        "AnyConn::Sqlite",
        &["store/conn.rs", "store/dialect.rs", "store/dialect/"],
    ),
    (
        "AnyConn::Postgres",
        &["store/conn.rs", "store/dialect.rs", "store/dialect/"],
    ),
    ("Self::Sqlite", &["store/conn.rs", "config/"]),
    ("Utc::now", &["clock.rs"]),
    ("SystemTime::now", &["clock.rs"]),
    ("now_v7", &["domain/ids.rs"]),
    ("env::var", &["config.rs"]),
    ("env::vars", &["config.rs"]),
    ("env::vars_os", &["config.rs"]),
    ("env::var_os", &["config.rs"]),
    ("Client::builder", &["couriers/client.rs"]),
    (
        "actix_web",
        &[
            "http.rs",
            "http/",
            "couriers/simulated/sandbox",
            "cli.rs",
            "cli/",
            "main.rs",
        ],
    ),
    // Elsewhere than in the couriers only its `Url`.
    (
        "reqwest",
        &[
            "couriers.rs",
            "couriers/",
            "telemetry.rs",
            "config/checks.rs",
            "cli.rs",
            "cli/",
        ],
    ),
    ("aes_gcm", &["vault/"]),
];

#[test]
fn what_has_a_home_is_named_nowhere_else() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (word, homes) in HOMES {
            if source.names(word) && !homes.iter().any(|home| source.path.starts_with(home)) {
                wrong.push(format!("src/{} names {word}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_domain_knows_nothing_of_waiting_or_of_io() {
    let mut wrong = Vec::new();
    for source in sources()
        .into_iter()
        .filter(|source| source.room == "domain" || source.room == "privacy")
    {
        for word in [
            "async",
            "await",
            "tokio",
            "futures_util",
            "std::fs",
            "std::net",
            "std::thread",
            "tracing",
        ] {
            if source.names(word) {
                wrong.push(format!("src/{} names {word}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_says_at_its_top_what_it_is_for() {
    let silent: Vec<String> = sources()
        .into_iter()
        .map(|source| source.path)
        .filter(|path| {
            !std::fs::read_to_string(reader::root().join(path))
                .unwrap()
                .starts_with("//! ")
        })
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}
