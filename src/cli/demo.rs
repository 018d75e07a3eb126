//! `safelight demo`: one order's whole life through the real HTTP API on a throwaway database, at five days a second,
//! ending in its purge and a look at what is left of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant as Stopwatch};

use serde_json::{Value, json};

use crate::app::App;
use crate::cli::serve::{Role, Running, told_to_stop};
use crate::cli::{Failure, out, runtime, setup};
use crate::config::{Config, LoadOptions};
use crate::couriers::client;
use crate::domain::actor::Actor;
use crate::domain::scope::{Scope, Scopes};
use crate::privacy::Secret;
use crate::store::purges;

/// Business seconds in a second: five days.
const SPEED: u32 = 432_000;

/// Waited for where only that there is a value counts.
const ANYTHING: &str = "*";

/// The person of the demonstration; no such person exists.
const NAME: &str = "张三";
const PHONE: &str = "13800138000";
const STREET: &str = "科技中二路软件园一期7-305";
const PHOTO: &str = "oss://id-photos/demo/a.jpg";

/// Runs the demonstration in a folder of its own and removes it.
///
/// # Errors
/// A step did not do what it should.
pub(super) fn run() -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("safelight-demo-{}", crate::domain::ids::RowId::generate()));
    std::fs::create_dir_all(&folder)?;
    let done = runtime()?.block_on(async {
        tokio::select! {
            done = live(&folder) => done,
            stopped = told_to_stop() => stopped.map_err(Failure::from).and_then(|()| Err("interrupted".into())),
        }
    });
    std::fs::remove_dir_all(&folder)?;
    done
}

async fn live(folder: &Path) -> Result<(), Failure> {
    let config = config(folder)?;
    let _log = crate::telemetry::init(&config.log, false)?;
    let running = Running::start(&config, Role::Both).await?;
    let address = running.address().ok_or("the demonstration has no address")?;
    let shop = Shop::open(&running, address)?;
    let shown = shop.whole_life().await;
    let proof = match &shown {
        Ok(order) => prove(running.app(), folder, order).await,
        Err(_) => Ok(()),
    };
    running.stop().await;
    shown?;
    proof
}

fn config(folder: &Path) -> Result<Config, Failure> {
    let flags = [
        ("http.listen", "127.0.0.1:0".to_owned()),
        ("http.rate_limit.enabled", "false".to_owned()),
        ("clock.speed", SPEED.to_string()),
        ("jobs.poll", "100ms".to_owned()),
        ("log.filter", "error".to_owned()),
    ];
    Ok(setup::load(&LoadOptions {
        file: None,
        working_dir: PathBuf::from(folder),
        env: Vec::new(),
        flags: flags.into_iter().collect(),
    })?)
}

/// A shop's side of the API.
struct Shop {
    http: reqwest::Client,
    base: String,
    bearer: Secret<String>,
}

impl Shop {
    fn open(running: &Running, address: std::net::SocketAddr) -> Result<Self, Failure> {
        let now = running.app().clock.business_now();
        let scopes = Scopes::new([Scope::Admin]);
        let made = running.app().orders.write_blocking(|conn| {
            crate::app::access::api_keys::create_in_tx(conn, "demo", "demo", scopes.clone(), &Actor::Demo, now)
        })?;
        Ok(Self {
            http: client::build(Duration::from_secs(10))?,
            base: format!("http://{address}"),
            bearer: made.bearer,
        })
    }

    /// Every step of an order, shown; returns its id.
    async fn whole_life(&self) -> Result<String, Failure> {
        say("The clock runs at five days a second. One order, through the HTTP API:\n")?;
        let order = self.post("/v1/orders", Some("demo-1"), &body()).await?;
        let id = text(&order, "/id")?;
        step(
            "placed",
            "the answer shows the recipient masked",
            at(&order, "/recipient"),
        )?;

        let claimed = self
            .post(
                "/admin/v1/print-queue/claim",
                None,
                &json!({"operator": "wang", "limit": 1}),
            )
            .await?;
        let leased = claimed.pointer("/data/0/status").cloned().unwrap_or_default();
        step("printing", "leased to an operator of the print floor", &leased)?;
        let printed = self
            .post(
                &format!("/admin/v1/orders/{id}/printed"),
                None,
                &json!({"operator": "wang"}),
            )
            .await?;
        step(
            "printed",
            "the parcel is queued in the same transaction",
            at(&printed, "/shipment/state"),
        )?;

        let booked = self.until(&id, "/shipment/state", "booked").await?;
        step(
            "booked",
            "the courier gave a tracking number",
            at(&booked, "/shipment/tracking_no"),
        )?;
        let delivered = self.until(&id, "/status", "delivered").await?;
        step(
            "delivered",
            "moved along by signed webhooks; the retention clock runs",
            at(&delivered, "/purge_due_at"),
        )?;

        let purged = self.until(&id, "/purged_at", ANYTHING).await?;
        step(
            "purged",
            "by itself, after the retention window",
            at(&purged, "/purged_at"),
        )?;
        let receipt = self.get(&format!("/admin/v1/purges/{id}")).await?;
        step(
            "receipt",
            "that, when and why, with its hash in the audit chain",
            &receipt,
        )?;
        let chain = self.get("/admin/v1/audit/verify").await?;
        step("audit", "the chain of the log holds", &chain)?;
        if *at(&chain, "/ok") != json!(true) {
            return Err("the audit chain does not hold".into());
        }
        Ok(id)
    }

    async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Result<Value, Failure> {
        let mut request = self
            .http
            .post(format!("{}{path}", self.base))
            .bearer_auth(self.bearer.expose())
            .json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        answer(path, request.send().await?).await
    }

    async fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = self
            .http
            .get(format!("{}{path}", self.base))
            .bearer_auth(self.bearer.expose());
        answer(path, request.send().await?).await
    }

    /// Waits until a field of the order is so.
    async fn until(&self, id: &str, pointer: &str, wanted: &str) -> Result<Value, Failure> {
        let started = Stopwatch::now();
        loop {
            let order = self.get(&format!("/admin/v1/orders/{id}")).await?;
            let field = order.pointer(pointer).cloned().unwrap_or_default();
            if field == json!(wanted) || (wanted == ANYTHING && !field.is_null()) {
                return Ok(order);
            }
            if started.elapsed() > Duration::from_secs(60) {
                return Err(format!("{pointer} did not become {wanted} within a minute").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn answer(path: &str, response: reqwest::Response) -> Result<Value, Failure> {
    let status = response.status();
    let body: Value = response.json().await?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(format!("{path} answered {status}: {body}").into())
    }
}

fn body() -> Value {
    json!({
        "reference": "KD20261123000187",
        "recipient": {"name": NAME, "phone": PHONE, "province": "广东省", "city": "深圳市", "district": "南山区", "street": STREET},
        "items": [{"photo_size": "cn-1in", "copies": 8, "sheets": 1, "photo": PHOTO}],
        "amount": "12.90",
        "currency": "CNY",
        "consent": {"policy_version": "2024-06", "accepted_at": "2026-11-23T08:00:00Z", "courier_sharing": true, "minor": false, "guardian_consent": false}
    })
}

/// Shows what the purged order's rows hold, then looks for the person in every byte of the data folder.
async fn prove(app: &App, folder: &Path, order: &str) -> Result<(), Failure> {
    let id = order.to_owned();
    let left = app.orders.read(move |conn| purges::remains(conn, &id)).await?;
    say("\nWhat is left of it in the database:\n")?;
    for (name, value) in left {
        say(&format!("    {name:<28} {value}"))?;
    }
    let mut found = Vec::new();
    let mut files = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path)?;
            for (what, planted) in [("name", NAME), ("phone", PHONE), ("street", STREET), ("photo", PHOTO)] {
                if bytes.windows(planted.len()).any(|window| window == planted.as_bytes()) {
                    found.push(format!("the {what} stands in {}", path.display()));
                }
            }
        }
    }
    if !found.is_empty() {
        return Err(found.join("\n").into());
    }
    say(&format!(
        "\nName, phone, street and photo reference stand in none of the {files} files of the data folder."
    ))?;
    Ok(())
}

/// A part of an answer; null where it is not there.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn text(value: &Value, pointer: &str) -> Result<String, Failure> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .ok_or_else(|| format!("the answer has no {pointer}").into())
}

fn step(name: &str, what: &str, shown: &Value) -> Result<(), Failure> {
    say(&format!("  {name:<10} {what}\n             {shown}"))
}

fn say(line: &str) -> Result<(), Failure> {
    out::print(line)?;
    Ok(())
}
