//! The couriers' sections, as far as the configuration knows them: which keys there are, and how they are read and judged.
//! Which couriers there are says the caller of [`Config::load`](super::Config::load).

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::keys::Key;
use super::setting::{Reader, Setting, dotted};
use super::validate::Findings;

/// A courier's settings as its adapter keeps them.
pub trait CheckedSection: Any + fmt::Debug + Send + Sync {
    /// What no single value can tell.
    fn check(&self, checks: &mut Checks<'_>);

    /// What works but is probably not what anybody wants.
    fn warnings(&self) -> Vec<String>;
}

/// A section `[couriers.NAME]`.
#[derive(Debug, Clone, Copy)]
pub struct CourierSection {
    pub(super) name: &'static str,
    pub(super) keys: fn(&str, &mut Vec<Key>),
    read: fn(&str, &mut Reader<'_>) -> Option<Arc<dyn CheckedSection>>,
}

impl CourierSection {
    /// The section that is read as an `S`.
    pub const fn of<S: Setting + CheckedSection>(name: &'static str) -> Self {
        Self {
            name,
            keys: S::keys,
            read: read::<S>,
        }
    }

    /// Such as `couriers.sf`.
    pub(super) fn path(&self) -> String {
        dotted("couriers", self.name)
    }
}

fn read<S: Setting + CheckedSection>(name: &str, from: &mut Reader<'_>) -> Option<Arc<dyn CheckedSection>> {
    Some(Arc::new(S::read(name, from)?))
}

/// Every courier's section as it was loaded.
#[derive(Debug, Clone, Default)]
pub(super) struct CourierSections(Vec<(CourierSection, Arc<dyn CheckedSection>)>);

impl CourierSections {
    /// Reads all of them; `None` once what is wrong has been reported.
    pub(super) fn read(sections: &[CourierSection], from: &mut Reader<'_>) -> Option<Self> {
        // All are read before the first that is wrong ends it.
        let read: Vec<_> = sections
            .iter()
            .map(|section| Some((*section, (section.read)(&section.path(), from)?)))
            .collect();
        read.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&CourierSection, &dyn CheckedSection)> {
        self.0.iter().map(|(section, settings)| (section, &**settings))
    }

    /// The settings that are kept as an `S`.
    pub(super) fn get<S: CheckedSection>(&self) -> Option<&S> {
        self.iter().find_map(|(_, settings)| {
            let any: &dyn Any = settings;
            any.downcast_ref()
        })
    }
}

/// What a courier's check finds, and what it may look at beside its own section.
#[derive(Debug)]
pub struct Checks<'a> {
    pub(super) section: String,
    pub(super) found: &'a mut Findings,
    /// `http.public_url`.
    pub public_url: Option<&'a str>,
    /// Whether nobody but this machine can reach the service.
    pub is_loopback: bool,
    /// Whether `couriers.default` names this courier.
    pub is_default: bool,
    /// Whether `couriers.fallbacks` names this courier.
    pub is_fallback: bool,
}

impl Checks<'_> {
    /// Whether orders go to this courier without naming it.
    pub const fn is_chosen(&self) -> bool {
        self.is_default || self.is_fallback
    }

    /// Reports one of the courier's own keys unless `holds`.
    pub fn own(&mut self, holds: bool, key: &str, message: &str) {
        self.found.check(holds, &dotted(&self.section, key), message);
    }

    /// Reports a key of another section unless `holds`.
    pub fn other(&mut self, holds: bool, key: &str, message: &str) {
        self.found.check(holds, key, message);
    }

    /// One of the courier's own keys that must hold a web address.
    pub fn web_url(&mut self, key: &str, url: &str) {
        self.found.web_url(&dotted(&self.section, key), url);
    }

    /// One of the courier's own keys that must hold a web address to which recipients may be sent.
    pub fn private_url(&mut self, key: &str, url: &str) {
        self.found.private_url(&dotted(&self.section, key), url);
    }

    /// One of the courier's own keys that must hold a country.
    pub fn country(&mut self, key: &str, country: &str) {
        self.found.country(&dotted(&self.section, key), country);
    }
}
