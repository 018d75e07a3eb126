//! The places a value can come from, weakest first: defaults, file, environment, flags. Each is read into dotted keys;
//! what is no key is a problem here and goes no further. Also turns `<key>_file` into the secret that the file holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};

use super::keys::{Keys, Kind, dotted};
use super::{EXAMPLE, LoadOptions, Problem};

/// What every variable begins with. Two underscores, so that what Kubernetes sets for a service called `safelight`
/// (`SAFELIGHT_PORT` and the like) is not taken for configuration.
pub(super) const ENV_PREFIX: &str = "SAFELIGHT__";

/// The file that is read when none is named.
const FILE_NAME: &str = "safelight.toml";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Default,
    File(PathBuf),
    Environment,
    Flag,
}

impl Source {
    /// Where a key was written, for people.
    fn describe(&self, key: &str) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File(path) => format!("file {}", path.display()),
            Self::Environment => format!("environment {}", variable(key)),
            Self::Flag => "flag".to_owned(),
        }
    }
}

/// The variable that sets a key.
fn variable(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// A value and what it says where it was written; for a secret read from a file that is the `<key>_file`.
#[derive(Debug, Clone)]
struct Entry {
    written_as: String,
    value: Value,
}

/// One place's values by dotted key; only keys that there are.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    source: Source,
    entries: BTreeMap<String, Entry>,
}

impl Layer {
    fn new(source: Source) -> Self {
        Self {
            source,
            entries: BTreeMap::new(),
        }
    }

    /// Takes a value in, or says why not.
    fn put(&mut self, key: String, value: Value, keys: &Keys, problems: &mut Vec<Problem>) {
        if keys.kind_of(&key).is_some() {
            self.entries.insert(key.clone(), Entry { written_as: key, value });
            return;
        }
        let is_table = matches!(value, Value::Dict(..));
        let from_environment = self.source == Source::Environment;
        let spell = |meant: &str| {
            if from_environment {
                variable(meant)
            } else {
                meant.to_owned()
            }
        };
        let problem = Problem::new(&*key, keys.explain_unknown(&key, is_table, spell)).at(self.source.describe(&key));
        problems.push(problem);
    }

    /// Takes text in as the kind of value that the key has. Text that does not fit stays text and is refused later.
    fn put_text(&mut self, key: String, text: &str, keys: &Keys, problems: &mut Vec<Problem>) {
        let value = match keys.kind_of(&key) {
            Some(Kind::Flag) => text.trim().parse::<bool>().map(Value::from).ok(),
            Some(Kind::Number) => text.trim().parse::<u32>().map(Value::from).ok(),
            Some(Kind::Names | Kind::Networks | Kind::Secrets) => Some(list(text)),
            _ => None,
        };
        self.put(key, value.unwrap_or_else(|| Value::from(text)), keys, problems);
    }

    /// Takes a table in, down to its values.
    fn put_table(&mut self, prefix: &str, table: Dict, keys: &Keys, problems: &mut Vec<Problem>) {
        for (name, value) in table {
            let key = dotted(prefix, &name);
            match value {
                Value::Dict(_, inner) if keys.is_section(&key) => self.put_table(&key, inner, keys, problems),
                value => self.put(key, value, keys, problems),
            }
        }
    }
}

/// `a, b` or `["a", "b"]`.
fn list(text: &str) -> Value {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let entries = bare
        .split(',')
        .map(|entry| entry.trim().trim_matches('"'))
        .filter(|entry| !entry.is_empty());
    Value::from(entries.map(Value::from).collect::<Vec<_>>())
}

/// All layers, weakest first.
#[derive(Debug, Clone)]
pub(super) struct Layers(Vec<Layer>);

impl Layers {
    /// Reads every place, and the files that hold secrets.
    pub(super) fn read(options: &LoadOptions, keys: &Keys, problems: &mut Vec<Problem>) -> Self {
        let mut layers = Self(vec![
            defaults(keys, problems),
            file(options, keys, problems),
            environment(&options.env, keys, problems),
            flags(&options.flags, keys, problems),
        ]);
        layers.read_secret_files(&options.working_dir, keys, problems);
        layers
    }

    /// The value in force and where it was written; `None` for a key without a value.
    pub(super) fn in_force(&self, key: &str) -> Option<(&Value, String)> {
        self.0.iter().rev().find_map(|layer| {
            let entry = layer.entries.get(key)?;
            Some((&entry.value, layer.source.describe(&entry.written_as)))
        })
    }

    /// Whether the key's value is the default one, or it has none.
    pub(super) fn is_default(&self, key: &str) -> bool {
        self.0
            .iter()
            .all(|layer| layer.source == Source::Default || !layer.entries.contains_key(key))
    }

    fn read_secret_files(&mut self, working_dir: &Path, keys: &Keys, problems: &mut Vec<Problem>) {
        for key in keys.iter().filter(|key| key.kind.is_secret()) {
            let file_key = format!("{}_file", key.name);
            let Some((_, origin)) = self.in_force(&file_key) else {
                continue;
            };
            if !self.is_default(&key.name) {
                let message = format!("{} and {file_key} are both given: give one of them", key.name);
                problems.push(Problem::new(&*file_key, message).at(origin));
                continue;
            }
            for layer in &mut self.0 {
                let Some(Entry { value, .. }) = layer.entries.remove(&file_key) else {
                    continue;
                };
                match value.as_str().map(|path| read_secret(&working_dir.join(path))) {
                    Some(Ok(secret)) => {
                        let entry = Entry {
                            written_as: file_key.clone(),
                            value: match key.kind {
                                Kind::Secrets => lines(&secret),
                                _ => Value::from(secret),
                            },
                        };
                        layer.entries.insert(key.name.clone(), entry);
                    }
                    Some(Err(message)) => problems.push(Problem::new(&*file_key, message).at(&*origin)),
                    None => {
                        let message = format!("expected {}", Kind::Path.expected());
                        problems.push(Problem::new(&*file_key, message).at(&*origin));
                    }
                }
            }
        }
        // Where both were given: what is left has been reported and is no key of the typed configuration.
        for layer in &mut self.0 {
            layer.entries.retain(|key, _| keys.contains(key));
        }
    }
}

/// A file's text without the one newline that editors put at the end.
fn read_secret(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("the file {} cannot be read: {}", path.display(), error.kind()))?;
    let secret = text
        .strip_suffix('\n')
        .map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
    if secret.is_empty() {
        return Err(format!("the file {} is empty", path.display()));
    }
    Ok(secret.to_owned())
}

/// Every line that has something on it.
fn lines(text: &str) -> Value {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Value::from(lines.map(Value::from).collect::<Vec<_>>())
}

fn defaults(keys: &Keys, problems: &mut Vec<Problem>) -> Layer {
    toml(Source::Default, EXAMPLE, keys, problems)
}

fn file(options: &LoadOptions, keys: &Keys, problems: &mut Vec<Problem>) -> Layer {
    let name = options.file.clone().unwrap_or_else(|| PathBuf::from(FILE_NAME));
    let source = Source::File(name.clone());
    match std::fs::read_to_string(options.working_dir.join(&name)) {
        Ok(text) => toml(source, &text, keys, problems),
        Err(error) if options.file.is_none() && error.kind() == std::io::ErrorKind::NotFound => Layer::new(source),
        Err(error) => {
            problems.push(Problem::new(
                name.display().to_string(),
                format!("cannot be read: {}", error.kind()),
            ));
            Layer::new(source)
        }
    }
}

/// Reads TOML. A syntax error says line and column but shows nothing of the line, which may hold a secret.
fn toml(source: Source, text: &str, keys: &Keys, problems: &mut Vec<Problem>) -> Layer {
    let subject = source.describe("");
    let mut layer = Layer::new(source);
    match Toml::from_str::<Dict>(text) {
        Ok(table) => layer.put_table("", table, keys, problems),
        Err(error) => {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            problems.push(Problem::new(
                subject,
                format!("is not valid TOML at line {line}, column {column}"),
            ));
        }
    }
    layer
}

fn environment(variables: &[(String, String)], keys: &Keys, problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::new(Source::Environment);
    for (name, value) in variables {
        let Some(name) = name.strip_prefix(ENV_PREFIX) else {
            continue;
        };
        let key = name.to_lowercase().replace("__", ".");
        if value.contains(char::REPLACEMENT_CHARACTER) {
            problems.push(Problem::new(&*key, "is not valid UTF-8").at(layer.source.describe(&key)));
            continue;
        }
        layer.put_text(key, value, keys, problems);
    }
    layer
}

fn flags(flags: &[(&'static str, String)], keys: &Keys, problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::new(Source::Flag);
    for (key, value) in flags {
        layer.put_text((*key).to_owned(), value, keys, problems);
    }
    layer
}
