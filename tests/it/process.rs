//! The program itself, as an operator runs it: started, killed, stopped, and run twice.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant as Stopwatch};

use macro_rules_attribute::apply;
use reqwest::Method;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use safelight::clock::Clock;
use safelight::couriers::client;
use safelight::couriers::simulated::sandbox::{self, Faults, RunningSandbox, SandboxConfig};
use safelight::privacy::Secret;
use serde_json::{Value, json};

use crate::harness::answer::Answer;
use crate::harness::databases::{Databases, Engine};
use crate::harness::{fixtures, planted, rows};

/// How long a program may take to come up on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An installation: two databases, a folder, and settings.
pub(crate) struct Installation {
    pub(crate) databases: Databases,
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Installation {
    pub(crate) fn new(engine: Engine) -> Self {
        Self::on(Databases::bare(engine))
    }

    /// On databases of the test's own.
    pub(crate) fn on(databases: Databases) -> Self {
        let settings = vec![
            ("SAFELIGHT__DATABASE__URL", databases.orders.clone()),
            ("SAFELIGHT__VAULT__URL", databases.vault.clone()),
            ("SAFELIGHT__HTTP__LISTEN", "127.0.0.1:0".to_owned()),
            ("SAFELIGHT__HTTP__RATE_LIMIT__ENABLED", "false".to_owned()),
            ("SAFELIGHT__JOBS__POLL", "100ms".to_owned()),
            ("SAFELIGHT__LOG__FORMAT", "json".to_owned()),
            ("SAFELIGHT__LOG__FILTER", "debug".to_owned()),
        ];
        Self { databases, settings }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_safelight"));
        command
            .args(arguments)
            .current_dir(self.databases.folder.path())
            .stdin(Stdio::null());
        for (name, value) in &self.settings {
            command.env(name, value);
        }
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> (ExitStatus, String, String) {
        let out = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (out.status, text(out.stdout), text(out.stderr))
    }

    /// A key, made by the command line beside whatever runs.
    pub(crate) fn key(&self, scopes: &str) -> String {
        let (status, out, err) = self.run(&["keys", "create", "--name", "shop", "--scope", scopes]);
        assert!(status.success(), "{err}");
        out.trim().to_owned()
    }

    pub(crate) async fn serve(&self) -> Served {
        self.serve_as(&["serve"]).await
    }

    pub(crate) async fn serve_as(&self, command: &[&str]) -> Served {
        let number = std::fs::read_dir(self.databases.folder.path()).unwrap().count();
        let log = self.databases.folder.path().join(format!("stderr-{number}"));
        let child = self
            .command(command)
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut served = Served {
            child,
            log,
            address: ([127, 0, 0, 1], 0).into(),
            client: client::build(Duration::from_secs(30)).unwrap(),
        };
        let started = Stopwatch::now();
        loop {
            let said = served.said();
            if let Some((_, rest)) = said.split_once("listens on http://") {
                served.address = rest.split([' ', '/', '\n']).next().unwrap().parse().unwrap();
                break;
            }
            assert!(served.child.try_wait().unwrap().is_none(), "it ended at once: {said}");
            assert!(started.elapsed() < PATIENCE, "it did not come up: {said}");
            pause().await;
        }
        loop {
            let ready = served
                .client
                .get(format!("http://{}/readyz", served.address))
                .send()
                .await;
            if ready.is_ok_and(|answer| answer.status() == 200) {
                return served;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "it did not become ready: {}",
                served.said()
            );
            pause().await;
        }
    }
}

pub(crate) async fn pause() {
    actix_web::rt::time::sleep(Duration::from_millis(50)).await;
}

/// A running `safelight serve`; killed with the test if need be.
pub(crate) struct Served {
    child: Child,
    log: std::path::PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) client: reqwest::Client,
}

impl Served {
    pub(crate) fn said(&self) -> String {
        let mut text = String::new();
        File::open(&self.log).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn request(&self, method: Method, key: &str, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.address))
            .bearer_auth(key)
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Value {
        Answer::read(self.request(Method::GET, key, path).send().await.unwrap())
            .await
            .is(200)
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: Value) -> Value {
        Answer::read(self.request(Method::POST, key, path).json(&body).send().await.unwrap())
            .await
            .is(200)
    }

    /// The answer's status and order; `None` where there was none.
    pub(crate) async fn place(&self, key: &str, idempotency: &str, order: &Value) -> Option<Answer> {
        let request = self
            .request(Method::POST, key, "/v1/orders")
            .header("Idempotency-Key", idempotency)
            .json(order);
        let answer = request.send().await.ok()?;
        // An answer cut off in the middle is none.
        if answer.content_length().is_none() {
            None
        } else {
            Some(Answer::read(answer).await)
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it where it is; returns when its last thread stands still, which on a busy machine is not at once.
    pub(crate) fn freeze(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).unwrap();
        let stopped = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
        assert!(stopped.is_some_and(|(_, status)| status.stopped()), "{}", self.said());
    }

    pub(crate) async fn ends(&mut self) -> ExitStatus {
        let started = Stopwatch::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end: {}", self.said());
            pause().await;
        }
    }

    /// What it said holds nobody; kept apart from `drop`, which must not panic twice.
    pub(crate) fn said_nothing_personal(&self) {
        let said = self.said();
        for line in said.lines() {
            assert_eq!(planted::find(&planted::UNLOGGED, line), None, "{line}");
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A courier outside of every service.
fn courier(installation: &mut Installation, faults: &[&str]) -> RunningSandbox {
    let running = sandbox::start(
        SandboxConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            state_file: installation.databases.folder.path().join("courier.jsonl"),
            webhook_url: None,
            webhook_secret: Secret::new(planted::WEBHOOK_SECRET.to_owned()),
            faults: Faults::from_flags(faults).unwrap(),
        },
        Clock::system(),
    )
    .unwrap();
    installation.settings.extend([
        ("SAFELIGHT__COURIERS__SIMULATED__EMBEDDED", "false".to_owned()),
        ("SAFELIGHT__COURIERS__SIMULATED__BASE_URL", running.base_url()),
        (
            "SAFELIGHT__COURIERS__SIMULATED__WEBHOOK_SECRET",
            planted::WEBHOOK_SECRET.to_owned(),
        ),
        ("SAFELIGHT__COURIERS__SIMULATED__TIMEOUT", "3s".to_owned()),
        ("SAFELIGHT__COURIERS__SETTLE", "1s".to_owned()),
    ]);
    running
}

pub(crate) fn block_on(body: impl Future<Output = ()>) {
    actix_web::rt::System::new().block_on(body);
}

/// Orders that are accepted now: the contract's example was agreed to in the future of this machine, or its past.
pub(crate) fn order() -> Value {
    fixtures::order_with("/consent/accepted_at", json!("2024-06-01T00:00:00Z"))
}

/// Gives a test nothing but its engine: databases and programs are its own affair.
pub(crate) fn bare(engine: Engine, body: impl AsyncFnOnce(Engine)) {
    block_on(body(engine));
}

#[apply(on_both_engines)]
#[by(bare)]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed(engine: Engine) {
    let installation = Installation::new(engine);
    let served = installation.serve().await;
    let key = installation.key("orders");
    let orders: Vec<(String, Value)> = (0..120)
        .map(|number| (format!("planted-key-kill-{number}"), order()))
        .collect();
    let acknowledged = std::cell::Cell::new(0);
    let place = async |sent: &(String, Value)| {
        let answer = served.place(&key, &sent.0, &sent.1).await?;
        // In the middle of it all: some are answered, some are being written, some are not sent yet.
        acknowledged.set(acknowledged.get() + 1);
        if acknowledged.get() == 40 {
            served.signal(Signal::KILL);
        }
        Some(answer.is(201)["id"].as_str().unwrap().to_owned())
    };
    let answers = futures_util::future::join_all(orders.iter().map(&place)).await;
    let known: Vec<&String> = answers.iter().flatten().collect();
    assert!(known.len() >= 40, "{}", known.len());
    served.said_nothing_personal();
    drop(served);

    let served = installation.serve().await;
    for id in &known {
        served.get(&key, &format!("/v1/orders/{id}")).await;
    }
    // Whoever got no answer asks again under the same key, and nothing is there twice.
    for ((idempotency, body), before) in orders.iter().zip(&answers) {
        let again = served.place(&key, idempotency, body).await.unwrap().is(201);
        if let Some(id) = before {
            assert_eq!(again["id"], **id);
        }
    }
    let mut conn = installation.databases.open_orders();
    for table in ["orders", "order_person", "order_events"] {
        assert_eq!(rows::count(&mut conn, table), 120, "{table}");
    }
}

#[apply(on_both_engines)]
#[by(bare)]
async fn told_to_stop_it_answers_what_it_took_and_ends_well(engine: Engine) {
    let installation = Installation::new(engine);
    let mut served = installation.serve().await;
    let key = installation.key("orders");
    let orders: Vec<Value> = (0..120).map(|_| order()).collect();
    let answered = std::cell::Cell::new(0);
    let stopped = std::cell::Cell::new(None);
    let place = async |number: usize, order: &Value| {
        let answer = served.place(&key, &format!("planted-key-stop-{number}"), order).await;
        answered.set(answered.get() + 1);
        if answered.get() == 30 {
            served.signal(Signal::TERM);
            stopped.set(Some(Stopwatch::now()));
        }
        answer
            .filter(|answer| answer.status == 201)
            .map(|_| order["reference"].as_str().unwrap().to_owned())
    };
    let sent = orders.iter().enumerate().map(|(number, order)| place(number, order));
    let mut placed: Vec<String> = futures_util::future::join_all(sent)
        .await
        .into_iter()
        .flatten()
        .collect();
    let status = served.ends().await;
    let took = stopped.get().unwrap().elapsed();
    assert!(status.success(), "{status}: {}", served.said());
    assert!(took < Duration::from_secs(10), "{took:?}");
    served.said_nothing_personal();
    let mut stored = rows::texts(&mut installation.databases.open_orders(), "reference", "orders");
    placed.sort();
    stored.sort();
    assert_eq!(
        stored, placed,
        "what was written was answered, and what was answered was written"
    );
}

#[apply(on_both_engines)]
#[by(bare)]
async fn a_key_made_beside_the_service_is_printed_alone_and_works_at_once(engine: Engine) {
    let installation = Installation::new(engine);
    let served = installation.serve().await;
    let (status, out, _) = installation.run(&["keys", "create", "--name", "checkout", "--scope", "orders"]);
    assert!(status.success());
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 1, "{}", lines.len());
    assert!(lines[0].starts_with("sl_") && lines[0].split('_').count() == 3);
    served.get(lines[0], "/v1/orders").await;
    let id = lines[0].split('_').nth(1).unwrap();
    let (_, listed, _) = installation.run(&["keys", "list"]);
    assert!(listed.contains(id) && !listed.contains(lines[0].split('_').nth(2).unwrap()));
    assert!(installation.run(&["keys", "revoke", id]).0.success());
    let refused = served
        .request(Method::GET, lines[0], "/v1/orders")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 401, "when `revoke` returns the key is out of use");
    assert!(!installation.run(&["keys", "revoke", id]).0.success());
    assert!(
        !installation
            .run(&["keys", "create", "--name", "x", "--scope", "root"])
            .0
            .success()
    );
}

#[apply(on_both_engines)]
#[by(bare)]
async fn a_restarted_service_goes_on_with_what_was_under_way(engine: Engine) {
    let mut installation = Installation::new(engine);
    let courier = courier(&mut installation, &[]);
    let served = installation.serve().await;
    let key = installation.key("admin");
    let placed = served
        .place(&key, "planted-key-restart", &order())
        .await
        .unwrap()
        .is(201);
    let id = placed["id"].as_str().unwrap();
    let wang = || json!({"operator": "wang"});
    served.post(&key, "/admin/v1/print-queue/claim", wang()).await;
    drop(served);
    let served = installation.serve().await;
    served
        .post(&key, &format!("/admin/v1/orders/{id}/printed"), wang())
        .await;
    let started = Stopwatch::now();
    while served.get(&key, &format!("/admin/v1/orders/{id}")).await["shipment"]["state"] != "booked" {
        assert!(started.elapsed() < PATIENCE, "{}", served.said());
        pause().await;
    }
    courier.stop().await;
}

/// Every engine-bound claim above is about one process; this one needs an engine that two can share.
#[test]
fn two_services_on_one_postgres_share_the_work_and_book_nothing_twice() {
    block_on(async {
        let mut installation = Installation::new(Engine::Postgres);
        let courier = courier(&mut installation, &["drop_after_booking=0.3"]);
        let services = [installation.serve().await, installation.serve().await];
        let key = installation.key("admin");
        let mut ids = Vec::new();
        for number in 0..24 {
            let served = &services[number % 2];
            let placed = served
                .place(&key, &format!("planted-key-two-{number}"), &order())
                .await
                .unwrap()
                .is(201);
            ids.push(placed["id"].as_str().unwrap().to_owned());
        }
        let wang = |_: usize| json!({"operator": "wang", "limit": 50});
        services[0].post(&key, "/admin/v1/print-queue/claim", wang(0)).await;
        for (number, id) in ids.iter().enumerate() {
            let path = format!("/admin/v1/orders/{id}/printed");
            services[(number + 1) % 2]
                .post(&key, &path, json!({"operator": "wang"}))
                .await;
        }
        for (number, id) in ids.iter().enumerate() {
            let started = Stopwatch::now();
            let path = format!("/admin/v1/orders/{id}");
            while services[number % 2].get(&key, &path).await["shipment"]["state"] != "booked" {
                assert!(started.elapsed() < PATIENCE, "{}", services[0].said());
                pause().await;
            }
        }
        let client = client::build(Duration::from_secs(10)).unwrap();
        let all = client
            .get(format!("{}/parcels?limit=500", courier.base_url()))
            .send()
            .await
            .unwrap();
        let all: Value = all.json().await.unwrap();
        assert_eq!(all["count"], ids.len(), "one parcel an order");
        for served in &services {
            served.said_nothing_personal();
        }
        courier.stop().await;
    });
}

#[test]
fn a_second_service_on_one_sqlite_file_is_refused() {
    block_on(async {
        let installation = Installation::new(Engine::Sqlite);
        let served = installation.serve().await;
        let (status, _, err) = installation.run(&["serve"]);
        assert!(!status.success() && err.contains("another"), "{err}");
        let ready = served
            .client
            .get(format!("http://{}/readyz", served.address))
            .send()
            .await
            .unwrap();
        assert_eq!(ready.status(), 200, "the first goes on");
        drop(served);
        // The lock is the system's and went with the process.
        installation.serve().await;
    });
}

#[test]
fn the_demonstration_runs_a_whole_life_and_ends_well() {
    let installation = Installation::new(Engine::Sqlite);
    let demo = Command::new(env!("CARGO_BIN_EXE_safelight"))
        .arg("demo")
        .current_dir(installation.databases.folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&demo.stdout).into_owned() + &String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "{said}");
    for step in ["placed", "booked", "delivered", "purged", "receipt"] {
        assert!(said.contains(step), "{said}");
    }
    assert!(!said.contains("13800138000"), "{said}");
}

#[test]
fn the_first_start_leaves_an_admin_key_in_a_file_for_its_owner_alone() {
    block_on(async {
        use std::os::unix::fs::PermissionsExt as _;
        let installation = Installation::new(Engine::Sqlite);
        let served = installation.serve().await;
        let path = installation.databases.folder.path().join("data/first-admin-key");
        let key = std::fs::read_to_string(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        served.get(key.trim(), "/admin/v1/audit").await;
        assert!(!served.said().contains(key.trim()), "only the path is logged");
    });
}

#[test]
fn a_wrong_configuration_is_refused_with_the_key_named_and_the_value_not() {
    let mut installation = Installation::new(Engine::Sqlite);
    installation
        .settings
        .push(("SAFELIGHT__RETENTION__WINDOW", "司马植入".to_owned()));
    let (status, _, err) = installation.run(&["serve"]);
    assert!(
        !status.success() && err.contains("retention.window") && !err.contains("植入"),
        "{err}"
    );
}
