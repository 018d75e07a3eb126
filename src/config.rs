//! Configuration: defaults < `safelight.toml` < environment < flags, typed, checked, and refused where a key is unknown.
//!
//! The one room that reads the environment. It opens configuration and secret files, nothing else; it neither makes
//! folders nor connects to anything. Errors name keys and say what is expected; they never repeat a value, for any
//! value may be a secret in the wrong place.

mod database_url;
pub mod duration;
mod effective;
mod keys;
mod layers;
mod problem;
mod proxies;
mod rate;
mod sections;
mod validate;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind as Refusal;
use serde::Deserialize;

use effective::Effective;
use layers::Layers;

pub use database_url::{DatabaseUrl, DatabaseUrlError};
pub use keys::COURIERS;
pub use problem::{ConfigError, Problem};
pub use proxies::TrustedProxies;
pub use rate::Rate;
pub use sections::{
    ClockConfig, CouriersConfig, DatabaseConfig, HttpConfig, IntakeConfig, JobsConfig, Kuaidi100Config, LogConfig,
    LogFormat, ParcelConfig, PrintConfig, RateLimitConfig, RetentionConfig, SenderConfig, SfConfig, SimulatedConfig,
    VaultConfig,
};

/// The commented example, which is where the defaults are.
pub const EXAMPLE: &str = include_str!("../deploy/safelight.example.toml");

/// Where to look for values.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// `--config`: must exist. Otherwise `safelight.toml` is read where there is one.
    pub file: Option<PathBuf>,
    /// What relative paths start from; empty for the process's own.
    pub working_dir: PathBuf,
    /// Variables and their values, as [`environment`] gives them; others than `SAFELIGHT__...` are not looked at.
    pub env: Vec<(String, String)>,
    /// Dotted keys that flags on the command line set.
    pub flags: Vec<(&'static str, String)>,
}

/// The whole configuration, checked. Debug shows no secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The door.
    pub http: HttpConfig,
    /// The orders.
    pub database: DatabaseConfig,
    /// The keys and the journal.
    pub vault: VaultConfig,
    /// How long a person is kept.
    pub retention: RetentionConfig,
    /// The print floor.
    pub print: PrintConfig,
    /// The shop.
    pub sender: SenderConfig,
    /// What is in every parcel.
    pub parcel: ParcelConfig,
    /// Who carries.
    pub couriers: CouriersConfig,
    /// How fast business time runs.
    pub clock: ClockConfig,
    /// How orders are written.
    pub intake: IntakeConfig,
    /// The workers.
    pub jobs: JobsConfig,
    /// What is said, and how.
    pub log: LogConfig,
    #[serde(skip)]
    effective: Effective,
}

impl Config {
    /// Reads, merges and checks. Relative paths in the result start from `options.working_dir`.
    ///
    /// # Errors
    /// Every problem found: files that cannot be read, unknown keys, wrong types, values that contradict each other.
    pub fn load(options: &LoadOptions) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut layers = Layers::read(options, &mut problems);
        let typed = extract(&mut layers, &mut problems);
        let Some(mut config) = typed else {
            return Err(ConfigError { problems });
        };
        config.effective = Effective::of(&layers);
        config.start_paths_from(&options.working_dir);
        problems.extend(config.judged());
        ConfigError::unless_empty(problems).map(|()| config)
    }

    /// Checks what no single value can tell; `load` has done so already.
    ///
    /// # Errors
    /// Every problem found.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::unless_empty(self.judged())
    }

    /// What works but is probably not what anybody wants, for the log and `check-config`.
    pub fn warnings(&self) -> Vec<String> {
        validate::warnings(self)
    }

    /// Every key with its value as loaded and where it comes from, as TOML. Secrets are `***`.
    pub fn effective_toml(&self) -> String {
        self.effective.to_toml()
    }

    /// Whether nobody has set this key (for hints such as "this is the placeholder").
    fn is_default(&self, key: &str) -> bool {
        self.effective.is_default(key)
    }

    fn judged(&self) -> Vec<Problem> {
        let blame = |problem: Problem| match self.effective.origin(&problem.subject) {
            Some(origin) => problem.at(origin),
            None => problem,
        };
        validate::problems(self).into_iter().map(blame).collect()
    }

    fn start_paths_from(&mut self, folder: &Path) {
        let vault = &mut self.vault;
        let databases = [&mut self.database.url, &mut vault.url]
            .into_iter()
            .filter_map(|url| match url {
                DatabaseUrl::Sqlite(path) => Some(path),
                DatabaseUrl::Postgres(_) => None,
            });
        let optional = [
            &mut vault.master_key_previous_file,
            &mut vault.journal_mirror,
            &mut self.log.file,
        ];
        for path in databases
            .chain([&mut vault.master_key_file])
            .chain(optional.into_iter().flatten())
        {
            *path = folder.join(&*path);
        }
    }
}

/// Makes typed values of the layers. Figment stops at the first value that does not fit, so that value is reported and
/// forgotten, and the rest is tried again with its default: all of them are found. `None` if there was any.
fn extract(layers: &mut Layers, problems: &mut Vec<Problem>) -> Option<Config> {
    let mut fits = true;
    loop {
        let figment = layers
            .iter()
            .fold(Figment::new(), |figment, layer| figment.merge(layer));
        let error = match figment.extract::<Config>() {
            Ok(config) => return fits.then_some(config),
            Err(error) => error,
        };
        fits = false;
        let path = error.path.join(".");
        // An element of a list is refused under its index.
        let key = keys::KEYS
            .iter()
            .find(|key| path == key.name || path.starts_with(&format!("{}.", key.name)));
        let message = match (&error.kind, key) {
            // The house's own types: their messages never repeat the value.
            (Refusal::Message(message), Some(key)) if speaks_for_itself(key.kind) => message.clone(),
            (_, Some(key)) => format!("expected {}", key.kind.expected()),
            (_, None) => "does not fit".to_owned(),
        };
        let problem = Problem::new(key.map_or(path.as_str(), |key| key.name), message);
        let origin = key.and_then(|key| layers.in_force(key.name)).map(|(_, origin)| origin);
        problems.push(origin.into_iter().fold(problem, Problem::at));
        if !key.is_some_and(|key| layers.forget(key.name)) {
            return None;
        }
    }
}

/// Kinds whose type says in its own words what is wrong, without repeating the value.
const fn speaks_for_itself(kind: keys::Kind) -> bool {
    matches!(kind, keys::Kind::Database)
}

/// The process's variables that configure Safelight, for [`LoadOptions::env`]. Bytes that are not UTF-8 become
/// replacement characters, which `load` refuses.
#[expect(clippy::disallowed_methods, reason = "this is the one home of the environment")]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .filter(|(name, _)| name.starts_with(layers::ENV_PREFIX))
        .collect()
}
