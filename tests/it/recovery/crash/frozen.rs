//! A process that is frozen, as a virtual machine that is moved. In the middle of its bookings, for longer than their
//! leases last: others do its work meanwhile, and it must not do it again when it wakes up (on PostgreSQL, which alone
//! can be shared by two services). In the middle of taking an order, for longer than a retirement takes: what it stores
//! when it wakes up can be read.

use std::time::{Duration, Instant as Stopwatch};

use diesel::connection::SimpleConnection as _;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

use super::courier::Courier;
use super::load::{Shop, answer};
use super::{ORDERS, PRINTS};
use crate::harness::databases::{Databases, Engine};
use crate::harness::{planted, rows};
use crate::process::{Installation, PATIENCE, Served, block_on, order, pause};
use crate::recovery::stolen::todays_keys;

/// Freezes it while at least one of its bookings is under way.
async fn freeze(served: &Served, databases: &Databases) {
    let mut conn = databases.open_orders();
    let mut bookings = || rows::count(&mut conn, "shipment_attempts WHERE state = 'booking'");
    let started = Stopwatch::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "nothing is booked: {}", served.said());
        if bookings() > 0 {
            served.freeze();
            if bookings() > 0 {
                return;
            }
            served.signal(Signal::CONT);
        }
        actix_web::rt::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_process_frozen_while_it_books_is_outlived_and_books_nothing_again() {
    block_on(async {
        let mut installation = Installation::new(Engine::Postgres);
        let courier = Courier::start(&mut installation, &["--fault", "slow=0.7,delay=1.5"]);
        let [frozen, other] = [installation.serve().await, installation.serve().await];
        let shop = Shop::new(installation.key("admin"));
        let freezes = async || freeze(&frozen, &installation.databases).await;
        // The other sleeps until then, so that the bookings under way are the first one's.
        other.freeze();
        shop.works(&frozen, ORDERS, PRINTS, freezes).await;
        other.signal(Signal::CONT);
        let mut conn = installation.databases.open_orders();
        let started = Stopwatch::now();
        while rows::count(&mut conn, "order_events WHERE code = 'interrupted'") == 0 {
            assert!(started.elapsed() < PATIENCE, "nobody took over: {}", other.said());
            pause().await;
        }
        // Its leases are over: the other finds out what became of its bookings, and does the rest.
        shop.finishes(&other).await;
        frozen.signal(Signal::CONT);
        shop.works(&frozen, ORDERS, PRINTS, async || ()).await;
        shop.finishes(&frozen).await;
        shop.has_lost_nothing(&other, &courier).await;
        frozen.said_nothing_personal();
        other.said_nothing_personal();
    });
}

/// Gives up every key there is, from another process.
fn retire(installation: &Installation) {
    let first = "vault_keys WHERE purpose = 'epoch' AND id = 1 AND wrapped IS NOT NULL";
    assert_eq!(rows::count(&mut installation.databases.open_vault(), first), 1);
    let (status, out, err) = installation.run(&["vault", "retire", "--now"]);
    assert!(status.success(), "{out}{err}");
    assert_eq!(rows::count(&mut installation.databases.open_vault(), first), 0, "{out}");
}

/// Whoever asks under these keys has an order that can be read, and no row names a key that is gone.
async fn can_be_read(installation: &Installation, served: &Served, key: &str, sent: &[(String, serde_json::Value)]) {
    for (idempotency, body) in sent {
        let placed = served.place(key, idempotency, body).await.unwrap().is(201);
        let reason = json!({"reason": planted::REASON});
        let path = format!("/admin/v1/orders/{}/reveal", placed["id"].as_str().unwrap());
        assert!(
            served
                .post(key, &path, reason)
                .await
                .to_string()
                .contains(planted::NAME)
        );
    }
    let ring = todays_keys(&installation.databases);
    let mut conn = installation.databases.open_orders();
    let epochs = rows::texts(&mut conn, "CAST(epoch AS text)", "order_person");
    assert_eq!(epochs.len(), sent.len());
    assert!(
        epochs.iter().all(|epoch| ring.knows(epoch.parse().unwrap())),
        "{epochs:?}"
    );
    served.said_nothing_personal();
}

/// Its transaction holds its epoch open, so that the retirement waits, until PostgreSQL rolls it back: a transaction in
/// which nothing has come for ten seconds.
#[test]
fn an_order_sealed_before_its_process_froze_is_not_stored_under_a_gone_key() {
    block_on(async {
        let installation = Installation::new(Engine::Postgres);
        let served = installation.serve().await;
        let key = installation.key("admin");
        let sent = [("planted-key-frozen".to_owned(), order())];
        // Held until the service waits with what it has sealed; everything before it in its transaction is done by then.
        let mut holder = installation.databases.open_orders();
        holder
            .batch_execute("BEGIN; LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE")
            .unwrap();
        let mut conn = installation.databases.open_orders();
        let freezes = async {
            let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                           AND query LIKE 'WITH new AS%INSERT INTO orders%'";
            let started = Stopwatch::now();
            while rows::count(&mut conn, waiting) == 0 {
                assert!(started.elapsed() < PATIENCE, "no order waits: {}", served.said());
                pause().await;
            }
            served.freeze();
            holder.batch_execute("ROLLBACK").unwrap();
            retire(&installation);
            served.signal(Signal::CONT);
        };
        let (answered, ()) = tokio::join!(served.place(&key, &sent[0].0, &sent[0].1), freezes);
        // Its commit came too late, and it says so: whoever asks again under the same key gets an order.
        assert_eq!(answered.unwrap().status, 503);
        can_be_read(&installation, &served, &key, &sent).await;
    });
}

/// On SQLite what is sealed is sealed under the one write lock, under which no retirement can begin. The process is frozen
/// while it waits for that lock with the keys of yesterday in its hands.
#[test]
fn an_order_whose_process_froze_before_writing_is_sealed_under_a_live_key() {
    block_on(async {
        let mut installation = Installation::new(Engine::Sqlite);
        let one = |name| (name, "1".to_owned());
        installation
            .settings
            .extend([one("SAFELIGHT__INTAKE__QUEUE"), one("SAFELIGHT__INTAKE__BATCH")]);
        let served = installation.serve().await;
        let key = installation.key("admin");
        let mut holder = installation.databases.open_orders();
        holder.batch_execute("BEGIN IMMEDIATE").unwrap();
        // One waits in the queue, which holds one; so the other is in the writer's hands, and the next is refused.
        let mut waiting: Vec<((String, serde_json::Value), _)> = Vec::new();
        for number in 0.. {
            assert!(number < 100, "the queue is never full: {}", served.said());
            let sent = (format!("planted-key-frozen-{number}"), order());
            let request = served
                .request(Method::POST, &key, "/v1/orders")
                .header("Idempotency-Key", &sent.0)
                .json(&sent.1);
            let mut answered = actix_web::rt::spawn(answer(request));
            match tokio::time::timeout(Duration::from_millis(300), &mut answered).await {
                Ok(answer) => assert_eq!(answer.unwrap().map(|(status, _)| status), Some(503)),
                Err(_) => {
                    waiting.push((sent, answered));
                    continue;
                }
            }
            if waiting.iter().filter(|(_, answered)| !answered.is_finished()).count() == 2 {
                break;
            }
        }
        served.freeze();
        holder.batch_execute("ROLLBACK").unwrap();
        retire(&installation);
        served.signal(Signal::CONT);
        let mut taken = Vec::new();
        for (sent, answered) in waiting {
            if let Some((201, _)) = answered.await.unwrap() {
                taken.push(sent);
            }
        }
        assert_eq!(taken.len(), 2, "{}", served.said());
        can_be_read(&installation, &served, &key, &taken).await;
    });
}
