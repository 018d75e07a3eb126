//! Reads `src/` with a real parser: what each file names, wherever it stands: in `use`, in code, in the arguments of
//! macros and attributes. Comments and strings name nothing; what is compiled for tests alone is not read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta, UseTree};

/// A path as it is written, from its first word to its last.
pub(crate) type Words = Vec<String>;

/// One file of the program.
pub(crate) struct Source {
    /// Relative to `src/`.
    pub(crate) path: String,
    /// The first folder: `store` for `store.rs` and for `store/conn.rs`.
    pub(crate) room: String,
    /// The module that the file is: `app`, `orders`, `place`.
    pub(crate) module: Words,
    /// Every path that it names, beside the module (of this file, or inline in it) that names it.
    pub(crate) named: Vec<(Words, Words)>,
    /// What `use` brings into each module: the name there, and the whole path.
    imported: BTreeMap<(Words, String), Words>,
    /// Modules that `mod` declares in it, and whether for tests alone.
    declared: BTreeMap<Words, bool>,
}

/// `src/`.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file, but for those of tests.
pub(crate) fn sources() -> Vec<Source> {
    let root = root();
    let files = files(&root);
    assert!(files.len() > 50, "src/ was not read");
    let sources = files.iter().map(|file| {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap();
        Source::read(path, &std::fs::read_to_string(file).unwrap())
    });
    let sources: Vec<Source> = sources.collect();
    let declared = sources.iter().flat_map(|source| &source.declared);
    let of_tests: BTreeSet<Words> = declared
        .filter(|(_, for_tests)| **for_tests)
        .map(|(module, _)| module.clone())
        .collect();
    let is_for_tests = |module: &[String]| (1..=module.len()).any(|end| of_tests.contains(&module[..end]));
    sources
        .into_iter()
        .filter(|source| !is_for_tests(&source.module))
        .collect()
}

/// Every Rust file below that folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

impl Source {
    /// Reads one file.
    pub(crate) fn read(path: &str, text: &str) -> Self {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("src/{path}: {error}"));
        let mut module: Words = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod" || last == "lib") {
            module.pop();
        }
        let mut reader = Reader {
            module: module.clone(),
            ..Reader::default()
        };
        reader.visit_file(&file);
        Self {
            room: path.split(['/', '.']).next().unwrap().to_owned(),
            path: path.to_owned(),
            module,
            named: reader.named,
            imported: reader.imported,
            declared: reader.declared,
        }
    }

    /// Whether it names these words, one after the other, in one path.
    pub(crate) fn names(&self, words: &str) -> bool {
        let words: Vec<&str> = words.split("::").collect();
        let mut paths = self.named.iter().map(|(_, path)| path);
        paths.any(|path| path.windows(words.len()).any(|window| window == words))
    }
}

/// The whole crate's modules, to find out where a path leads.
pub(crate) struct Modules<'a> {
    files: BTreeMap<&'a [String], &'a Source>,
}

impl<'a> Modules<'a> {
    pub(crate) fn of(sources: &'a [Source]) -> Self {
        Self {
            files: sources.iter().map(|source| (&*source.module, source)).collect(),
        }
    }

    /// The files that a file names, without itself, and a path by which it names each.
    pub(crate) fn named_by(&self, source: &Source) -> BTreeMap<&'a str, String> {
        let mut files = BTreeMap::new();
        for (module, path) in &source.named {
            if let Some(whole) = self.whole(source, module, path)
                && let Some(file) = self.home(&whole, 0)
                && file.path != source.path
            {
                files.entry(&*file.path).or_insert_with(|| path.join("::"));
            }
        }
        files
    }

    /// A path as written in a module of that file, from the crate on; nothing where it leads to another crate.
    fn whole(&self, source: &Source, module: &[String], path: &[String]) -> Option<Words> {
        let (first, rest) = path.split_first()?;
        let below = |module: &[String]| Some([module, rest].concat());
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => below(module),
            "super" => {
                let (_, parent) = module.split_last()?;
                match rest.first().map(String::as_str) {
                    Some("super") => self.whole(source, parent, rest),
                    _ => below(parent),
                }
            }
            name => match source.imported.get(&(module.to_vec(), name.to_owned())) {
                // `use foo::foo` of another crate names itself.
                Some(import) if import.first() == Some(first) => None,
                Some(import) => {
                    let import = self.whole(source, module, import)?;
                    Some([import, rest.to_vec()].concat())
                }
                None => {
                    let child = [module, &path[..1]].concat();
                    let is_module = source.declared.contains_key(&child);
                    is_module.then(|| [module, path].concat())
                }
            },
        }
    }

    /// The file in which the thing stands, through whoever passes it on by `pub use`.
    fn home(&self, whole: &[String], passed: usize) -> Option<&'a Source> {
        let end = (1..=whole.len())
            .rev()
            .find(|end| self.files.contains_key(&whole[..*end]))?;
        let file = self.files[&whole[..end]];
        if let Some(name) = whole.get(end)
            && passed < 8
            && let Some(import) = file.imported.get(&(file.module.clone(), name.clone()))
            && let Some(onward) = self.whole(file, &file.module, import)
        {
            return self.home(&[onward, whole[end + 1..].to_vec()].concat(), passed + 1);
        }
        Some(file)
    }
}

#[derive(Default)]
struct Reader {
    module: Words,
    named: Vec<(Words, Words)>,
    imported: BTreeMap<(Words, String), Words>,
    declared: BTreeMap<Words, bool>,
}

impl Reader {
    fn name(&mut self, path: Words) {
        self.named.push((self.module.clone(), path));
    }

    /// `use a::{b, c as d}` names `a::b` and `a::c`.
    fn import(&mut self, tree: &UseTree, before: &Words) {
        let with = |ident: &syn::Ident| {
            let mut path = before.clone();
            path.push(ident.to_string());
            path
        };
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before)),
            UseTree::Glob(_) => self.name(before.clone()),
            UseTree::Name(name) if name.ident == "self" => self.bring(before.last().unwrap(), before.clone()),
            UseTree::Name(name) => self.bring(&name.ident.to_string(), with(&name.ident)),
            UseTree::Rename(rename) => self.bring(&rename.rename.to_string(), with(&rename.ident)),
        }
    }

    fn bring(&mut self, name: &str, path: Words) {
        self.imported
            .insert((self.module.clone(), name.to_owned()), path.clone());
        self.name(path);
    }

    /// The paths in the arguments of a macro or an attribute, in which nothing is parsed yet.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Words::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 && !path.is_empty() {
                        self.name(std::mem::take(&mut path));
                    }
                    colons = 0;
                    path.push(ident.to_string());
                }
                other => {
                    colons = 0;
                    if !path.is_empty() {
                        self.name(std::mem::take(&mut path));
                    }
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        if !path.is_empty() {
            self.name(path);
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if let Item::Mod(declared) = item {
            let child = [&*self.module, &[declared.ident.to_string()]].concat();
            self.declared.insert(child, for_tests(&declared.attrs));
        }
        if !for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &Words::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.name(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if signature.asyncness.is_some() {
            self.name(vec!["async".to_owned()]);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.name(vec!["async".to_owned()]);
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        if closure.asyncness.is_some() {
            self.name(vec!["async".to_owned()]);
        }
        visit::visit_expr_closure(self, closure);
    }

    fn visit_expr_await(&mut self, waiting: &'ast syn::ExprAwait) {
        self.name(vec!["await".to_owned()]);
        visit::visit_expr_await(self, waiting);
    }
}

#[test]
fn what_a_file_names_is_found_wherever_it_stands() {
    let text = r##"
        //! `crate::http` in a comment.
        use crate::{domain::{ids, money as cash}, store};
        use std::{fs, net::{self, TcpStream}};
        #[derive(diesel::Queryable)]
        struct Row(#[serde(with = "crate::vault")] u8);
        async fn waits() {
            let s = "crate::jobs"; let r = r#"crate::jobs"#; let q = '"';
            tracing::info!(id = %crate::app::id(), "said", it = { super::other(ids::new()) });
            if matches!(conn, AnyConn::Sqlite(_)) { later().await; }
        }
        mod inner { fn f() { super::super::up(); let _: [cash::Money; 1]; } }
        #[cfg(test)]
        mod tests { use crate::cli; }
        impl Row { #[cfg(test)] fn only() { crate::cli::run(); } }
    "##;
    let source = Source::read("rooms/one.rs", text);
    for there in [
        "crate::domain::ids",
        "crate::domain::money",
        "crate::store",
        "crate::app::id",
        "super::super::up",
        "std::fs",
        "std::net",
        "std::net::TcpStream",
        "diesel",
        "AnyConn::Sqlite",
        "async",
        "await",
        "tracing",
    ] {
        assert!(source.names(there), "{there}");
    }
    for absent in [
        "crate::http",
        "crate::jobs",
        "crate::vault",
        "crate::cli",
        "diesel_migrations",
        "fs::net",
    ] {
        assert!(!source.names(absent), "{absent}");
    }
}

#[test]
fn a_path_is_followed_to_the_file_in_which_its_thing_stands() {
    let read = [
        ("store.rs", "pub mod conn; pub mod orders; pub use conn::AnyConn;"),
        ("store/conn.rs", "pub struct AnyConn; use super::orders;"),
        (
            "store/orders.rs",
            "use crate::store::{self, AnyConn}; fn f() { store::rows::g(); }",
        ),
        (
            "store/rows.rs",
            "mod wire; fn g() { wire::h(); inner::i(); } mod inner { use super::super::conn::X; }",
        ),
        (
            "store/rows/wire.rs",
            "use serde::Serialize; fn h() { Serialize::f(); orders::g() }",
        ),
    ];
    let sources = read.map(|(path, text)| Source::read(path, text));
    let modules = Modules::of(&sources);
    let named = |index: usize| -> Vec<&str> { modules.named_by(&sources[index]).into_keys().collect() };
    assert_eq!(named(0), ["store/conn.rs"]);
    assert_eq!(named(1), ["store/orders.rs"]);
    assert_eq!(named(2), ["store.rs", "store/conn.rs", "store/rows.rs"]);
    assert_eq!(named(3), ["store/conn.rs", "store/rows/wire.rs"]);
    assert!(named(4).is_empty());
}
