//! What a courier's folder gives to the [`registry`](super::registry): its settings, and the adapter that is made of them.

use std::fmt;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Checks, Setting};
use crate::couriers::Courier;
use crate::privacy::Secret;

/// A courier's own keys in its section `[couriers.NAME]`: the struct's fields.
pub trait CourierSettings: Setting + fmt::Debug + Send + Sync + 'static {
    /// The name in orders, paths and configuration.
    const NAME: &'static str;

    /// What no single value can tell, also where the courier is not in use.
    fn check(&self, checks: &mut Checks<'_>);

    /// What works but is probably not what anybody wants.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A courier that can be made of its settings.
pub trait Adapter: Courier + Sized + 'static {
    /// Its section of the configuration.
    type Settings: CourierSettings;

    /// The adapter; `None` where the courier is not in use, for it lacks credentials.
    ///
    /// # Errors
    /// In words for whoever wrote the configuration.
    fn build(settings: &Self::Settings, parts: &Parts<'_>) -> Result<Option<Self>, BuildError>;
}

/// Why an adapter cannot be made of its settings, in words for whoever wrote them.
pub type BuildError = Box<dyn std::error::Error + Send + Sync>;

/// What an adapter may need besides its own settings.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Wall time that one call may take.
    pub timeout: Duration,
    /// Stamps what is sent.
    pub clock: &'a Clock,
    /// `http.public_url`.
    pub public_url: Option<&'a str>,
    /// Where the simulated courier is: known only once it runs.
    pub simulated: Option<&'a Endpoint>,
}

/// Where the simulated courier is, and the secret that it signs with.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `http://host:port`, with or without a path.
    pub base_url: String,
    /// `whsec_...`.
    pub webhook_secret: Secret<String>,
}
