//! A courier company in a box: an HTTP server that books, tracks and cancels parcels, reports their progress by webhook,
//! and fails in every way that couriers do, on request. `safelight sandbox-courier --listen ADDR` runs it alone.
//!
//! It must not know who a parcel is for: a person in a request is checked and dropped, and never stored or logged. It
//! has no authentication and believes its caller: for development and tests, never in front of real parcels.
//!
//! # API
//!
//! JSON in and out. An error is `{"code": "..."}` with a stable code. Times of a parcel are business time.
//!
//! | Call | Answer |
//! | --- | --- |
//! | `POST /parcels` `{"reference","consignee","sender","parcel"}` | 201 `{"tracking_no","ordinal","reference"}`. **Not** idempotent: the same reference twice makes two parcels. |
//! | `GET /parcels?reference=REF` | `{"count", "data":[{"tracking_no","ordinal","reference","booked_at","status","cancelled"}]}`, in the order of booking |
//! | `GET /parcels?limit=50&after=ORDINAL` | the same for all; `count` is how many there are, `next_after` leads on (null at the end) |
//! | `GET /parcels/{tracking_no}` | one of them, or 404 `parcel_not_found` |
//! | `GET /parcels/{tracking_no}/events` | `{"count", "data":[{"reference","tracking_no","status","code","occurred_at","remark"}]}`, what has happened so far |
//! | `POST /track` `{"tracking_nos":[],"references":[]}` | the same for at most 100 parcels; unknown ones are simply absent |
//! | `POST /parcels/{tracking_no}/cancel` | 200, again 200; once picked up 409 `too_late`; 404 `parcel_not_found` |
//! | `POST /cancel` `{"tracking_no"}` or `{"reference"}` | the same without a tracking number in the URL; a reference means every parcel under it |
//! | `GET`, `PUT`, `DELETE /faults` | the faults that are set; `PUT` replaces all of them |
//! | `GET`, `PUT /webhook` `{"url"}` | where webhooks go; null: nowhere, they wait. Not kept across a restart |
//! | `GET /healthz` | 200 |
//!
//! `consignee` and `sender` are `{"name","phone","address":{"province","city","district"?,"street","postal_code"?,"country"?}}`
//! (`company` is possible too), `parcel` is `{"weight_g","length_mm","width_mm","height_mm","contents"?}`; `sender` and
//! `parcel` may be left out. A reference is `[A-Za-z0-9._:-]{1,64}`. Not JSON: 400 `malformed_json`; of another shape: 422
//! `invalid_request` with the `field`; incomplete: 422 with a code that says what.
//!
//! ```text
//! curl -X POST localhost:9090/parcels -H 'content-type: application/json' -d '{"reference":"R1","consignee":{"name":"张三",
//!   "phone":"13800138000","address":{"province":"广东省","city":"深圳市","street":"科技中二路1号"}}}'
//! curl 'localhost:9090/parcels?reference=R1'
//! curl -X PUT localhost:9090/faults -d '{"drop_after_booking":0.5,"slow":{"delay":3,"times":1}}'
//! ```
//!
//! # Lifecycles
//!
//! In hours of business time after the booking: `accepted` 0, `picked_up` 2, `in_transit` 10, `out_for_delivery` 26,
//! `delivered` 30. The faults `lost`, `returned` and `rejected` give another end.
//!
//! # Webhooks
//!
//! `POST` to the configured URL, signed as Standard Webhooks say: `{"type":"parcel.updated","timestamp","data"}`, `data` as
//! in the events above. Sent until answered with 2xx (after 0.5 s, 1 s, 2 s ... at most 10 s of wall time), the same
//! `webhook-id` each time, the stages of one parcel in their order.
//!
//! # Faults
//!
//! `{"NAME": true}`, `{"NAME": PROBABILITY}`, or `{"NAME": {"probability","times","delay","code","on"}}`: how likely, how often
//! in all, seconds, the code of a refusal, and (for `down`, `unauthorized`, `rate_limit` and `slow`) which calls: `book` (the default),
//! `query`, `cancel`. They outlive a restart, with what is left of `times`.
//!
//! | Fault | What happens |
//! | --- | --- |
//! | `refuse` | 422 with `code` (`refused`): not booked, and never will be |
//! | `down` | 503 `down`: surely not booked |
//! | `unauthorized` | 401 `bad_credentials`: surely not booked |
//! | `drop_before_booking` | the connection is closed without an answer, nothing is booked |
//! | `rate_limit` | 429 with `Retry-After: delay` (1): surely not booked |
//! | `slow` | `delay` (5) seconds before booking **and** answering; booked even if the caller has given up |
//! | `drop_after_booking` | booked, then the connection is closed without an answer |
//! | `webhook_before_answer` | the first webhook is sent before the booking is answered |
//! | `webhook_twice` | an acknowledged webhook is sent once more |
//! | `webhook_late` | a webhook, and those after it, wait `delay` (5) seconds of wall time |
//! | `webhook_disordered` | a stage is reported only after the one that follows it |
//! | `webhook_bad_signature` | one try of a webhook bears a wrong signature |
//! | `webhook_without_reference` | a webhook names only the tracking number |
//! | `lost`, `returned`, `rejected` | the parcel ends so |

mod api;
mod faults;
mod journal;
mod parcel_lifecycle;
mod parcel_store;
mod webhook_sender;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::web::{Data, PayloadConfig};
use actix_web::{App, HttpServer};
use reqwest::Url;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use faults::{FaultError, Faults};
pub use journal::StateError;

use super::signing::{InvalidSecret, Signer};
use crate::clock::Clock;
use crate::couriers::client;
use crate::privacy::Secret;
use faults::{Call, Fault, FaultKind};
use journal::{Journal, NotStored, lock};
use parcel_store::{Line, ParcelStore};
use webhook_sender::{Announcement, WebhookSender};

/// The largest body that is read.
const LARGEST_BODY: usize = 64 * 1024;

/// How long a stopping sandbox waits for answers that are under way, in seconds.
const STOP_WITHIN_SECONDS: u64 = 1;

/// How a sandbox runs.
#[derive(Debug)]
pub struct SandboxConfig {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where parcels are remembered; made if absent. One sandbox a file.
    pub state_file: PathBuf,
    /// Where webhooks go. `None`: they wait until a URL is set.
    pub webhook_url: Option<String>,
    /// `whsec_...`; both sides know it.
    pub webhook_secret: Secret<String>,
    /// Faults from the start on. Empty: those that were set before a restart go on.
    pub faults: Faults,
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state file.
    #[error(transparent)]
    State(#[from] StateError),
    /// Not a usable secret.
    #[error("the sandbox's webhook secret is not usable")]
    WebhookSecret(#[from] InvalidSecret),
    /// Not a usable URL.
    #[error("the sandbox's webhook URL is not usable")]
    WebhookUrl(#[from] InvalidUrl),
    /// The TLS library could not be initialised.
    #[error("the sandbox's HTTP client could not be made")]
    Client(#[source] reqwest::Error),
    /// The address could not be listened on.
    #[error("the sandbox cannot listen")]
    Listen(#[source] io::Error),
}

/// Not an `http` or `https` URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook URL must be an http or https URL")]
pub struct InvalidUrl;

/// What handlers and the webhook sender share.
struct Shared {
    clock: Clock,
    signer: Signer,
    store: Arc<Mutex<ParcelStore>>,
    faults: Mutex<Faults>,
    journal: Journal,
    webhook_url: watch::Sender<Option<String>>,
    announcements: mpsc::UnboundedSender<Announcement>,
}

impl Shared {
    /// Whether a fault strikes now. What is left of a counted one is noted under the lock, so that the journal has it in
    /// order, and before the booking it hits.
    fn strike(&self, kind: FaultKind, call: Call) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        let struck = faults.strike(kind, call)?;
        if struck.is_counted() {
            self.journal.note(Line::Faults { faults: faults.clone() });
        }
        Some(struck)
    }

    async fn set_faults(&self, faults: Faults) -> Result<(), NotStored> {
        let written = {
            let mut known = lock(&self.faults);
            known.clone_from(&faults);
            self.journal.write(Line::Faults { faults })
        };
        written.await
    }

    fn set_webhook_url(&self, url: Option<String>) -> Result<(), InvalidUrl> {
        if let Some(text) = &url {
            let parsed = Url::parse(text).map_err(|_| InvalidUrl)?;
            if !matches!(parsed.scheme(), "http" | "https") {
                return Err(InvalidUrl);
            }
        }
        self.webhook_url.send_replace(url);
        Ok(())
    }

    fn announce(&self, announcement: Announcement) {
        // A stopped webhook sender finds the parcel in the store at the next start.
        let _ = self.announcements.send(announcement);
    }
}

/// A running sandbox. It runs until [`stop`](Self::stop), even if this is dropped.
pub struct RunningSandbox {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    server: ServerHandle,
    serving: JoinHandle<io::Result<()>>,
    sending: JoinHandle<()>,
}

impl std::fmt::Debug for RunningSandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningSandbox")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Starts a sandbox in the calling tokio (or actix) runtime: one server worker, one webhook sender, one journal thread.
///
/// # Errors
/// The state file, the secret, the URL or the address cannot be used.
pub fn start(config: SandboxConfig, clock: Clock) -> Result<RunningSandbox, StartError> {
    let signer = Signer::new(&config.webhook_secret)?;
    let client = client::build(webhook_sender::DELIVERY_TIMEOUT).map_err(StartError::Client)?;
    let listener = std::net::TcpListener::bind(config.listen).map_err(StartError::Listen)?;
    let address = listener.local_addr().map_err(StartError::Listen)?;
    let opened = Journal::open(&config.state_file)?;
    if !config.faults.is_empty() {
        opened.journal.note(Line::Faults {
            faults: config.faults.clone(),
        });
    }
    let faults = if config.faults.is_empty() {
        opened.faults
    } else {
        config.faults
    };
    let (announcements, announced) = mpsc::unbounded_channel();
    let (webhook_url, url) = watch::channel(None);
    let shared = Arc::new(Shared {
        clock,
        signer,
        store: opened.store,
        faults: Mutex::new(faults),
        journal: opened.journal,
        webhook_url,
        announcements,
    });
    shared.set_webhook_url(config.webhook_url)?;
    let sender = WebhookSender::after_restart(Arc::clone(&shared), client);

    let data = Data::from(Arc::clone(&shared));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(PayloadConfig::new(LARGEST_BODY))
            .configure(api::routes)
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(STOP_WITHIN_SECONDS)
    .listen(listener)
    .map_err(StartError::Listen)?
    .run();
    let handle = server.handle();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server);
    let sending = tokio::spawn(sender.run(announced, url, stop.clone()));
    tracing::info!(%address, parcels = lock(&shared.store).count(), "Simulated courier listening");
    Ok(RunningSandbox {
        address,
        shared,
        stop,
        server: handle,
        serving,
        sending,
    })
}

impl RunningSandbox {
    /// The base URL of its API.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets where webhooks go, for a service that learns its own port later.
    ///
    /// # Errors
    /// Not an `http` or `https` URL.
    pub fn set_webhook_url(&self, url: Option<String>) -> Result<(), InvalidUrl> {
        self.shared.set_webhook_url(url)
    }

    /// Stops taking calls and sending webhooks, and lets go of the state file. What was acknowledged is kept; a slow
    /// booking that has not happened yet does not happen.
    pub async fn stop(self) {
        self.stop.cancel();
        self.server.stop(true).await;
        // A task that panicked is as stopped as one that ended.
        let _ = self.serving.await;
        let _ = self.sending.await;
        self.shared.journal.close().await;
    }
}
