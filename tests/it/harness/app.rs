//! One test's service: databases, vault, courier, writers and the HTTP server, all of its own and all inside this
//! process. Time stands still until the test moves it, and jobs run only when the test says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use reqwest::Method;
use safelight::app::access::api_keys;
use safelight::app::group_commit::{BatchSettings, Writers};
use safelight::app::orders::write_new::Intake;
use safelight::app::parcels::events::inbox::Inbox;
use safelight::app::recovery::restore::{self, StartError, Started};
use safelight::app::{self, App, Settings};
use safelight::clock::{BusinessTime, Clock};
use safelight::couriers::adapter::Endpoint;
use safelight::couriers::simulated::Simulated;
use safelight::couriers::simulated::sandbox::{self, Faults, RunningSandbox, SandboxConfig};
use safelight::couriers::{Configured, Couriers, Parcel, Sender, client};
use safelight::domain::actor::Actor;
use safelight::domain::contact::{Recipient, RecipientParts};
use safelight::domain::invalid::FieldErrors;
use safelight::domain::scope::Scopes;
use safelight::jobs;
use safelight::privacy::Secret;
use safelight::store::migrate::{self, Which};
use safelight::store::vault::VaultDatabase;
use safelight::store::{AnyConn, Database};
use safelight::vault::master::MasterKey;
use safelight::vault::mirror::Mirror;
use safelight::vault::{Vault, VaultError, VaultSettings};
use serde_json::Value;

use super::answer::Answer;
use super::databases::{Databases, Engine};
use super::fake::Fake;
use super::{logs, planted};

/// What a test may want otherwise than usual.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Network timeout of the courier, wall time.
    pub(crate) courier_timeout: Duration,
    /// Faults of the courier from the start on.
    pub(crate) faults: &'static [&'static str],
    /// Orders that may wait for the writers.
    pub(crate) intake_queue: usize,
    /// Whether the courier sends webhooks; otherwise tests send them themselves.
    pub(crate) courier_reports: bool,
    /// Couriers beside the simulated one: name, region, and whether they sign what they push.
    pub(crate) fakes: &'static [(&'static str, &'static str, bool)],
    /// Couriers that an order goes on to.
    pub(crate) fallbacks: &'static [&'static str],
    /// Couriers beside the simulated one.
    pub(crate) couriers: Vec<Configured>,
    /// Whether the vault's journal is mirrored.
    pub(crate) mirrored: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            courier_timeout: Duration::from_secs(20),
            faults: &[],
            intake_queue: 256,
            courier_reports: false,
            fakes: &[],
            fallbacks: &[],
            couriers: Vec::new(),
            mirrored: false,
        }
    }
}

/// How long a lease of the print floor lasts.
pub(crate) const LEASE: TimeDelta = TimeDelta::minutes(15);
/// How long a person is kept after the order's end.
pub(crate) const WINDOW: TimeDelta = TimeDelta::days(30);
/// When an order that nothing moves is ended.
pub(crate) const STUCK_AFTER: TimeDelta = TimeDelta::days(90);
/// How long a draft waits.
pub(crate) const DRAFT_AFTER: TimeDelta = TimeDelta::hours(24);
/// When keys are given up.
pub(crate) const COPY_HORIZON: TimeDelta = TimeDelta::days(45);
/// How long after a deadline "not there" counts.
pub(crate) const SETTLE: TimeDelta = TimeDelta::seconds(30);

/// The whole service, for one test.
pub(crate) struct TestApp {
    pub(crate) clock: Clock,
    pub(crate) app: App,
    pub(crate) databases: Databases,
    pub(crate) courier: Arc<RunningSandbox>,
    pub(crate) fakes: Vec<Arc<Fake>>,
    pub(crate) keys: Keys,
    pub(crate) address: SocketAddr,
    client: reqwest::Client,
    server: actix_web::dev::ServerHandle,
    intake: Option<Intake>,
    writers: Vec<Writers>,
    logged_from: usize,
    sent: AtomicU32,
}

/// A key of each kind, all of the client `shop`; whole bearer tokens.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) orders: String,
    pub(crate) floor: String,
    pub(crate) ops: String,
    pub(crate) privacy: String,
    pub(crate) admin: String,
}

/// Runs one test body on a fresh service and takes everything down again.
pub(crate) fn run(engine: Engine, options: Options, body: impl AsyncFnOnce(&TestApp)) {
    actix_web::rt::System::new().block_on(async {
        let app = TestApp::start(engine, options).await;
        body(&app).await;
        app.finish().await;
    });
}

fn start_of_time() -> BusinessTime {
    "2026-11-23T08:00:00Z".parse().unwrap()
}

fn settings(fallbacks: &[&str]) -> Settings {
    let wall = |span: TimeDelta| span.to_std().unwrap();
    let parts = RecipientParts {
        name: "照相馆",
        phone: "0755-86013388",
        province: "广东省",
        city: "深圳市",
        district: Some("福田区"),
        street: "红灯路1号",
        postal_code: None,
        country: None,
    };
    let shop = Recipient::parse(&parts, "/sender", &mut FieldErrors::new()).unwrap();
    Settings {
        window: wall(WINDOW),
        stuck_after: wall(STUCK_AFTER),
        draft_after: wall(DRAFT_AFTER),
        print_lease: wall(LEASE),
        max_hold: wall(TimeDelta::days(365)),
        settle_time: wall(SETTLE),
        fallbacks: fallbacks.iter().map(|name| (*name).to_owned()).collect(),
        sender: Arc::new(Sender {
            name: "照相馆".to_owned(),
            company: None,
            phone: shop.phone,
            address: shop.address,
        }),
        parcel: Arc::new(Parcel {
            weight_g: 50,
            size_mm: (240, 160, 5),
            contents: "照片".to_owned(),
        }),
    }
}

/// The verbs over these databases, with the master key of their folder.
fn assemble(
    databases: &Databases,
    clock: &Clock,
    courier: &RunningSandbox,
    options: &Options,
) -> (App, Vec<Arc<Fake>>) {
    let endpoint = Endpoint {
        base_url: courier.base_url(),
        webhook_secret: Secret::new(planted::WEBHOOK_SECRET.to_owned()),
    };
    let adapter = Simulated::new(&endpoint, options.courier_timeout).unwrap();
    let orders = Database::new(databases.orders_url(), 6);
    let master = MasterKey::load_or_make(&databases.folder.path().join("vault/master.key"), true).unwrap();
    let vault = Vault::new(
        VaultDatabase::new(databases.vault_url(), 2),
        master,
        clock.clone(),
        VaultSettings {
            epoch_length: Duration::from_secs(86_400),
            epochs_ahead: 7,
            key_cache: Duration::from_secs(60),
            copy_horizon: COPY_HORIZON.to_std().unwrap(),
        },
    );
    let vault = match &databases.mirror {
        Some(path) => vault.mirrored(Mirror::at(path)),
        None => vault,
    };
    vault.pair_with(&orders).unwrap();
    let adapter = Configured {
        courier: Arc::new(adapter),
        region: "CN".to_owned(),
    };
    let mut configured = vec![adapter];
    let mut fakes = Vec::new();
    for (name, region, signs) in options.fakes {
        let fake = Arc::new(Fake::new(name, *signs, clock.clone()));
        configured.push(Configured {
            courier: fake.clone(),
            region: (*region).to_owned(),
        });
        fakes.push(fake);
    }
    let app = App {
        orders,
        vault: Arc::new(vault),
        couriers: Couriers::new(options.couriers.iter().cloned().chain(configured), "simulated").unwrap(),
        clock: clock.clone(),
        settings: Arc::new(settings(options.fallbacks)),
    };
    (app, fakes)
}

fn make_key(app: &App, client: &str, scopes: &str) -> String {
    let scopes = Scopes::parse(scopes).unwrap();
    let now = app.clock.business_now();
    let made = app
        .orders
        .write_blocking(|conn| api_keys::create_in_tx(conn, "test", client, scopes, &Actor::CommandLine, now))
        .unwrap();
    made.bearer.expose().clone()
}

/// The simulated courier, with what it remembers in the databases' folder.
fn open_courier(databases: &Databases, clock: &Clock, faults: &[&str]) -> RunningSandbox {
    let config = SandboxConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        state_file: databases.folder.path().join("courier.jsonl"),
        webhook_url: None,
        webhook_secret: Secret::new(planted::WEBHOOK_SECRET.to_owned()),
        faults: Faults::from_flags(faults).unwrap(),
    };
    sandbox::start(config, clock.clone()).unwrap()
}

impl TestApp {
    async fn start(engine: Engine, options: Options) -> Self {
        let logged_from = logs::listen();
        let mut databases = Databases::migrated(engine);
        if options.mirrored {
            databases.mirror = Some(databases.folder.path().join("journal.mirror"));
        }
        let clock = Clock::manual(start_of_time());
        let courier = open_courier(&databases, &clock, options.faults);
        let (app, fakes) = assemble(&databases, &clock, &courier, &options);
        app.vault.make_ahead(&app.orders).unwrap();
        restore::check_pair(&app).unwrap();
        let mut served = Self::serve(app, databases, Arc::new(courier), None, options).await;
        served.logged_from = logged_from;
        served.fakes = fakes;
        served
    }

    /// Puts this copy in service as `safelight serve` would, with the same courier, clock and keys; this service itself
    /// is only to be looked back at.
    ///
    /// # Errors
    /// Why it must not start.
    pub(crate) async fn started_on(&self, databases: Databases) -> Result<Self, StartError> {
        let (app, _) = assemble(&databases, &self.clock, &self.courier, &Options::default());
        match app.vault.make_ahead(&app.orders) {
            Ok(()) | Err(VaultError::Older) => {}
            Err(error) => panic!("{error}"),
        }
        let started = restore::check_pair(&app)?;
        if started.replayed > 0 {
            app::retention::purge::sweep(&app, &Actor::System).await?;
        }
        let keys = Some(self.keys.clone());
        let served = Self::serve(app, databases, self.courier.clone(), keys, Options::default()).await;
        served.sent.store(self.sent.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(served)
    }

    /// Puts databases that another binary left in service, as `safelight serve` would at that moment, with their keys.
    pub(crate) async fn over(databases: Databases, now: BusinessTime, keys: Keys) -> (Self, Started) {
        let logged_from = logs::listen();
        let clock = Clock::manual(now);
        let courier = open_courier(&databases, &clock, &[]);
        let options = Options::default();
        for (url, which) in [
            (databases.vault_url(), Which::Vault),
            (databases.orders_url(), Which::Orders),
        ] {
            migrate::run(&mut AnyConn::open(&url).unwrap(), which).unwrap();
        }
        let (app, _) = assemble(&databases, &clock, &courier, &options);
        app.vault.make_ahead(&app.orders).unwrap();
        let started = restore::check_pair(&app).unwrap();
        if started.replayed > 0 {
            app::retention::purge::sweep(&app, &Actor::System).await.unwrap();
        }
        let mut served = Self::serve(app, databases, Arc::new(courier), Some(keys), options).await;
        served.logged_from = logged_from;
        (served, started)
    }

    /// The verbs over such databases, for what is done while no service runs on them.
    pub(crate) fn verbs_over(&self, databases: &Databases) -> App {
        assemble(databases, &self.clock, &self.courier, &Options::default()).0
    }

    async fn serve(
        app: App,
        databases: Databases,
        courier: Arc<RunningSandbox>,
        keys: Option<Keys>,
        options: Options,
    ) -> Self {
        let clock = app.clock.clone();
        let (intake, writers) = Intake::start(
            &app,
            BatchSettings {
                queue: options.intake_queue,
                batch: 64,
                writers: 2,
            },
        )
        .unwrap();
        let events = BatchSettings {
            queue: 4096,
            batch: 64,
            writers: 1,
        };
        let (inbox, inbox_writers) = Inbox::start(&app, events).unwrap();
        let (server, address) =
            super::server::serve(&app, intake.clone(), inbox, &databases.folder.path().join("data"));
        if options.courier_reports {
            courier
                .set_webhook_url(Some(format!("http://{address}/webhooks/simulated")))
                .unwrap();
        }
        let client = client::build(Duration::from_secs(60)).unwrap();
        let keys = match keys {
            Some(keys) => keys,
            None => {
                let made = ["orders", "floor", "ops", "privacy", "admin"].map(|scope| make_key(&app, "shop", scope));
                let [orders, floor, ops, privacy, admin] = made;
                Keys {
                    orders,
                    floor,
                    ops,
                    privacy,
                    admin,
                }
            }
        };
        let (intake, writers) = (Some(intake), vec![writers, inbox_writers]);
        let sent = AtomicU32::new(0);
        Self {
            clock,
            app,
            databases,
            courier,
            fakes: Vec::new(),
            keys,
            address,
            client,
            server,
            intake,
            writers,
            logged_from: logs::listen(),
            sent,
        }
    }

    /// Stops everything in the order of a graceful stop, then looks for planted values in the log.
    pub(crate) async fn finish(mut self) {
        self.server.stop(true).await;
        drop(self.intake.take());
        let writers = self.writers;
        actix_web::rt::task::spawn_blocking(move || writers.into_iter().for_each(Writers::join))
            .await
            .unwrap();
        // A copy in service shares it: the last one stops it.
        if let Some(courier) = Arc::into_inner(self.courier) {
            courier.stop().await;
        }
        let leaks = logs::take_leaks();
        assert!(leaks.is_empty(), "planted values were logged: {leaks:#?}");
    }

    // Requests

    /// Sends a request and reads the answer; `body` as JSON. No answer but a reveal's and an export's may hold the person,
    /// and one request of a data subject what was written about it.
    pub(crate) async fn send(&self, method: Method, key: Option<&str>, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.request(method, path);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = Answer::read(request.send().await.expect("an answer")).await;
        let one_request =
            path.contains("/subject-requests/") || (path.ends_with("/subject-requests") && body.is_some());
        let shows = one_request || path.ends_with("/reveal");
        if shows && (200..300).contains(&answer.status) {
            answer
        } else {
            answer.holds_no_person()
        }
    }

    /// A request to be finished by the test itself.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Answer {
        self.send(Method::GET, Some(key), path, None).await
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: Value) -> Answer {
        self.send(Method::POST, Some(key), path, Some(&body)).await
    }

    pub(crate) async fn put(&self, key: &str, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, Some(key), path, Some(&body)).await
    }

    /// `POST /v1/orders` under a fresh idempotency key.
    pub(crate) async fn place(&self, key: &str, order: &Value) -> Answer {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        self.place_as(key, &format!("{}{number}", planted::IDEMPOTENCY), order)
            .await
    }

    /// `POST /v1/orders` under that idempotency key.
    pub(crate) async fn place_as(&self, key: &str, idempotency: &str, order: &Value) -> Answer {
        let request = self.request(Method::POST, "/v1/orders").bearer_auth(key).json(order);
        let answer = request
            .header("Idempotency-Key", idempotency)
            .send()
            .await
            .expect("an answer");
        Answer::read(answer).await.holds_no_person()
    }

    /// A new API key of the client `shop`; the whole bearer token.
    pub(crate) fn key(&self, scopes: &str) -> String {
        self.key_of("shop", scopes)
    }

    /// A new API key of that client.
    pub(crate) fn key_of(&self, client: &str, scopes: &str) -> String {
        make_key(&self.app, client, scopes)
    }

    // Time and work

    /// Moves both clocks on.
    pub(crate) fn advance(&self, by: TimeDelta) {
        self.clock.advance_business(by);
        self.clock.advance_wall(by);
    }

    /// Runs jobs until none is due; returns how many ran.
    pub(crate) async fn run_jobs(&self) -> usize {
        jobs::run_due(&self.app).await.unwrap()
    }

    /// Does this while nobody can write a shipment, so that events which come meanwhile wait and are taken in together.
    pub(crate) async fn while_events_wait<T>(&self, work: impl Future<Output = T>) -> T {
        let mut blocker = self.conn();
        let lock = match self.databases.engine {
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres => "BEGIN; LOCK TABLE shipment_attempts IN ACCESS EXCLUSIVE MODE",
        };
        blocker.batch_execute(lock).unwrap();
        let (done, ()) = futures_util::future::join(work, async {
            actix_web::rt::time::sleep(Duration::from_millis(700)).await;
            blocker.batch_execute("ROLLBACK").unwrap();
        })
        .await;
        done
    }

    /// Asks the couriers about parcels without news, as the worker's loop does; returns how many.
    pub(crate) async fn run_polls(&self) -> usize {
        app::parcels::poll_tracking::sweep(&self.app).await.unwrap()
    }

    /// Runs the recurring work once, as the worker's loops do.
    pub(crate) async fn run_upkeep(&self) {
        app::recovery::housekeeping::make_keys_ahead(&self.app).await.unwrap();
        while app::orders::print_floor::return_lapsed(&self.app).await.unwrap() > 0 {}
        while app::retention::expiry::expire_drafts(&self.app).await.unwrap() > 0 {}
        app::retention::expiry::end_stuck(&self.app).await.unwrap();
        app::subject_requests::reconcile::pursue_all(&self.app).await.unwrap();
        app::subject_requests::remind::remind(&self.app).await.unwrap();
        app::retention::purge::sweep(&self.app, &Actor::System).await.unwrap();
        app::retention::leftovers::take_back(&self.app).await.unwrap();
        app::recovery::housekeeping::forget(&self.app).await.unwrap();
    }

    /// Asks until it holds; for what happens in other threads. Gives up after half a minute of real time.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        for _ in 0..600 {
            if holds().await {
                return;
            }
            actix_web::rt::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it did not come to be that {what}");
    }

    // The courier, from its own side

    /// Sets the courier's faults: `{"refuse": true}`, `{"down": {"times": 2}}`; `{}` for none.
    pub(crate) async fn courier_faults(&self, faults: Value) {
        let url = format!("{}/faults", self.courier.base_url());
        let answer = self.client.put(url).json(&faults).send().await.unwrap();
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }

    /// Every parcel that the courier knows under a booking reference.
    pub(crate) async fn parcels(&self, reference: &str) -> Vec<Value> {
        self.courier_get(&format!("/parcels?reference={reference}")).await["data"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// Every parcel that the courier knows.
    pub(crate) async fn all_parcels(&self) -> Vec<Value> {
        self.courier_get("/parcels?limit=500").await["data"]
            .as_array()
            .unwrap()
            .clone()
    }

    async fn courier_get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.courier.base_url());
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }

    // Below the surface

    /// A connection of the test's own.
    pub(crate) fn conn(&self) -> AnyConn {
        self.databases.open_orders()
    }

    /// What was logged since this service began (its neighbours' lines are in it too).
    pub(crate) fn logged(&self) -> String {
        logs::since(self.logged_from)
    }
}
