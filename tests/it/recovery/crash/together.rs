//! Two services on one PostgreSQL: they share the bookings and the purges, and one goes on where the other is killed.

use std::time::Instant as Stopwatch;

use rustix::process::Signal;
use serde_json::Value;

use super::courier::Courier;
use super::load::Shop;
use super::{ORDERS, PRINTS};
use crate::harness::databases::Engine;
use crate::harness::rows;
use crate::process::{Installation, PATIENCE, block_on, pause};

/// Business seconds in a second: a day. Parcels are delivered in one and a quarter.
const SPEED: &str = "86400";

#[test]
fn two_services_book_each_order_once_and_purge_each_order_once() {
    block_on(async {
        let mut installation = Installation::new(Engine::Postgres);
        installation.settings.extend([
            ("SAFELIGHT__CLOCK__SPEED", SPEED.to_owned()),
            ("SAFELIGHT__RETENTION__WINDOW", "10d".to_owned()),
            ("SAFELIGHT__RETENTION__STUCK_AFTER", "3650d".to_owned()),
            ("SAFELIGHT__VAULT__EPOCH_LENGTH", "365d".to_owned()),
            ("SAFELIGHT__VAULT__COPY_HORIZON", "3650d".to_owned()),
        ]);
        let key = installation.key("admin");
        let mut conn = installation.databases.open_orders();
        let clock = rows::texts(&mut conn, "value", "meta WHERE key = 'clock'");
        let (origin, _) = clock[0].split_once('x').unwrap();
        let living = [
            "--speed",
            SPEED,
            "--origin",
            origin,
            "--fault",
            "drop_after_booking=0.3",
        ];
        let courier = Courier::start(&mut installation, &living);
        let [one, other] = [installation.serve().await, installation.serve().await];
        courier.tells(one.address).await;
        let shop = Shop::new(key.clone());
        tokio::join!(
            shop.works(&one, 2 * ORDERS, PRINTS, async || ()),
            shop.works(&other, 2 * ORDERS, PRINTS, async || ()),
        );
        shop.finishes(&other).await;
        let placed = i64::try_from(shop.placed()).unwrap();
        let purged = async |conn: &mut _, enough: i64| {
            let started = Stopwatch::now();
            while rows::count(conn, "purge_receipts") < enough {
                assert!(started.elapsed() < PATIENCE, "{} {}", one.said(), other.said());
                pause().await;
            }
        };
        purged(&mut conn, placed / 4).await;
        one.signal(Signal::KILL);
        courier.tells(other.address).await;
        purged(&mut conn, placed).await;
        assert_eq!(rows::count(&mut conn, "purge_receipts"), placed);
        assert_eq!(rows::count(&mut conn, "order_person"), 0);
        assert_eq!(courier.parcels().await.len(), shop.placed());
        assert_eq!(receipts_in(&other.get(&key, "/admin/v1/audit?limit=200").await), placed);
        assert_eq!(other.get(&key, "/admin/v1/audit/verify").await["ok"], true);
        one.said_nothing_personal();
        other.said_nothing_personal();
    });
}

/// How many receipts the audit log vouches for: one entry a sweep, `receipts=N sha256=...`.
fn receipts_in(audit: &Value) -> i64 {
    assert!(audit["next_cursor"].is_null(), "more than a page");
    let entries = audit["data"].as_array().unwrap().iter();
    let details = entries
        .filter(|entry| entry["action"] == "purge")
        .map(|entry| entry["detail"].as_str().unwrap());
    details
        .map(|detail| {
            let (_, rest) = detail.split_once("receipts=").unwrap();
            rest.split(' ').next().unwrap().parse::<i64>().unwrap()
        })
        .sum()
}
