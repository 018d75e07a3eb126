//! The simulated courier inside the service. It listens on a loopback port that is remembered beside its state, so that
//! a second process on the same data folder finds it, and takes it over when its host is gone.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::cli::Failure;
use crate::clock::Clock;
use crate::couriers::adapter::Endpoint;
use crate::couriers::simulated::sandbox::{self, Faults, RunningSandbox, SandboxConfig, StartError};
use crate::privacy::Secret;
use crate::vault::keyring::fill_random;

/// What is remembered: where it listens and what it signs with. Mode 0600.
#[derive(Serialize, Deserialize)]
struct Remembered {
    address: SocketAddr,
    webhook_secret: String,
}

/// The place of the embedded courier on this data folder, made up at the first start.
///
/// # Errors
/// The folder cannot be written to.
pub(super) fn place(folder: &Path, secret: Option<&Secret<String>>) -> Result<(SocketAddr, Endpoint), Failure> {
    let file = folder.join("simulated-courier.json");
    if !file.exists() {
        std::fs::create_dir_all(folder)?;
        // A port that is free now; nobody else has reason to take it before the courier does.
        let address = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let fresh = Remembered {
            address,
            webhook_secret: new_secret(),
        };
        let draft = folder.join(format!("simulated-courier.json.{}", std::process::id()));
        let mut out = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        out.write_all(&serde_json::to_vec(&fresh)?)?;
        out.sync_all()?;
        // Of several processes the first wins, and all read what it wrote.
        let linked = std::fs::hard_link(&draft, &file);
        std::fs::remove_file(&draft)?;
        if let Err(error) = linked
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(error.into());
        }
    }
    let known: Remembered = serde_json::from_slice(&std::fs::read(&file)?)?;
    let webhook_secret = secret.cloned().unwrap_or_else(|| Secret::new(known.webhook_secret));
    Ok((
        known.address,
        Endpoint {
            base_url: format!("http://{}", known.address),
            webhook_secret,
        },
    ))
}

/// A fresh webhook secret.
pub(super) fn new_secret() -> String {
    let mut random = [0; 32];
    fill_random(&mut random);
    format!("whsec_{}", data_encoding::BASE64.encode(&random))
}

/// Keeps the courier running: starts it, or waits until the process that hosts it is gone.
pub(super) async fn host(
    folder: std::path::PathBuf,
    listen: SocketAddr,
    at: Endpoint,
    webhook_url: String,
    clock: Clock,
    stop: CancellationToken,
) {
    let mut told = false;
    loop {
        let config = SandboxConfig {
            listen,
            state_file: folder.join("simulated-courier.jsonl"),
            webhook_url: Some(webhook_url.clone()),
            webhook_secret: at.webhook_secret.clone(),
            faults: Faults::default(),
        };
        match sandbox::start(config, clock.clone()) {
            Ok(running) => {
                tracing::info!(address = %running.address, "Simulated courier started");
                stop.cancelled().await;
                RunningSandbox::stop(running).await;
                return;
            }
            Err(error) => {
                if !told {
                    tell(&error);
                    told = true;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

fn tell(error: &StartError) {
    match error {
        StartError::State(_) => tracing::info!("Simulated courier runs in another process; standing by to take over"),
        other => tracing::warn!(error = %other, "Failed to start the simulated courier; retrying every second"),
    }
}
