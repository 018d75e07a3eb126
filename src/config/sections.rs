//! The configuration as typed values, a struct a section. What each key means, and its default, is written once: in
//! `deploy/safelight.example.toml`. Numbers say their unit here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::{DatabaseUrl, Rate, TrustedProxies, duration, proxies};
use crate::privacy::Secret;

/// `[http]`: the door.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// `[http.rate_limit]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitConfig {
    /// Off: nobody is ever answered 429.
    pub enabled: bool,
    /// For one API key.
    pub per_key: Rate,
    /// For one address, where there is no valid key.
    pub per_address: Rate,
}

/// `[database]`: the orders.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// Which engine, and where.
    pub url: DatabaseUrl,
    /// Connections kept open, at least 1.
    pub pool_size: u32,
}

/// `[vault]`: the keys and the journal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultConfig {
    /// A database of its own.
    pub url: DatabaseUrl,
    /// What wraps every key.
    pub master_key_file: PathBuf,
    /// What wrapped them before, while they are being rewrapped.
    pub master_key_previous_file: Option<PathBuf>,
    /// Business time sealed under one key, at least a second.
    #[serde(deserialize_with = "duration::deserialize")]
    pub epoch_length: Duration,
    /// Epochs whose keys are made before they begin, at least 1.
    pub epochs_ahead: u32,
    /// Business time after which a key is destroyed, at least one epoch.
    #[serde(deserialize_with = "duration::deserialize")]
    pub copy_horizon: Duration,
    /// Wall time that an opened key stays in memory.
    #[serde(deserialize_with = "duration::deserialize")]
    pub key_cache: Duration,
    /// A file that gets every line of the journal too.
    pub journal_mirror: Option<PathBuf>,
}

/// `[retention]`: how long a person is kept. All business time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// From the order's end to the purge, at most 365 days; 0 purges at once.
    #[serde(deserialize_with = "duration::deserialize")]
    pub window: Duration,
    /// Without a forward step for this long, an order is ended.
    #[serde(deserialize_with = "duration::deserialize")]
    pub stuck_after: Duration,
    /// An unconfirmed draft's life.
    #[serde(deserialize_with = "duration::deserialize")]
    pub draft_after: Duration,
    /// The longest hold.
    #[serde(deserialize_with = "duration::deserialize")]
    pub max_hold: Duration,
}

/// `[print]`: the floor.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrintConfig {
    /// Wall time that a claim holds, at least a second.
    #[serde(deserialize_with = "duration::deserialize")]
    pub lease: Duration,
}

/// `[sender]`: the shop, as plain text; the domain's rules are applied where it is used.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// `[parcel]`: what is in every parcel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// `[couriers]`: who carries.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CouriersConfig {
    /// For orders that name none; one of [`COURIERS`](super::COURIERS).
    pub default: String,
    /// Whom to try after a certain refusal, in this order; each one of [`COURIERS`](super::COURIERS).
    pub fallbacks: Vec<String>,
    /// Wall time after an attempt's network deadline before "not there" is believed.
    #[serde(rename = "settle", deserialize_with = "duration::deserialize")]
    pub settle_time: Duration,
    /// Always there, for development.
    pub simulated: SimulatedConfig,
    /// Configured once it has credentials.
    pub sf: SfConfig,
    /// In use once it has a key.
    pub kuaidi100: Kuaidi100Config,
    /// Configured once its `api_key` is set.
    pub easypost: EasypostConfig,
    /// Configured once its `token` is set.
    pub karrio: KarrioConfig,
}

/// `[couriers.simulated]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatedConfig {
    /// Inside this process.
    pub embedded: bool,
    /// Also where `http.listen` is not loopback.
    pub allow: bool,
    /// Where it runs; `Some` unless embedded.
    pub base_url: Option<String>,
    /// What it signs its webhooks with; `Some` unless embedded.
    pub webhook_secret: Option<Secret<String>>,
    /// The country it handles data in, two letters, ISO 3166.
    pub region: String,
    /// Wall time that one call may take, more than 0.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
}

/// `[couriers.sf]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SfConfig {
    /// Where its gateway is.
    pub base_url: String,
    /// Our customer code.
    pub partner_id: Option<String>,
    /// What requests are signed with.
    pub checkword: Option<Secret<String>>,
    /// The account that pays, ten digits.
    pub monthly_card: Option<Secret<String>>,
    /// The product that is booked.
    pub express_type_id: u32,
    /// Each of them stands for a signature of SF's pushes.
    pub push_tokens: Vec<Secret<String>>,
    /// Where pushes may come from; empty: anywhere.
    #[serde(deserialize_with = "proxies::networks")]
    pub push_addresses: Vec<IpNet>,
    /// The country it handles data in, two letters, ISO 3166.
    pub region: String,
    /// Wall time that one call may take, more than 0.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
}

impl SfConfig {
    /// Whether somebody means to use it.
    pub const fn is_configured(&self) -> bool {
        self.partner_id.is_some() || self.checkword.is_some()
    }
}

/// `[couriers.kuaidi100]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kuaidi100Config {
    /// The order desk, `borderapi.do`.
    pub order_url: String,
    /// The query, `query.do`.
    pub query_url: String,
    /// The subscription, `poll`.
    pub subscribe_url: String,
    /// The authorisation key.
    pub key: Option<Secret<String>>,
    /// The customer id that queries are signed with.
    pub customer: Option<String>,
    /// What orders are signed with.
    pub secret: Option<Secret<String>>,
    /// What its pushes are signed with; chosen by us.
    pub salt: Option<Secret<String>>,
    /// The company that carries, such as `yuantong`.
    pub courier_code: Option<String>,
    /// The country it handles data in, two letters, ISO 3166.
    pub region: String,
    /// Wall time that one call may take, more than 0.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
}

/// `[couriers.easypost]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EasypostConfig {
    /// With `/v2`.
    pub base_url: String,
    /// Who we are there.
    pub api_key: Option<Secret<String>>,
    /// What it signs its webhooks with; `Some` where there is a key.
    pub webhook_secret: Option<Secret<String>>,
    /// Buy only from this carrier.
    pub carrier: Option<String>,
    /// Buy only this service.
    pub service: Option<String>,
    /// Buy only through this account.
    pub carrier_account: Option<String>,
    /// The country it handles data in, two letters, ISO 3166.
    pub region: String,
    /// Wall time that one call may take, more than 0.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
}

/// `[couriers.karrio]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KarrioConfig {
    /// Without `/v1`; `Some` where there is a token.
    pub base_url: Option<String>,
    /// Who we are there.
    pub token: Option<Secret<String>>,
    /// What it sends with its webhooks; `Some` where there is a token.
    pub webhook_secret: Option<Secret<String>>,
    /// Buy only this service.
    pub service: Option<String>,
    /// Buy only through these accounts; all where empty.
    pub carrier_ids: Vec<String>,
    /// The country it handles data in, two letters, ISO 3166.
    pub region: String,
    /// Wall time that one call may take, more than 0.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
}

/// `[clock]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockConfig {
    /// Business seconds in a wall second, at least 1.
    pub speed: u32,
}

/// `[intake]`: how orders are written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntakeConfig {
    /// Orders that may wait, at least 1.
    pub queue: u32,
    /// Orders in one transaction, at least 1.
    pub batch: u32,
    /// Threads that write, at least 1.
    pub writers: u32,
}

/// `[jobs]`: the workers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobsConfig {
    /// Jobs at once in this process, at least 1.
    pub concurrency: u32,
    /// Wall time between two looks of an idle worker, more than 0.
    #[serde(deserialize_with = "duration::deserialize")]
    pub poll: Duration,
}

/// `[log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// Levels, also by module.
    pub filter: String,
    /// Where every line is appended too.
    pub file: Option<PathBuf>,
}

/// How a log line looks on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pretty on a terminal, else JSON.
    Auto,
    /// For people.
    Pretty,
    /// For machines, one object a line.
    Json,
}
