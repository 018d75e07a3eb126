//! Files that name each other, directly or through others: none of them can be read, or changed, alone.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Modules, Source, sources};

/// Arrows that still close a circle, from a file (or all files that begin so) to one that leads back. Whoever opens a
/// circle takes its lines out.
const KNOWN_CIRCLES: &[(&str, &str)] = &[
    // The kinds of journal entries stand beside their replay.
    ("app/audit.rs", "app/recovery/restore.rs"),
    ("app/retention/purge.rs", "app/recovery/restore.rs"),
    ("app/subject_requests/journalled.rs", "app/recovery/restore.rs"),
    (
        "couriers/simulated/sandbox/ledger.rs",
        "couriers/simulated/sandbox/journal.rs",
    ),
    ("http/", "http/docs/openapi.rs"),
    // Rows stand beside the queries that use them, and the statements of each engine are written for those rows.
    ("store/conn.rs", "store/dialect.rs"),
    ("store/dialect", "store/intake.rs"),
    ("store/dialect", "store/orders.rs"),
    ("store/dialect", "store/personal_records.rs"),
    ("store/dialect", "store/purges.rs"),
    ("store/dialect", "store/shipments.rs"),
    ("store/dialect", "store/timeline.rs"),
    ("store/dialect", "store/vault/journal.rs"),
];

/// Which file names which, and by which path. A module and what stands inside it are one thing: they may name each
/// other, and so no circle goes through such a pair.
fn arrows(sources: &[Source]) -> BTreeMap<&str, BTreeMap<&str, String>> {
    let modules = Modules::of(sources);
    let by_path: BTreeMap<&str, &Source> = sources.iter().map(|source| (&*source.path, source)).collect();
    let mut arrows = BTreeMap::new();
    for source in sources.iter().filter(|source| source.path != "main.rs") {
        let mut named = modules.named_by(source);
        named.retain(|file, _| {
            let other = &by_path[file].module;
            !other.starts_with(&source.module) && !source.module.starts_with(other)
        });
        arrows.insert(&*source.path, named);
    }
    arrows
}

/// The files of each circle, in order.
fn circles(arrows: &BTreeMap<&str, BTreeMap<&str, String>>) -> BTreeSet<Vec<String>> {
    let reached = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(next) = open.pop() {
            for file in arrows.get(&*next).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert((*file).to_owned()) {
                    open.push((*file).to_owned());
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&str, BTreeSet<String>> = arrows.keys().map(|file| (*file, reached(file))).collect();
    let round = reached.iter().filter(|(file, reached)| reached.contains(**file));
    round
        .map(|(file, others)| {
            let back = others.iter().filter(|other| reached[&***other].contains(*file));
            back.cloned().collect()
        })
        .collect()
}

/// Whether that line of [`KNOWN_CIRCLES`] means this arrow.
fn is_known((known_from, known_to): (&str, &str), from: &str, to: &str) -> bool {
    from.starts_with(known_from) && to == known_to
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let sources = sources();
    let arrows = arrows(&sources);
    let mut without_known = arrows.clone();
    for (from, named) in &mut without_known {
        named.retain(|to, _| !KNOWN_CIRCLES.iter().any(|known| is_known(*known, from, to)));
    }
    let mut wrong = String::new();
    for circle in circles(&without_known) {
        wrong += &format!("{circle:?} is a circle:\n");
        for from in &circle {
            let within = without_known[&**from]
                .iter()
                .filter(|(to, _)| circle.iter().any(|file| file == *to));
            wrong.extend(within.map(|(to, path)| format!("    {from} -> {to} by {path}\n")));
        }
    }
    let all = circles(&arrows);
    for known in KNOWN_CIRCLES {
        let stands = all.iter().any(|circle| {
            circle.iter().any(|from| {
                let mut named = arrows[&**from].keys();
                named.any(|to| is_known(*known, from, to) && circle.iter().any(|file| file == to))
            })
        });
        if !stands {
            wrong += &format!("{known:?} closes no circle any longer: take it out of KNOWN_CIRCLES\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_circle_is_found_through_others_and_not_within_a_module() {
    let read = [
        ("a.rs", "pub mod x; use crate::b; pub struct A; use x::X;"),
        ("a/x.rs", "use super::A; pub struct X;"),
        ("b.rs", "fn f() { crate::c::g(); }"),
        ("c.rs", "use crate::a::A; use crate::d;"),
        ("d.rs", "#[cfg(test)] use crate::c;"),
    ];
    let sources = read.map(|(path, text)| Source::read(path, text));
    assert_eq!(
        circles(&arrows(&sources)),
        BTreeSet::from([vec!["a.rs".to_owned(), "b.rs".to_owned(), "c.rs".to_owned()]])
    );
}
