//! Which room may call which, held by reading `src/`. Comments, strings and test modules do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

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

struct Source {
    /// Relative to `src/`.
    path: String,
    room: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    assert!(files.len() > 50, "src/ was not read");
    let sources = files.into_iter().map(|file| {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let room = path.split(['/', '.']).next().unwrap().to_owned();
        let code = without_tests(&without_comments_and_strings(&std::fs::read_to_string(&file).unwrap()));
        Source { path, room, code }
    });
    sources.filter(|source| !is_test_file(&source.path)).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("tests.rs") || path.ends_with("testing.rs") || path.contains("/tests/")
}

/// Blanks comments, and strings, so that words in them count for nothing.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("r#\"") {
            rest = &rest[rest.find("\"#").map_or(rest.len(), |end| end + 2)..];
        } else if next == '"' {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            rest = &rest[end.map_or(rest.len(), |(at, _)| at + 1)..];
        } else if next == '\'' && rest.chars().nth(2) == Some('\'') {
            // A character, perhaps a quotation mark; `'\''` is taken below as an escape.
            rest = &rest[rest.char_indices().nth(3).map_or(rest.len(), |(at, _)| at)..];
        } else if rest.starts_with("'\\") {
            rest = &rest[rest
                .char_indices()
                .skip(3)
                .find(|(_, c)| *c == '\'')
                .map_or(rest.len(), |(at, _)| at + 1)..];
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    code
}

/// Cuts every item that is compiled for tests alone.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let body = rest.find('{').unwrap_or(rest.len());
        let semicolon = rest.find(';').unwrap_or(rest.len());
        if semicolon < body {
            rest = &rest[semicolon + 1..];
            continue;
        }
        let mut depth = 0_usize;
        let end = rest[body..].char_indices().find(|(_, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            *c == '}' && depth == 0
        });
        rest = &rest[end.map_or(rest.len(), |(at, _)| body + at + 1)..];
    }
    kept + rest
}

/// The rooms that a piece of code names: `crate::room` and `crate::{room::.., other}`.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let word = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => drop(rooms.insert(word(rest))),
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && c.is_alphabetic() => {
                            rooms.insert(word(&group[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    rooms
}

/// Whether `code` has `word` as a whole word.
fn has_word(code: &str, word: &str) -> bool {
    let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| {
        !part_of_word(code[..at].chars().next_back()) && !part_of_word(code[at + word.len()..].chars().next())
    })
}

#[test]
fn rooms_call_only_the_rooms_that_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for source in sources()
        .into_iter()
        .filter(|source| !DOORS.contains(&source.room.as_str()))
    {
        let Some(allowed) = allowed.get(source.room.as_str()) else {
            wrong.push(format!("src/{} is in a room that the table does not know", source.path));
            continue;
        };
        for room in rooms_named(&source.code) {
            if room != source.room && !allowed.contains(&room.as_str()) {
                wrong.push(format!("src/{} names crate::{room}", source.path));
            }
            used.entry(source.room.clone()).or_default().insert(room);
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
    ("Self::Sqlite(_)", &["store/conn.rs", "config/"]),
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
            if has_word(&source.code, word) && !homes.iter().any(|home| source.path.starts_with(home)) {
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
            if has_word(&source.code, word) {
                wrong.push(format!("src/{} names {word}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_says_at_its_top_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let silent: Vec<_> = files
        .iter()
        .filter(|file| !is_test_file(file.to_str().unwrap()))
        .filter(|file| !std::fs::read_to_string(file).unwrap().starts_with("//! "))
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn the_reader_of_this_file_finds_what_it_looks_for() {
    let code = "use crate::{domain::{ids, money}, store};\nlet x = crate::vault::open(); // crate::http\n\
                let s = \"crate::jobs\"; let q = '\"'; crate::app();\n#[cfg(test)]\nmod tests { use crate::cli; {} }\n";
    let read = without_tests(&without_comments_and_strings(code));
    let rooms: Vec<String> = rooms_named(&read).into_iter().collect();
    assert_eq!(rooms, ["app", "domain", "store", "vault"]);
    assert!(has_word("use diesel::x", "diesel") && !has_word("diesel_migrations", "diesel"));
}
