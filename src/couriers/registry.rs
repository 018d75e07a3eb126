//! The couriers of this build: one line each in [`REGISTRY`]. What a courier is configured by, when its settings hold and
//! how its adapter is made of them is said in its own folder, by its `Settings`.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{CheckedSection, Checks, Config, CourierSection, Key, Reader, Setting, section};
use crate::couriers::simulated::Endpoint;
use crate::couriers::{Configured, Courier, easypost, karrio, kuaidi100, sf, simulated};

/// Every courier that this build can speak to, in the order in which they are named to people.
const REGISTRY: &[Registered] = &[
    Registered::of::<simulated::Settings>(),
    Registered::of::<sf::Settings>(),
    Registered::of::<kuaidi100::Settings>(),
    Registered::of::<easypost::Settings>(),
    Registered::of::<karrio::Settings>(),
];

/// Why an adapter cannot be made of its settings, in words for whoever wrote them.
pub type BuildError = Box<dyn std::error::Error + Send + Sync>;

/// What an adapter makes of its section `[couriers.NAME]`: the struct's fields are the section's keys.
pub trait CourierSettings: Setting + fmt::Debug + Send + Sync + 'static {
    /// The name in orders, paths and configuration.
    const NAME: &'static str;

    /// What no single value can tell, also where the courier is not in use.
    fn check(&self, checks: &mut Checks<'_>);

    /// What works but is probably not what anybody wants.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// The adapter; `None` where the courier is not in use, for it lacks credentials.
    ///
    /// # Errors
    /// In words for whoever wrote the configuration.
    fn build(&self, parts: &Parts<'_>) -> Result<Option<Arc<dyn Courier>>, BuildError>;
}

/// What an adapter may need besides its own settings.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Wall time that one call may take.
    pub timeout: Duration,
    /// Stamps what is sent.
    pub clock: &'a Clock,
    /// `http.public_url`.
    pub public_url: Option<&'a str>,
    /// Where the simulated courier is.
    pub simulated: Option<&'a Endpoint>,
}

section! {
    /// The keys that every courier has.
    struct Common {
        /// The country it handles data in, two letters, ISO 3166.
        region: String,
        /// Wall time that one call may take, more than 0.
        timeout: Duration,
    }
}

/// A courier's whole section: its own keys, then those that every courier has.
#[derive(Debug)]
struct Section<S> {
    own: S,
    common: Common,
}

impl<S: CourierSettings> Setting for Section<S> {
    fn keys(name: &str, into: &mut Vec<Key>) {
        S::keys(name, into);
        Common::keys(name, into);
    }

    fn read(name: &str, from: &mut Reader<'_>) -> Option<Self> {
        // Both are read before either counts: all that is wrong is reported.
        let (own, common) = (S::read(name, from), Common::read(name, from));
        Some(Self {
            own: own?,
            common: common?,
        })
    }
}

impl<S: CourierSettings> CheckedSection for Section<S> {
    fn check(&self, checks: &mut Checks<'_>) {
        checks.country("region", &self.common.region);
        checks.own(!self.common.timeout.is_zero(), "timeout", "must be more than 0");
        self.own.check(checks);
    }

    fn warnings(&self) -> Vec<String> {
        self.own.warnings()
    }
}

/// A courier of this build.
struct Registered {
    name: &'static str,
    section: CourierSection,
    build: Build,
}

type Build = fn(&Config, &Clock, Option<&Endpoint>) -> Result<Option<Configured>, BuildError>;

impl Registered {
    const fn of<S: CourierSettings>() -> Self {
        Self {
            name: S::NAME,
            section: CourierSection::of::<Section<S>>(S::NAME),
            build: build::<S>,
        }
    }
}

fn build<S: CourierSettings>(
    config: &Config,
    clock: &Clock,
    simulated: Option<&Endpoint>,
) -> Result<Option<Configured>, BuildError> {
    let Some(section) = config.courier::<Section<S>>() else {
        return Ok(None);
    };
    let adapter = section.own.build(&Parts {
        timeout: section.common.timeout,
        clock,
        public_url: config.http.public_url.as_deref(),
        simulated,
    })?;
    Ok(adapter.map(|courier| Configured {
        courier,
        region: section.common.region.clone(),
    }))
}

/// The names of all couriers of this build.
pub fn names() -> Vec<&'static str> {
    REGISTRY.iter().map(|one| one.name).collect()
}

/// The sections of all couriers of this build, for [`Config::load`].
pub fn sections() -> Vec<CourierSection> {
    REGISTRY.iter().map(|one| one.section).collect()
}

/// A courier's own settings; `None` where its section was not loaded.
pub fn settings<S: CourierSettings>(config: &Config) -> Option<&S> {
    config.courier::<Section<S>>().map(|section| &section.own)
}

/// Every courier that is in use, with the simulated one at that place.
///
/// # Errors
/// In words for whoever wrote the configuration.
pub fn configured(config: &Config, clock: &Clock, simulated: Option<&Endpoint>) -> Result<Vec<Configured>, BuildError> {
    let built = REGISTRY.iter().map(|one| (one.build)(config, clock, simulated));
    built.filter_map(Result::transpose).collect()
}
