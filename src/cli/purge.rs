//! `safelight purge`: what retention would do, or do it now. Works beside a running service.

use crate::app;
use crate::cli::{Failure, out, runtime, setup};
use crate::config::Config;
use crate::domain::actor::Actor;

/// Purges what is due, or says what would be.
///
/// # Errors
/// In words for whoever typed it.
pub(super) fn run(config: &Config, dry_run: bool) -> Result<(), Failure> {
    let app = setup::app(config, Some(setup::simulated_for_commands(config)?))?;
    let report = runtime()?.block_on(app::retention::purge::run(&app, &Actor::CommandLine, dry_run))?;
    let did = if dry_run { "would be purged" } else { "purged" };
    let count = if dry_run { report.due } else { report.purged };
    out::print(&format!("{count} orders {did}; {} due and held", report.held))?;
    Ok(())
}
