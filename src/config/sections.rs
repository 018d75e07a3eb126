//! The configuration as typed values, a struct a section: the keys are its fields. What each key means, and its default,
//! is written once: in `deploy/safelight.example.toml`. Numbers say their unit here. A courier's section is in its
//! adapter's folder.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::setting::{section, single};
use super::{DatabaseUrl, Rate, TrustedProxies};

section! {
    /// `[http]`: the door.
    pub struct HttpConfig {
        /// Where to listen.
        pub listen: SocketAddr,
        /// How the world reaches this service, without a slash at the end.
        pub public_url: Option<String>,
        /// Whose `X-Forwarded-For` is believed.
        pub trusted_proxies: TrustedProxies,
        /// How fast anyone may ask.
        pub rate_limit: RateLimitConfig,
    }
}

section! {
    /// `[http.rate_limit]`.
    pub struct RateLimitConfig {
        /// Off: nobody is ever answered 429.
        pub enabled: bool,
        /// For one API key.
        pub per_key: Rate,
        /// For one address, where there is no valid key.
        pub per_address: Rate,
    }
}

section! {
    /// `[database]`: the orders.
    pub struct DatabaseConfig {
        /// Which engine, and where.
        pub url: DatabaseUrl,
        /// Connections kept open, at least 1.
        pub pool_size: u32,
    }
}

section! {
    /// `[vault]`: the keys and the journal.
    pub struct VaultConfig {
        /// A database of its own.
        pub url: DatabaseUrl,
        /// What wraps every key.
        pub master_key_file: PathBuf,
        /// What wrapped them before, while they are being rewrapped.
        pub master_key_previous_file: Option<PathBuf>,
        /// Business time sealed under one key, at least a second.
        pub epoch_length: Duration,
        /// Epochs whose keys are made before they begin, at least 1.
        pub epochs_ahead: u32,
        /// Business time after which a key is destroyed, at least one epoch.
        pub copy_horizon: Duration,
        /// Wall time that an opened key stays in memory.
        pub key_cache: Duration,
        /// A file that gets every line of the journal too.
        pub journal_mirror: Option<PathBuf>,
    }
}

section! {
    /// `[retention]`: how long a person is kept. All business time.
    pub struct RetentionConfig {
        /// From the order's end to the purge, at most 365 days; 0 purges at once.
        pub window: Duration,
        /// Without a forward step for this long, an order is ended.
        pub stuck_after: Duration,
        /// An unconfirmed draft's life.
        pub draft_after: Duration,
        /// The longest hold.
        pub max_hold: Duration,
    }
}

section! {
    /// `[print]`: the floor.
    pub struct PrintConfig {
        /// Wall time that a claim holds, at least a second.
        pub lease: Duration,
    }
}

section! {
    /// `[sender]`: the shop, as plain text; the domain's rules are applied where it is used.
    pub struct SenderConfig {
        /// Contact person or desk.
        pub name: String,
        /// The shop's registered name.
        pub company: Option<String>,
        /// Where couriers can reach the shop.
        pub phone: String,
        /// 省.
        pub province: String,
        /// 市.
        pub city: String,
        /// 区; may be empty.
        pub district: String,
        /// Street and number.
        pub street: String,
        /// May be empty.
        pub postal_code: String,
        /// Two letters, ISO 3166.
        pub country: String,
    }
}

section! {
    /// `[parcel]`: what is in every parcel.
    pub struct ParcelConfig {
        /// Grams, at least 1.
        pub weight_g: u32,
        /// Millimetres, at least 1.
        pub length_mm: u32,
        /// Millimetres, at least 1.
        pub width_mm: u32,
        /// Millimetres, at least 1.
        pub height_mm: u32,
        /// What the waybill says is inside.
        pub contents: String,
    }
}

section! {
    /// `[couriers]`: who carries.
    pub struct CouriersConfig {
        /// For orders that name none; a courier of this build.
        pub default: String,
        /// Whom to try after a certain refusal, in this order; each a courier of this build.
        pub fallbacks: Vec<String>,
        /// Wall time after an attempt's network deadline before "not there" is believed.
        pub settle: Duration,
    }
}

section! {
    /// `[clock]`.
    pub struct ClockConfig {
        /// Business seconds in a wall second, at least 1.
        pub speed: u32,
    }
}

section! {
    /// `[intake]`: how orders are written.
    pub struct IntakeConfig {
        /// Orders that may wait, at least 1.
        pub queue: u32,
        /// Orders in one transaction, at least 1.
        pub batch: u32,
        /// Threads that write, at least 1.
        pub writers: u32,
    }
}

section! {
    /// `[jobs]`: the workers.
    pub struct JobsConfig {
        /// Jobs at once in this process, at least 1.
        pub concurrency: u32,
        /// Wall time between two looks of an idle worker, more than 0.
        pub poll: Duration,
    }
}

section! {
    /// `[log]`.
    pub struct LogConfig {
        /// For people or for machines.
        pub format: LogFormat,
        /// Levels, also by module.
        pub filter: String,
        /// Where every line is appended too.
        pub file: Option<PathBuf>,
    }
}

/// How a log line looks on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, else JSON.
    Auto,
    /// For people.
    Pretty,
    /// For machines, one object a line.
    Json,
}

single! {
    LogFormat: LogFormat by |value| match value.as_str()? {
        "auto" => Some(Self::Auto),
        "pretty" => Some(Self::Pretty),
        "json" => Some(Self::Json),
        _ => None,
    };
}
