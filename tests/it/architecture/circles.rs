//! Files that name each other, directly or through others: none of them can be read, or changed, alone.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Modules, Source, sources};

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

#[test]
fn no_files_name_each_other_in_a_circle() {
    let sources = sources();
    let arrows = arrows(&sources);
    let mut wrong = String::new();
    for circle in circles(&arrows) {
        wrong += &format!("{circle:?} is a circle:\n");
        for from in &circle {
            let within = arrows[&**from]
                .iter()
                .filter(|(to, _)| circle.iter().any(|file| file == *to));
            wrong.extend(within.map(|(to, path)| format!("    {from} -> {to} by {path}\n")));
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
