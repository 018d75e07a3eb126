//! `safelight sandbox-courier`: the simulated courier as a server of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::cli::{Failure, embedded, out, reachable, runtime, setup, start_log};
use crate::clock::{Clock, Scale, WallTime};
use crate::config::{Config, DatabaseUrl, LoadOptions};
use crate::couriers::simulated::sandbox::{self, Faults, SandboxConfig};
use crate::privacy::Secret;

/// How it runs.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Where parcels are remembered: references, ordinals, times and faults, no person.
    #[arg(long, value_name = "FILE", default_value = "data/sandbox-courier.jsonl")]
    state: PathBuf,
    /// Where webhooks go (default: /webhooks/simulated at http.listen).
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// What webhooks are signed with (default: couriers.simulated.webhook_secret; without one it is made and printed).
    #[arg(long, value_name = "whsec_...")]
    webhook_secret: Option<String>,
    /// The same, from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "webhook_secret")]
    webhook_secret_file: Option<PathBuf>,
    /// How fast parcels live (default: clock.speed).
    #[arg(long, value_name = "TIMES")]
    speed: Option<u32>,
    /// When business time began to run faster, in microseconds since 1970 (default: what the orders database says, so that
    /// both agree on the time of day; now, where it says nothing).
    #[arg(long, value_name = "MICROS")]
    origin: Option<i64>,
    /// A fault: NAME[=PROBABILITY][,times=N][,delay=S][,code=WORD][,on=book+query+cancel]. May be repeated.
    #[arg(long, value_name = "FAULT")]
    fault: Vec<String>,
}

/// Runs until it is told to stop.
///
/// # Errors
/// In words for whoever typed it.
pub(super) fn run(options: Options) -> Result<(), Failure> {
    let config = setup::load(&LoadOptions {
        env: crate::config::environment(),
        ..LoadOptions::default()
    })?;
    let _log = start_log(&config.log)?;
    let (secret, made) = match (options.webhook_secret, options.webhook_secret_file) {
        (Some(secret), _) => (secret, false),
        (None, Some(file)) => (std::fs::read_to_string(file)?.trim_end().to_owned(), false),
        (None, None) => match &setup::simulated_settings(&config)?.webhook_secret {
            Some(secret) => (secret.expose().clone(), false),
            None => (embedded::new_secret(), true),
        },
    };
    let faults = Faults::from_flags(options.fault.iter().map(String::as_str))?;
    let clock = match options.speed.unwrap_or(config.clock.speed) {
        0 | 1 => Clock::system(),
        speed => {
            let now = Clock::system().wall_now();
            let given = options.origin.and_then(WallTime::from_timestamp_micros);
            let origin = given.or_else(|| stored_origin(&config, speed)).unwrap_or(now);
            Clock::scaled(Scale { origin, speed })
        }
    };
    let webhook_url = options
        .webhook_url
        .unwrap_or_else(|| format!("http://{}/webhooks/simulated", reachable(config.http.listen)));
    if let Some(folder) = options.state.parent() {
        std::fs::create_dir_all(folder)?;
    }
    runtime()?.block_on(async {
        let running = sandbox::start(
            SandboxConfig {
                listen: options.listen,
                state_file: options.state,
                webhook_url: Some(webhook_url),
                webhook_secret: Secret::new(secret.clone()),
                faults,
            },
            clock,
        )?;
        out::print(&format!("the simulated courier listens on {}", running.base_url()))?;
        if made {
            out::print(&format!("couriers.simulated.webhook_secret = \"{secret}\""))?;
        }
        super::serve::told_to_stop().await?;
        running.stop().await;
        Ok(())
    })
}

/// The origin that the service's clock is scaled from, where its database is there and knows.
fn stored_origin(config: &Config, speed: u32) -> Option<WallTime> {
    if let DatabaseUrl::Sqlite(path) = &config.database.url
        && !path.exists()
    {
        return None;
    }
    setup::stored_scale(config)
        .filter(|scale| scale.speed == speed)
        .map(|scale| scale.origin)
}
