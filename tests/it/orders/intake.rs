//! The writers behind checkout: many orders in one commit, and one bad one among them.

use diesel::connection::SimpleConnection;
use macro_rules_attribute::apply;
use serde_json::json;

use crate::harness::app::{Options, TestApp};
use crate::harness::databases::Engine;
use crate::harness::fixtures::{self, order_with};
use crate::harness::rows;

const POISON: &str = "KD-POISON";

/// Makes the database refuse one reference: no value that the domain lets through violates a CHECK of its own.
fn poison(app: &TestApp) {
    let sql = match app.databases.engine {
        Engine::Sqlite => format!(
            "CREATE TRIGGER poison BEFORE INSERT ON orders WHEN NEW.reference = '{POISON}' \
             BEGIN SELECT RAISE(ABORT, 'poisoned'); END"
        ),
        Engine::Postgres => format!("ALTER TABLE orders ADD CONSTRAINT poison CHECK (reference <> '{POISON}')"),
    };
    app.conn().batch_execute(&sql).unwrap();
}

/// Lets nobody write until it is dropped, so that what arrives meanwhile goes into one batch.
struct Stop(safelight::store::AnyConn);

impl Stop {
    fn writers(app: &TestApp) -> Self {
        let mut conn = app.conn();
        let sql = match app.databases.engine {
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres => "BEGIN; LOCK TABLE idempotency_keys IN ACCESS EXCLUSIVE MODE",
        };
        conn.batch_execute(sql).unwrap();
        Self(conn)
    }

    fn go_on(mut self) {
        self.0.batch_execute("ROLLBACK").unwrap();
    }
}

#[apply(on_both_engines)]
async fn a_poisoned_order_among_many_fails_alone(app: &TestApp) {
    poison(app);
    let stop = Stop::writers(app);
    let mut orders: Vec<_> = (0..63).map(|_| fixtures::order()).collect();
    orders.insert(40, order_with("/reference", json!(POISON)));
    let placing = orders.iter().map(|order| app.place(&app.keys.orders, order));
    let (answers, ()) = futures_util::future::join(futures_util::future::join_all(placing), async {
        // All of them are waiting by now, or nearly: the writers took one or two and stand still.
        actix_web::rt::time::sleep(std::time::Duration::from_millis(700)).await;
        stop.go_on();
    })
    .await;
    for (number, answer) in answers.into_iter().enumerate() {
        if number == 40 {
            assert!(answer.status >= 500, "{}", answer.text);
        } else {
            answer.is(201);
        }
    }
    assert!(
        app.logged().contains("writing its items one by one"),
        "it was not in a batch with others"
    );
    for table in [
        "orders",
        "order_person",
        "order_items",
        "order_events",
        "idempotency_keys",
    ] {
        assert_eq!(rows::count(&mut app.conn(), table), 63, "{table}");
    }
    let orphans = "order_person p WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = p.order_id)";
    assert_eq!(rows::count(&mut app.conn(), orphans), 0);
}

#[apply(on_both_engines)]
#[with(Options { intake_queue: 4, ..Options::default() })]
async fn a_full_queue_says_so_and_when_to_come_back(app: &TestApp) {
    let stop = Stop::writers(app);
    let orders: Vec<_> = (0..30).map(|_| fixtures::order()).collect();
    let placing = orders.iter().map(|order| app.place(&app.keys.orders, order));
    let (answers, ()) = futures_util::future::join(futures_util::future::join_all(placing), async {
        actix_web::rt::time::sleep(std::time::Duration::from_millis(700)).await;
        stop.go_on();
    })
    .await;
    let (mut placed, mut refused) = (0, 0);
    for answer in answers {
        if answer.status == 201 {
            placed += 1;
        } else {
            assert!(
                answer
                    .header("retry-after")
                    .is_some_and(|wait| wait.parse::<u32>().is_ok_and(|wait| wait > 0))
            );
            answer.problem(503, "unavailable");
            refused += 1;
        }
    }
    assert!(refused > 0, "the queue holds four");
    assert_eq!(rows::count(&mut app.conn(), "orders"), placed);
    assert_eq!(placed + refused, 30);
}

#[apply(on_both_engines)]
async fn an_acknowledged_order_is_in_the_database_when_it_is_acknowledged(app: &TestApp) {
    for _ in 0..5 {
        let id = app.placed().await;
        assert_eq!(rows::count(&mut app.conn(), &format!("orders WHERE id = '{id}'")), 1);
        assert_eq!(app.personal_rows(&id)[0], 1);
    }
}

#[apply(on_both_engines)]
async fn what_is_stored_of_a_person_is_sealed(app: &TestApp) {
    let id = app.booked().await;
    app.hears(&id, "in_transit").await;
    let mut conn = app.conn();
    for table in rows::tables(&mut conn, app.databases.engine) {
        for row in rows::dump(&mut conn, app.databases.engine, &table) {
            let leaked = crate::harness::planted::find(&crate::harness::planted::UNLOGGED, &row);
            assert_eq!(leaked, None, "a row of {table} holds it in the clear");
        }
    }
}

#[apply(on_both_engines)]
async fn orders_are_taken_though_nobody_made_keys_for_days(app: &TestApp) {
    // A machine that was asleep, or no worker: days have passed for the wall, an epoch or many for the shop.
    for days in [2, 9, 60] {
        app.advance(chrono::TimeDelta::days(days));
        let id = app.placed().await;
        assert_eq!(app.own(&id).await["recipient"]["name"], "司***");
    }
}

#[apply(on_both_engines)]
async fn a_sweep_makes_itself_small_where_orders_would_wait_for_it(app: &TestApp) {
    let quiet = app.app.orders.sweep_size();
    // The moment that counts is short, and this machine may be slow.
    let mut busy = quiet;
    for _ in 0..20 {
        app.placed().await;
        busy = busy.min(app.app.orders.sweep_size());
    }
    match app.databases.engine {
        Engine::Sqlite => assert!(busy * 10 < quiet, "{busy} and {quiet}"),
        Engine::Postgres => assert_eq!(busy, quiet),
    }
}
