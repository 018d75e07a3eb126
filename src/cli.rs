//! The command line: what can be asked for, and who does it. The only room that assembles the others.

mod backup;
mod courier;
mod demo;
mod embedded;
mod first_key;
mod keys;
mod out;
mod prove;
mod purge;
mod sandbox;
mod serve;
mod setup;
mod vault;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{LoadOptions, LogConfig, environment};
use crate::telemetry;

/// An order service for printed ID photos: taken, printed, shipped, and provably forgotten.
#[derive(Debug, Parser)]
#[command(name = "safelight", version)]
struct Cli {
    /// The configuration file (default: safelight.toml in the working folder, where there is one).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags for the keys that are set most often; they win over the environment and the file.
#[derive(Debug, Args)]
struct Common {
    /// Where to listen (http.listen).
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The orders database (database.url).
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The vault (vault.url).
    #[arg(long, value_name = "URL")]
    vault_url: Option<String>,
    /// How fast business time runs, for development (clock.speed).
    #[arg(long, value_name = "TIMES")]
    clock_speed: Option<u32>,
    /// How logs look: auto, pretty or json (log.format).
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Common {
    fn flags(&self) -> Vec<(&'static str, String)> {
        [
            ("http.listen", self.listen.clone()),
            ("database.url", self.database_url.clone()),
            ("vault.url", self.vault_url.clone()),
            ("clock.speed", self.clock_speed.map(|speed| speed.to_string())),
            ("log.format", self.log_format.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .collect()
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// HTTP and workers; what happens without a command.
    Serve {
        /// Only HTTP: the work is done by `safelight work` elsewhere.
        #[arg(long)]
        no_workers: bool,
    },
    /// Only workers.
    Work,
    /// One order's whole life through the real HTTP API, in seconds, ending in its purge and the proof.
    Demo,
    /// API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Purge what retention says is due.
    Purge {
        /// Only say what would be purged.
        #[arg(long)]
        dry_run: bool,
    },
    /// Show that what was purged is gone; exit code 1 where anything is found.
    Prove(prove::Options),
    /// The vault: its keys, and giving old ones up.
    #[command(subcommand)]
    Vault(VaultCommand),
    /// Write a consistent copy of the SQLite orders database (or, apart from it, of the vault) into a folder.
    Backup(backup::Options),
    /// Put such a copy back; not while the service runs.
    Restore(backup::Options),
    /// Couriers.
    #[command(subcommand)]
    Courier(CourierCommand),
    /// The simulated courier as a server of its own.
    SandboxCourier(sandbox::Options),
    /// Check the configuration and show every value with where it came from.
    CheckConfig,
    /// Bring both databases to this program's schema.
    Migrate,
}

#[derive(Debug, Subcommand)]
enum CourierCommand {
    /// Try its address, credentials and account with calls that change nothing; exit code 1 where one is not good.
    Check {
        /// As in the configuration: `couriers.NAME`.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum VaultCommand {
    /// Which epochs there are, and what is still sealed under each.
    Status,
    /// Wrap every key with a new master key; with the old one destroyed no older copy of the vault can be opened.
    RewrapMaster,
    /// Take a vault into service that is older than the orders database, where the newer one is lost for good.
    AcceptOlder,
    /// Take an audit chain that is not the one that the vault has heard of as it is, once a person has found out why; the
    /// chain says so.
    AcceptChain,
    /// Retire the epochs past the copy horizon: re-seal what is needed, destroy the keys.
    Retire {
        /// Begin a new epoch and retire every earlier one: every old copy of the orders becomes unreadable.
        #[arg(long)]
        now: bool,
    },
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print it, alone, on standard output: the only time it is seen.
    Create {
        /// What it is for.
        #[arg(long)]
        name: String,
        /// What it may do: orders, floor, ops, privacy, admin (several with commas).
        #[arg(long, value_name = "SCOPES")]
        scope: String,
        /// Whose orders it sees (default: its name).
        #[arg(long)]
        client: Option<String>,
    },
    /// Every key, without secrets.
    List,
    /// Take a key out of use, everywhere, before this returns.
    Revoke {
        /// The key's id, the middle part of `sl_<id>_<secret>`.
        id: String,
    },
}

impl Command {
    /// Whether it asks of a service that has run: in the wrong folder it must not make an empty one and find it well.
    const fn needs_databases(&self) -> bool {
        match self {
            Self::Backup(_) | Self::Prove(_) | Self::Vault(_) | Self::Purge { .. } => true,
            Self::Keys(command) => !matches!(command, KeysCommand::Create { .. }),
            Self::Serve { .. }
            | Self::Work
            | Self::Restore(_)
            | Self::CheckConfig
            | Self::Courier(_)
            | Self::Migrate
            | Self::SandboxCourier(_)
            | Self::Demo => false,
        }
    }
}

/// Why a command did not do what it says.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Reads the command line and does what it says; exit code 0 only where it did.
pub fn main() -> ExitCode {
    // Databases, logs and secrets that are made here are for the service's own user alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out::error(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    if let Some(Command::SandboxCourier(options)) = cli.command {
        return sandbox::run(options);
    }
    if let Some(Command::Demo) = cli.command {
        return demo::run();
    }
    let config = setup::load(&LoadOptions {
        file: cli.config,
        working_dir: PathBuf::new(),
        env: environment(),
        flags: cli.common.flags(),
    })?;
    let _log = start_log(&config.log)?;
    if cli.command.as_ref().is_some_and(Command::needs_databases) {
        setup::databases_exist(&config)?;
    }
    match cli.command.unwrap_or(Command::Serve { no_workers: false }) {
        Command::Serve { no_workers } => serve::run(
            config,
            if no_workers {
                serve::Role::HttpOnly
            } else {
                serve::Role::Both
            },
        ),
        Command::Work => serve::run(config, serve::Role::WorkOnly),
        Command::Keys(command) => keys::run(&config, command),
        Command::Backup(options) => backup::backup(&config, &options),
        Command::Restore(options) => backup::restore(&config, &options),
        Command::Prove(options) => prove::run(&config, options),
        Command::Vault(command) => vault::run(&config, &command),
        Command::Purge { dry_run } => purge::run(&config, dry_run),
        Command::Courier(CourierCommand::Check { name }) => courier::check(&config, &name),
        Command::CheckConfig => {
            setup::shop(&config)?;
            out::print(&config.effective_toml())?;
            config
                .warnings()
                .iter()
                .for_each(|warning| out::error(&format!("warning: {warning}")));
            Ok(())
        }
        Command::Migrate => setup::migrate(&config),
        Command::SandboxCourier(_) | Command::Demo => Ok(()),
    }
}

fn start_log(config: &LogConfig) -> Result<telemetry::Guard, Failure> {
    Ok(telemetry::init(config, std::io::stderr().is_terminal())?)
}

/// The runtime that commands with async work use.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// An address that a client on this machine can use for a listening one.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}
