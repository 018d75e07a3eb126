//! The couriers' sections, as far as the configuration knows them: which keys there are, and how they are read and judged.
//! Which couriers there are says the caller of [`Config::load`](super::Config::load).

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::checks::Checks;
use super::keys::{Key, dotted};
use super::setting::{Reader, Setting};

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
    name: &'static str,
    keys: fn(&str, &mut Vec<Key>),
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

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn keys(&self, into: &mut Vec<Key>) {
        (self.keys)(&self.path(), into);
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
