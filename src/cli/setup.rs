//! From a configuration to a service that can run: databases, vault, clock, couriers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::{App, Settings};
use crate::cli::{Failure, embedded};
use crate::clock::{Clock, Scale, WallTime};
use crate::config::{Config, ConfigError, DatabaseUrl, LoadOptions};
use crate::couriers::adapter::Endpoint;
use crate::couriers::simulated;
use crate::couriers::{Couriers, Parcel, Sender, registry};
use crate::domain::contact::{Recipient, RecipientParts};
use crate::domain::invalid::FieldErrors;
use crate::store::migrate::{self, Which};
use crate::store::vault::{VaultDatabase, keys as vault_keys};
use crate::store::{Database, StoreError, meta};
use crate::vault::master::MasterKey;
use crate::vault::mirror::Mirror;
use crate::vault::{Vault, VaultError, VaultSettings};

/// The configuration, with the sections of every courier of this build.
///
/// # Errors
/// Every problem found.
pub(super) fn load(options: &LoadOptions) -> Result<Config, ConfigError> {
    Config::load(options, &registry::sections())
}

/// The simulated courier's settings.
///
/// # Errors
/// The configuration was loaded without them.
pub(super) fn simulated_settings(config: &Config) -> Result<&simulated::Settings, Failure> {
    registry::settings(config).ok_or_else(|| "the simulated courier's settings were not loaded".into())
}

fn parse_scale(stored: &str) -> Option<Scale> {
    let (origin, speed) = stored.split_once('x')?;
    Some(Scale {
        origin: WallTime::from_timestamp_micros(origin.parse().ok()?)?,
        speed: speed.parse().ok()?,
    })
}

/// What the orders database says of its clock; `None` where it cannot be asked or says nothing.
pub(super) fn stored_scale(config: &Config) -> Option<Scale> {
    let orders = Database::new(config.database.url.clone(), 1);
    let stored = orders.read_blocking(|conn| meta::get(conn, meta::CLOCK)).ok()??;
    parse_scale(&stored)
}

/// Opens everything, with the simulated courier at that place.
///
/// # Errors
/// In words for whoever runs the service.
pub(super) fn app(config: &Config, simulated: Option<Endpoint>) -> Result<App, Failure> {
    let (orders, vault_db) = databases(config);
    migrate_both(&orders, &vault_db)?;
    let clock = business_clock(config, &orders)?;
    let vault = vault_with(config, vault_db, clock.clone(), false)?;
    vault.pair_with(&orders)?;
    match vault.make_ahead(&orders) {
        // `serve` refuses such a pair in words of its own, and `vault accept-older` mends it.
        Ok(()) | Err(VaultError::Older) => {}
        Err(error) => return Err(error.into()),
    }
    // Read at once: a wrong master key is found now and not with the first order.
    vault.ring()?;
    Ok(App {
        orders,
        vault: Arc::new(vault),
        couriers: couriers(config, simulated.as_ref(), &clock)?,
        clock,
        settings: Arc::new(shop(config)?),
    })
}

/// The vault by itself; `may_make` a master key even where there are keys already (they are to be wrapped with it).
///
/// # Errors
/// In words for whoever runs the service.
pub(super) fn vault(config: &Config, may_make: bool) -> Result<Vault, Failure> {
    let (orders, vault_db) = databases(config);
    migrate_both(&orders, &vault_db)?;
    let clock = business_clock(config, &orders)?;
    vault_with(config, vault_db, clock, may_make)
}

fn vault_with(config: &Config, db: VaultDatabase, clock: Clock, may_make: bool) -> Result<Vault, Failure> {
    let has_keys = db.read_blocking(|conn| Ok::<_, StoreError>(!vault_keys::keys(conn, "epoch")?.is_empty()))?;
    let master = MasterKey::load_or_make(&config.vault.master_key_file, may_make || !has_keys)?;
    let settings = VaultSettings {
        epoch_length: config.vault.epoch_length,
        epochs_ahead: config.vault.epochs_ahead,
        copy_horizon: config.vault.copy_horizon,
        key_cache: config.vault.key_cache,
    };
    let vault = Vault::new(db, master, clock, settings);
    Ok(match &config.vault.journal_mirror {
        Some(mirror) => vault.mirrored(Mirror::at(mirror)),
        None => vault,
    })
}

fn databases(config: &Config) -> (Database, VaultDatabase) {
    let size = config.database.pool_size;
    // The vault is asked rarely: its keys are cached.
    (
        Database::new(config.database.url.clone(), size),
        VaultDatabase::new(config.vault.url.clone(), size.min(4)),
    )
}

fn migrate_both(orders: &Database, vault: &VaultDatabase) -> Result<usize, StoreError> {
    let vault_done = vault.plain().read_blocking(|conn| migrate::run(conn, Which::Vault))?;
    let orders_done = orders.read_blocking(|conn| migrate::run(conn, Which::Orders))?;
    Ok(vault_done + orders_done)
}

/// Brings both databases to this program's schema.
///
/// # Errors
/// In words for whoever runs the service.
pub(super) fn migrate(config: &Config) -> Result<(), Failure> {
    let (orders, vault) = databases(config);
    let done = migrate_both(&orders, &vault)?;
    super::out::print(&format!("{done} migrations run; both databases are up to date"))?;
    Ok(())
}

/// The clock: scaled from an origin that is stored at the first start with a speed, so that restarts, replicas and the
/// command line agree.
pub(super) fn business_clock(config: &Config, orders: &Database) -> Result<Clock, Failure> {
    let speed = config.clock.speed;
    let now = Clock::system().wall_now();
    let stored = orders.write_blocking(|conn| match meta::get(conn, meta::CLOCK)? {
        Some(stored) => Ok::<_, StoreError>(Some(stored)),
        None if speed == 1 => Ok(None),
        None => {
            let fresh = format!("{}x{speed}", now.timestamp_micros());
            meta::get_or_set_in_tx(conn, meta::CLOCK, &fresh).map(Some)
        }
    })?;
    let Some(stored) = stored else {
        return Ok(Clock::system());
    };
    let Scale { origin, speed: known } = parse_scale(&stored).ok_or("the stored clock origin is corrupt")?;
    if known != speed {
        let why = format!("this database has lived with clock.speed = {known}; it cannot go on with {speed}");
        return Err(why.into());
    }
    Ok(Clock::scaled(Scale { origin, speed }))
}

/// The configured couriers, for a command beside the service.
///
/// # Errors
/// In words for whoever runs the service.
pub(super) fn couriers_for_commands(config: &Config) -> Result<Couriers, Failure> {
    let simulated = simulated_for_commands(config)?;
    couriers(config, Some(&simulated), &Clock::system())
}

fn couriers(config: &Config, simulated: Option<&Endpoint>, clock: &Clock) -> Result<Couriers, Failure> {
    let configured = registry::configured(config, clock, simulated)?;
    let couriers = Couriers::new(configured, &config.couriers.default)
        .ok_or_else(|| format!("couriers.default = {} is not configured", config.couriers.default))?;
    match config
        .couriers
        .fallbacks
        .iter()
        .find(|name| couriers.get(name).is_none())
    {
        Some(missing) => Err(format!("couriers.fallbacks names {missing}, which is not configured").into()),
        None => Ok(couriers),
    }
}

/// Refuses where a SQLite file is not there: a command that asks must not make an empty database and find it well.
///
/// # Errors
/// Which file is missing.
pub(super) fn databases_exist(config: &Config) -> Result<(), Failure> {
    for url in [&config.database.url, &config.vault.url] {
        if let DatabaseUrl::Sqlite(path) = url
            && !path.exists()
        {
            let why = format!(
                "there is no database at {}: run this where the service runs, or with its --config",
                path.display()
            );
            return Err(why.into());
        }
    }
    Ok(())
}

/// The shop's rules and its own address, checked as every recipient's is.
///
/// # Errors
/// In words for whoever wrote the configuration.
pub(super) fn shop(config: &Config) -> Result<Settings, Failure> {
    let sender = &config.sender;
    let mut errors = FieldErrors::new();
    let parts = RecipientParts {
        name: &sender.name,
        phone: &sender.phone,
        province: &sender.province,
        city: &sender.city,
        district: Some(&sender.district),
        street: &sender.street,
        postal_code: Some(&sender.postal_code),
        country: Some(&sender.country),
    };
    let Some(contact) = Recipient::parse(&parts, "sender", &mut errors) else {
        let problems: Vec<String> = errors
            .into_vec()
            .into_iter()
            .map(|e| format!("{}: {}", e.pointer.replace('/', "."), e.invalid.detail))
            .collect();
        return Err(problems.join("\n").into());
    };
    Ok(Settings {
        window: config.retention.window,
        stuck_after: config.retention.stuck_after,
        draft_after: config.retention.draft_after,
        max_hold: config.retention.max_hold,
        print_lease: config.print.lease,
        settle_time: config.couriers.settle,
        fallbacks: config.couriers.fallbacks.clone(),
        sender: Arc::new(Sender {
            name: contact.name.expose().to_owned(),
            company: sender.company.clone(),
            phone: contact.phone,
            address: contact.address,
        }),
        parcel: Arc::new(Parcel {
            weight_g: config.parcel.weight_g,
            size_mm: (config.parcel.length_mm, config.parcel.width_mm, config.parcel.height_mm),
            contents: config.parcel.contents.clone(),
        }),
    })
}

/// The folder for what the service keeps beside its database: the SQLite file's own, else `data`.
pub(super) fn data_folder(config: &Config) -> PathBuf {
    match &config.database.url {
        DatabaseUrl::Sqlite(path) => path.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf),
        DatabaseUrl::Postgres(_) => PathBuf::from("data"),
    }
}

/// The simulated courier for a command beside the service: the one elsewhere, or the place of the embedded one.
///
/// # Errors
/// The data folder cannot be written to.
pub(super) fn simulated_for_commands(config: &Config) -> Result<Endpoint, Failure> {
    let settings = simulated_settings(config)?;
    match settings.elsewhere()? {
        Some(endpoint) => Ok(endpoint),
        None => Ok(embedded::place(&data_folder(config), settings.webhook_secret.as_ref())?.1),
    }
}
