//! Killed at random points of retirements and purges while orders are taken, called off and purged: every order that
//! lives can be read afterwards, what was purged stays gone, nothing is gone by half, and no row names a key that no
//! longer exists.
//!
//! Business time runs so fast that a key epoch lasts a quarter of a second and is given up a second later: the service
//! retires without a pause.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::{Duration, Instant as Stopwatch};

use futures_util::future::join_all;
use macro_rules_attribute::apply;
use reqwest::Method;
use rustix::process::Signal;
use safelight::store::AnyConn;
use safelight::store::personal_records::{self, PersonalRecordRow};
use safelight::vault::keyring::Table;
use serde_json::{Value, json};

use super::load::answer;
use crate::harness::databases::{Databases, Engine};
use crate::harness::fixtures::set;
use crate::harness::{planted, rows};
use crate::process::{Installation, PATIENCE, Served, block_on, order, pause};
use crate::recovery::stolen::todays_keys;

const KILLS: usize = 20;
/// Who places orders at the same time.
const CHECKOUTS: usize = 4;
/// Orders placed between two kills at most: enough that a retirement takes its time.
const A_LIFE: usize = 24;

/// What was asked for an order after it was placed, answered or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Nothing: it lives.
    Nothing,
    /// That it be called off: retention purges it a day later, which is a second.
    Cancel,
    /// That it be purged at once.
    Purge,
}

struct Sent {
    key: String,
    name: String,
    body: Value,
    asked: Asked,
    id: Option<String>,
}

/// A seed that a failure can be repeated with as far as threads allow.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Checkouts that remember what they sent.
struct Shop {
    bearer: String,
    made: Cell<u32>,
    unanswered: RefCell<Vec<Sent>>,
    placed: RefCell<Vec<Sent>>,
}

impl Shop {
    fn new_order(&self) -> Sent {
        let number = self.made.replace(self.made.get() + 1);
        let own = char::from_u32(u32::from('\u{4e00}') + number).unwrap();
        let name = format!("{}{own}", planted::NAME);
        let mut body = order();
        set(&mut body, "/recipient/name", json!(name));
        let asked = [Asked::Nothing, Asked::Cancel, Asked::Purge][usize::try_from(number).unwrap() % 3];
        let key = format!("{}retiring-{number}", planted::IDEMPOTENCY);
        Sent {
            key,
            name,
            body,
            asked,
            id: None,
        }
    }

    /// Places what was not answered, or a new order, and asks for what is to be asked for.
    async fn places_one(&self, served: &Served) {
        let waiting = self.unanswered.borrow_mut().pop();
        let mut sent = waiting.unwrap_or_else(|| self.new_order());
        let request = served
            .request(Method::POST, &self.bearer, "/v1/orders")
            .header("Idempotency-Key", &sent.key)
            .json(&sent.body);
        match answer(request).await {
            Some((201, placed)) => sent.id = placed["id"].as_str().map(str::to_owned),
            None | Some((500.., _)) => return self.unanswered.borrow_mut().push(sent),
            Some(other) => panic!("{other:?}"),
        }
        let done = self.asks(served, &sent).await;
        assert!(done.is_none_or(|status| status == 200 || status >= 500), "{done:?}");
        self.placed.borrow_mut().push(sent);
    }

    async fn asks(&self, served: &Served, sent: &Sent) -> Option<u16> {
        let id = sent.id.as_deref().unwrap();
        let path = match sent.asked {
            Asked::Nothing => return None,
            Asked::Cancel => format!("/v1/orders/{id}/cancel"),
            Asked::Purge => format!("/admin/v1/orders/{id}/purge"),
        };
        let reason = json!({"reason": planted::REASON});
        let request = served.request(Method::POST, &self.bearer, &path).json(&reason);
        Some(answer(request).await?.0)
    }

    /// Works until `end` is done.
    async fn works(&self, served: &Served, end: impl AsyncFnOnce()) {
        let over = Cell::new(false);
        let enough = self.placed.borrow().len() + A_LIFE;
        let end = async {
            end().await;
            over.set(true);
        };
        let checkouts = join_all((0..CHECKOUTS).map(|_| async {
            while !over.get() {
                if self.placed.borrow().len() < enough {
                    self.places_one(served).await;
                } else {
                    actix_web::rt::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }));
        tokio::join!(end, checkouts);
    }
}

/// Returns in the middle of a retirement, or of a purge: some time after the database shows that one is under way.
async fn in_the_middle(conn: &mut AnyConn, served: &Served, random: &mut Random) {
    let under_way = if random.below(2) == 0 {
        "key_epochs WHERE state = 'closed'"
    } else {
        "orders WHERE purge_decided_at IS NOT NULL AND purged_at IS NULL"
    };
    let started = Stopwatch::now();
    while rows::count(conn, under_way) == 0 {
        assert!(started.elapsed() < PATIENCE, "no {under_way}: {}", served.said());
        actix_web::rt::time::sleep(Duration::from_millis(1)).await;
    }
    actix_web::rt::time::sleep(Duration::from_micros(random.below(60_000))).await;
}

/// Waits until the server has noticed that the service is gone, and done or undone what it was doing.
async fn at_rest(databases: &Databases, conn: &mut AnyConn) {
    if databases.engine == Engine::Postgres {
        let others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let started = Stopwatch::now();
        while rows::count(conn, others) > 0 {
            assert!(started.elapsed() < PATIENCE, "a killed service's sessions go on");
            pause().await;
        }
    }
}

/// What must hold whenever the service was killed: `purged` are those that were gone the last time.
fn holds(databases: &Databases, conn: &mut AnyConn, purged: &mut BTreeSet<String>, seed: &str) {
    let ring = todays_keys(databases);
    for table in ["order_person", "order_tracking", "courier_remark", "parked_events"] {
        for epoch in rows::texts(conn, "DISTINCT CAST(epoch AS text)", table) {
            assert!(
                ring.knows(epoch.parse().unwrap()),
                "{seed}: a row of {table} names the destroyed key {epoch}"
            );
        }
    }
    let all = rows::texts(conn, "order_id", "order_person");
    for some in all.chunks(500) {
        let ids: Vec<_> = some.iter().map(|id| id.parse().unwrap()).collect();
        for PersonalRecordRow {
            order_id,
            epoch,
            sealed,
            ..
        } in personal_records::of_orders(conn, &ids).unwrap()
        {
            let opened = ring.open(epoch, Table::OrderPerson, &order_id, &sealed);
            assert!(opened.is_ok(), "{seed}: order {order_id} does not open: {opened:?}");
        }
    }
    for (half, what) in [
        (
            "purged_at IS NULL AND NOT EXISTS (SELECT 1 FROM order_person p WHERE p.order_id = o.id)",
            "lost its person",
        ),
        (
            "purged_at IS NOT NULL AND EXISTS (SELECT 1 FROM order_person p WHERE p.order_id = o.id)",
            "kept its person",
        ),
        (
            "purged_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM purge_receipts r WHERE r.order_id = o.id)",
            "has no receipt",
        ),
        (
            "purged_at IS NULL AND EXISTS (SELECT 1 FROM purge_receipts r WHERE r.order_id = o.id)",
            "has a receipt too early",
        ),
    ] {
        assert_eq!(
            rows::texts(conn, "id", &format!("orders o WHERE {half}")),
            [""; 0],
            "{seed}: an order {what}"
        );
    }
    let now: BTreeSet<String> = rows::texts(conn, "id", "orders WHERE purged_at IS NOT NULL")
        .into_iter()
        .collect();
    assert!(purged.is_subset(&now), "{seed}: somebody came back");
    *purged = now;
}

/// At the end, over HTTP: who lives is read whole, who was to go is gone, and the proof finds nothing.
async fn ends_well(shop: Shop, installation: &Installation, served: &Served, seed: &str) {
    let started = Stopwatch::now();
    while !shop.unanswered.borrow().is_empty() {
        assert!(started.elapsed() < PATIENCE, "{}", served.said());
        shop.places_one(served).await;
    }
    for sent in &shop.placed.take() {
        let id = sent.id.as_deref().unwrap();
        let path = format!("/admin/v1/orders/{id}");
        let reason = json!({"reason": planted::REASON});
        match sent.asked {
            Asked::Nothing => {
                let revealed = served.post(&shop.bearer, &format!("{path}/reveal"), reason).await;
                assert!(
                    revealed.to_string().contains(&format!("\"{}\"", sent.name)),
                    "{seed}: another's name"
                );
            }
            Asked::Cancel | Asked::Purge => {
                // The answer may have been lost, or the service before it began.
                let again = shop.asks(served, sent).await;
                assert!(matches!(again, Some(200 | 409 | 410)), "{seed}: {again:?}");
                let started = Stopwatch::now();
                while served.get(&shop.bearer, &path).await["purged_at"].is_null() {
                    assert!(started.elapsed() < PATIENCE, "{seed}: {id} stays");
                    pause().await;
                }
                let receipt = served.get(&shop.bearer, &format!("/admin/v1/purges/{id}")).await;
                assert_eq!(receipt["order_id"], id);
            }
        }
    }
    let erased = rows::texts(
        &mut installation.databases.open_vault(),
        "DISTINCT subject",
        "journal WHERE kind = 'erase'",
    );
    let mut conn = installation.databases.open_orders();
    let gone: BTreeSet<String> = rows::texts(&mut conn, "order_id", "purge_receipts")
        .into_iter()
        .collect();
    assert_eq!(
        erased.into_iter().collect::<BTreeSet<_>>(),
        gone,
        "{seed}: the journal names who was purged and nobody else"
    );
    let (status, out, err) = installation.run(&["prove"]);
    assert!(status.success(), "{seed}: {out}{err}");
}

#[expect(clippy::print_stdout, reason = "the seed, for whoever has to repeat it")]
#[apply(on_both_engines)]
fn twenty_kills_in_retirements_and_purges_lose_and_bring_back_nobody(engine: Engine) {
    block_on(async {
        let mut installation = Installation::new(engine);
        installation.settings.extend([
            ("SAFELIGHT__CLOCK__SPEED", "86400".to_owned()),
            ("SAFELIGHT__VAULT__EPOCH_LENGTH", "6h".to_owned()),
            ("SAFELIGHT__VAULT__EPOCHS_AHEAD", "40".to_owned()),
            ("SAFELIGHT__VAULT__COPY_HORIZON", "1d".to_owned()),
            ("SAFELIGHT__RETENTION__WINDOW", "1d".to_owned()),
            ("SAFELIGHT__RETENTION__STUCK_AFTER", "3650d".to_owned()),
        ]);
        let number = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() % u128::from(u64::MAX)).unwrap();
        let seed = format!("seed {number}");
        println!("{engine:?}: {seed}");
        let mut random = Random(number | 1);
        let mut served = installation.serve().await;
        let shop = Shop {
            bearer: installation.key("admin"),
            made: Cell::new(0),
            unanswered: RefCell::default(),
            placed: RefCell::default(),
        };
        let mut conn = installation.databases.open_orders();
        let (mut purged, mut retiring, mut purging) = (BTreeSet::new(), 0, 0);
        for _ in 0..KILLS {
            let kill = async || {
                in_the_middle(&mut conn, &served, &mut random).await;
                served.signal(Signal::KILL);
            };
            shop.works(&served, kill).await;
            served.ends().await;
            served.said_nothing_personal();
            at_rest(&installation.databases, &mut conn).await;
            retiring += rows::count(&mut conn, "key_epochs WHERE state = 'closed'").min(1);
            purging += rows::count(
                &mut conn,
                "orders WHERE purge_decided_at IS NOT NULL AND purged_at IS NULL",
            )
            .min(1);
            holds(&installation.databases, &mut conn, &mut purged, &seed);
            served = installation.serve().await;
        }
        println!(
            "{engine:?}: {KILLS} kills, {retiring} in a retirement, {purging} in a purge, {} purged",
            purged.len()
        );
        assert!(
            retiring > 0 && purging > 0 && !purged.is_empty(),
            "{seed}: they were all somewhere else"
        );
        ends_well(shop, &installation, &served, &seed).await;
        served.said_nothing_personal();
    });
}
