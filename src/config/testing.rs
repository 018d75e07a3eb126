//! A configuration for one test: a working folder with a `safelight.toml`, and what else is set.

use tempfile::TempDir;

use super::{Config, LoadOptions};
use crate::couriers::registry;

pub(crate) struct Given {
    pub(crate) folder: TempDir,
    pub(crate) options: LoadOptions,
}

pub(crate) fn given(toml: &str) -> Given {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("safelight.toml"), toml).unwrap();
    let options = LoadOptions {
        working_dir: folder.path().to_owned(),
        ..LoadOptions::default()
    };
    Given { folder, options }
}

impl Given {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.options.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn flag(mut self, key: &'static str, value: &str) -> Self {
        self.options.flags.push((key, value.to_owned()));
        self
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    pub(crate) fn load(&self) -> Config {
        load(&self.options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Every problem, a line each.
    pub(crate) fn refused(&self) -> Vec<String> {
        load(&self.options)
            .expect_err("refused")
            .problems
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[track_caller]
    pub(crate) fn is_refused_with(&self, expected: &str) {
        let problems = self.refused();
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{expected:?} is not in {problems:#?}"
        );
    }
}

/// As the service loads it, with every courier of this build.
pub(crate) fn load(options: &LoadOptions) -> Result<Config, super::ConfigError> {
    Config::load(options, &registry::sections())
}
