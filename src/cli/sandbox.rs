//! `safelight sandbox-courier`: the simulated courier as a server of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::cli::{Failure, out, runtime, start_log};
use crate::clock::{Clock, Scale};
use crate::config::{Config, LoadOptions};
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
    /// Where webhooks go.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/webhooks/simulated")]
    webhook_url: String,
    /// What webhooks are signed with: the service's couriers.simulated.webhook_secret.
    #[arg(long, value_name = "whsec_...", required_unless_present = "webhook_secret_file")]
    webhook_secret: Option<String>,
    /// The same, from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "webhook_secret")]
    webhook_secret_file: Option<PathBuf>,
    /// How fast parcels live: the service's clock.speed.
    #[arg(long, value_name = "TIMES", default_value_t = 1)]
    speed: u32,
    /// When business time began to run faster, in microseconds since 1970 (default: now). With the service's own
    /// origin both agree on the time of day.
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
    let defaults = Config::load(&LoadOptions {
        env: crate::config::environment(),
        ..LoadOptions::default()
    });
    let _log = match &defaults {
        Ok(config) => Some(start_log(&config.log)?),
        Err(_) => None,
    };
    let secret = match (options.webhook_secret, options.webhook_secret_file) {
        (Some(secret), _) => secret,
        (None, Some(file)) => std::fs::read_to_string(file)?.trim_end().to_owned(),
        (None, None) => return Err("--webhook-secret is needed".into()),
    };
    let faults = Faults::from_flags(options.fault.iter().map(String::as_str))?;
    let clock = match options.speed {
        0 | 1 => Clock::system(),
        speed => {
            let now = Clock::system().wall_now();
            let origin = options
                .origin
                .and_then(chrono::DateTime::from_timestamp_micros)
                .unwrap_or(now);
            Clock::scaled(Scale { origin, speed })
        }
    };
    if let Some(folder) = options.state.parent() {
        std::fs::create_dir_all(folder)?;
    }
    runtime()?.block_on(async {
        let running = sandbox::start(
            SandboxConfig {
                listen: options.listen,
                state_file: options.state,
                webhook_url: Some(options.webhook_url),
                webhook_secret: Secret::new(secret),
                faults,
            },
            clock,
        )?;
        out::print(&format!("the simulated courier listens on {}", running.base_url()))?;
        super::serve::told_to_stop().await?;
        running.stop().await;
        Ok(())
    })
}
