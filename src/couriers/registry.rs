//! The couriers of this build: one line each in `REGISTRY`. What a courier is configured by, when its settings hold and
//! how its adapter is made of them is said in its own folder, by its `Settings` and its [`Adapter`].

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{CheckedSection, Checks, Config, CourierSection, Key, Reader, Setting, section};
use crate::couriers::adapter::{Adapter, BuildError, CourierSettings, Endpoint, Parts};
use crate::couriers::{Configured, Couriers};

/// Every courier that this build can speak to, in the order in which they are named to people.
const REGISTRY: &[Registered] = &[
    Registered::of::<super::simulated::Simulated>(),
    Registered::of::<super::sf::Sf>(),
    Registered::of::<super::kuaidi100::Kuaidi100>(),
    Registered::of::<super::easypost::Easypost>(),
    Registered::of::<super::karrio::Karrio>(),
];

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
    const fn of<A: Adapter>() -> Self {
        let name = <A::Settings as CourierSettings>::NAME;
        Self {
            name,
            section: CourierSection::of::<Section<A::Settings>>(name),
            build: build::<A>,
        }
    }
}

fn build<A: Adapter>(
    config: &Config,
    clock: &Clock,
    simulated: Option<&Endpoint>,
) -> Result<Option<Configured>, BuildError> {
    let Some(section) = config.courier::<Section<A::Settings>>() else {
        return Ok(None);
    };
    let parts = Parts {
        timeout: section.common.timeout,
        clock,
        public_url: config.http.public_url.as_deref(),
        simulated,
    };
    let adapter = A::build(&section.own, &parts)?;
    Ok(adapter.map(|adapter| Configured {
        courier: Arc::new(adapter),
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

impl Couriers {
    /// Whether there is such a courier: in this build, whether or not it is configured, or among the configured ones.
    pub fn knows(&self, name: &str) -> bool {
        names().contains(&name) || self.get(name).is_some()
    }
}
