//! Configuration: defaults < `safelight.toml` < environment < flags, typed, checked, and refused where a key is unknown.
//!
//! The one room that reads the environment. It opens configuration and secret files, nothing else; it neither makes
//! folders nor connects to anything. Errors name keys and say what is expected; they never repeat a value, for any
//! value may be a secret in the wrong place.

mod checks;
mod courier;
mod database_url;
pub mod duration;
mod effective;
mod keys;
mod layers;
mod problem;
mod proxies;
mod rate;
mod sections;
mod setting;
mod validate;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use courier::CourierSections;
use effective::Effective;
use keys::Keys;
use layers::Layers;

pub use checks::{Checks, is_readable_on_the_way};
pub use courier::{CheckedSection, CourierSection};
pub use database_url::{DatabaseUrl, DatabaseUrlError};
pub use keys::{Key, Kind, dotted};
pub use problem::{ConfigError, Problem};
pub use proxies::TrustedProxies;
pub use rate::Rate;
pub use sections::{
    ClockConfig, CouriersConfig, DatabaseConfig, HttpConfig, IntakeConfig, JobsConfig, LogConfig, LogFormat,
    ParcelConfig, PrintConfig, RateLimitConfig, RetentionConfig, SenderConfig, VaultConfig,
};
pub(crate) use setting::section;
pub use setting::{Reader, Setting};

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

section! {
    /// The whole configuration, checked. Debug shows no secret.
    pub struct Config {
        /// The HTTP server.
        pub http: HttpConfig,
        /// The orders database.
        pub database: DatabaseConfig,
        /// The keys and the journal.
        pub vault: VaultConfig,
        /// How long a person is kept.
        pub retention: RetentionConfig,
        /// The print queue.
        pub print: PrintConfig,
        /// The shop.
        pub sender: SenderConfig,
        /// What is in every parcel.
        pub parcel: ParcelConfig,
        /// Which courier carries; the couriers' own sections are read by [`courier`](Self::courier).
        pub couriers: CouriersConfig,
        /// How fast business time runs.
        pub clock: ClockConfig,
        /// How orders are written.
        pub intake: IntakeConfig,
        /// The workers.
        pub jobs: JobsConfig,
        /// What is logged, and how.
        pub log: LogConfig,
    }
    beside {
        courier_sections: CourierSections,
        effective: Effective,
    }
}

impl Config {
    /// Reads, merges and checks. `couriers` are the sections that there are under `[couriers]`. Relative paths in the
    /// result start from `options.working_dir`.
    ///
    /// # Errors
    /// Every problem found: files that cannot be read, unknown keys, wrong types, values that contradict each other.
    pub fn load(options: &LoadOptions, couriers: &[CourierSection]) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let keys = keys_with(couriers);
        let layers = Layers::read(options, &keys, &mut problems);
        let mut reader = Reader::new(&layers, &mut problems);
        // Both are read before either counts: all values of a wrong type are reported.
        let (config, sections) = (
            Self::read("", &mut reader),
            CourierSections::read(couriers, &mut reader),
        );
        let (Some(mut config), Some(sections)) = (config, sections) else {
            return Err(ConfigError { problems });
        };
        config.courier_sections = sections;
        config.effective = Effective::new(&keys, &layers);
        config.start_paths_from(&options.working_dir);
        problems.extend(config.judged());
        ConfigError::unless_empty(problems).map(|()| config)
    }

    /// The settings of the courier that keeps them as an `S`; `None` where its section was not given to [`load`](Self::load).
    pub fn courier<S: CheckedSection>(&self) -> Option<&S> {
        self.courier_sections.get()
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

/// The keys of [`Config`] and of these couriers' sections.
fn keys_with(couriers: &[CourierSection]) -> Keys {
    let (mut all, mut of_couriers) = (Vec::new(), Vec::new());
    Config::keys("", &mut all);
    for courier in couriers {
        courier.keys(&mut of_couriers);
    }
    Keys::new(all, couriers.iter().map(CourierSection::name).collect(), of_couriers)
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
