//! A process that is frozen in the middle of its bookings for longer than their leases last, as a virtual machine that
//! is moved: others do its work meanwhile, and it must not do it again when it wakes up. On PostgreSQL, which alone can
//! be shared by two services.

use std::time::{Duration, Instant as Stopwatch};

use rustix::process::Signal;

use super::courier::Courier;
use super::load::Shop;
use super::{ORDERS, PRINTS};
use crate::harness::databases::{Databases, Engine};
use crate::harness::rows;
use crate::process::{Installation, PATIENCE, Served, block_on, pause};

/// Freezes it while at least one of its bookings is under way.
async fn freeze(served: &Served, databases: &Databases) {
    let mut conn = databases.open_orders();
    let mut bookings = || rows::count(&mut conn, "shipment_attempts WHERE state = 'booking'");
    let started = Stopwatch::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "nothing is booked: {}", served.said());
        if bookings() > 0 {
            served.signal(Signal::STOP);
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
        other.signal(Signal::STOP);
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
