//! `safelight courier check NAME`: tries a courier's address, credentials and account with calls that change nothing.

use crate::cli::{Failure, out, runtime, setup};
use crate::config::Config;
use crate::couriers::registry;

/// Prints what was found in plain words.
///
/// # Errors
/// The courier is not known or not configured, or something about it is not good.
pub(super) fn check(config: &Config, name: &str) -> Result<(), Failure> {
    let known = registry::names();
    if !known.contains(&name) {
        let known = known.join(", ");
        return Err(format!("this build has no courier \"{name}\" (it has: {known})").into());
    }
    let couriers = setup::couriers_for_commands(config)?;
    let Some(courier) = couriers.get(name) else {
        let what = format!(
            "{name} is not configured: add a section [couriers.{name}]; deploy/safelight.example.toml shows its keys"
        );
        return Err(what.into());
    };
    let findings = runtime()?.block_on(courier.check());
    for finding in &findings {
        let mark = if finding.good { "ok " } else { "NOT" };
        out::print(&format!("{mark}  {}", finding.what))?;
    }
    match findings.iter().filter(|finding| !finding.good).count() {
        0 => Ok(()),
        bad => Err(format!("{bad} of {} checks of {name} failed", findings.len()).into()),
    }
}
