//! What goes down in the middle of its work, and what is there when it comes up again: nothing that was acknowledged is
//! lost, and no parcel is booked twice.
//!
//! Real processes of the real program: killed, stopped, frozen; and a PostgreSQL that is crashed under them.

pub(crate) mod cluster;
mod courier;
mod frozen;
mod load;
mod retiring;
mod together;

use std::time::{Duration, Instant as Stopwatch};

use macro_rules_attribute::apply;
use rustix::process::Signal;

use crate::harness::databases::{Databases, Engine};
use crate::process::{Installation, block_on};
use cluster::Cluster;
use courier::Courier;
use load::Shop;

/// Orders acknowledged, and printed, between one crash and the next.
const ORDERS: usize = 12;
const PRINTS: usize = 4;

/// Five crashes in the middle of the work; on PostgreSQL the third is the database's.
fn five_crashes(engine: Engine, courier_flags: &[&str]) {
    block_on(async {
        let cluster = (engine == Engine::Postgres).then(|| std::sync::Arc::new(Cluster::start()));
        let databases = match &cluster {
            Some(cluster) => cluster.databases(),
            None => Databases::bare(engine),
        };
        let mut installation = Installation::on(databases);
        let courier = Courier::start(&mut installation, courier_flags);
        let mut served = installation.serve().await;
        let shop = Shop::new(installation.key("admin"));
        for crash in 1..=5 {
            if let (3, Some(cluster)) = (crash, &cluster) {
                let cluster = cluster.clone();
                let crash = async || {
                    actix_web::rt::task::spawn_blocking(move || cluster.crash())
                        .await
                        .unwrap()
                };
                // The service goes on by itself, without a restart of its own.
                shop.works(&served, ORDERS, PRINTS, crash).await;
            } else {
                shop.works(&served, ORDERS, PRINTS, async || served.signal(Signal::KILL))
                    .await;
                served.ends().await;
                served.said_nothing_personal();
                served = installation.serve().await;
            }
        }
        shop.finishes(&served).await;
        assert!(shop.placed() >= 5 * ORDERS);
        shop.has_lost_nothing(&served, &courier).await;
        served.said_nothing_personal();
    });
}

#[apply(on_both_engines)]
fn five_crashes_lose_nothing_while_half_the_couriers_answers_are_lost(engine: Engine) {
    five_crashes(engine, &["--fault", "drop_after_booking=0.5"]);
}

#[apply(on_both_engines)]
fn five_crashes_lose_nothing_while_the_courier_books_what_we_gave_up(engine: Engine) {
    five_crashes(engine, &["--fault", "slow=0.7,delay=1.5"]);
}

#[apply(on_both_engines)]
fn told_to_stop_under_load_it_ends_well_and_the_next_one_goes_on(engine: Engine) {
    block_on(async {
        let mut installation = Installation::new(engine);
        let courier = Courier::start(&mut installation, &["--fault", "slow=0.7,delay=1.5"]);
        let mut served = installation.serve().await;
        let shop = Shop::new(installation.key("admin"));
        let stopped = std::cell::Cell::new(Stopwatch::now());
        let stop = async || {
            stopped.set(Stopwatch::now());
            served.signal(Signal::TERM);
        };
        shop.works(&served, 3 * ORDERS, PRINTS, stop).await;
        let status = served.ends().await;
        let took = stopped.get().elapsed();
        assert!(status.success(), "{status}: {}", served.said());
        assert!(took < Duration::from_secs(10), "{took:?}");
        served.said_nothing_personal();
        let served = installation.serve().await;
        shop.finishes(&served).await;
        shop.has_lost_nothing(&served, &courier).await;
    });
}
