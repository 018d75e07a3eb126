//! The vault down, and up again: what is cached serves for a while, then what needs keys says so and the rest goes on.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::app::audit;
use safelight::domain::actor::Actor;
use safelight::privacy::Secret;
use safelight::store::{AnyConn, StoreError};
use serde_json::{Value, json};

use crate::harness::answer::Answer;
use crate::harness::app::{TestApp, WINDOW};
use crate::harness::databases::{Engine, maintenance_url};
use crate::harness::{fixtures, planted};

/// The vault, unreachable until this is dropped. On PostgreSQL its server lets nobody in and throws out who is; on SQLite,
/// where there is no server, every connection of the pool hangs in a call that does not come back.
enum Down {
    Postgres(String),
    Sqlite(Option<Vec<(Sender<()>, JoinHandle<()>)>>),
}

fn on_server(sql: &str) {
    let url = safelight::config::DatabaseUrl::Postgres(Secret::new(maintenance_url()));
    AnyConn::open(&url).unwrap().batch_execute(sql).unwrap();
}

impl Down {
    fn of(app: &TestApp) -> Self {
        match app.databases.engine {
            Engine::Postgres => {
                let name = app.databases.vault.rsplit('/').next().unwrap().to_owned();
                on_server(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
                on_server(&format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                ));
                Self::Postgres(name)
            }
            Engine::Sqlite => {
                let hanging = (0..2).map(|_| {
                    let (release, released) = channel::<()>();
                    let (hangs, hung) = channel();
                    let vault = app.app.vault.clone();
                    let thread = std::thread::spawn(move || {
                        let _ = vault.database().read_blocking(|_| {
                            hangs.send(()).unwrap();
                            let _ = released.recv();
                            Ok::<_, StoreError>(())
                        });
                    });
                    hung.recv().unwrap();
                    (release, thread)
                });
                Self::Sqlite(Some(hanging.collect()))
            }
        }
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        match self {
            Self::Postgres(name) => on_server(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")),
            Self::Sqlite(hanging) => {
                for (release, thread) in hanging.take().into_iter().flatten() {
                    let _ = release.send(());
                    let _ = thread.join();
                }
            }
        }
    }
}

async fn reveal(app: &TestApp, id: &str) -> Answer {
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/reveal"), reason)
        .await
}

async fn search(app: &TestApp) -> Answer {
    app.post(
        &app.keys.ops,
        "/admin/v1/orders/search",
        json!({"phone": planted::PHONE}),
    )
    .await
}

fn the_vault_is_named(answer: Answer) {
    assert!(answer.header("retry-after").is_some());
    let problem = answer.problem(503, "unavailable");
    assert_eq!(problem["part"], "vault", "{problem}");
}

#[apply(on_both_engines)]
async fn cached_keys_serve_for_their_time_and_no_longer(app: &TestApp) {
    let id = app.placed().await;
    let down = Down::of(app);
    app.clock.advance_wall(TimeDelta::seconds(20));
    app.place(&app.keys.orders, &fixtures::order()).await.is(201);
    reveal(app, &id).await.is(200);
    assert_eq!(search(app).await.is(200)["data"].as_array().unwrap().len(), 2);
    app.clock.advance_wall(TimeDelta::seconds(61));

    let order = fixtures::order();
    let (placed, revealed, found) = tokio::join!(app.place(&app.keys.orders, &order), reveal(app, &id), search(app));
    for answer in [placed, revealed, found] {
        the_vault_is_named(answer);
    }
    drop(down);
    app.until("it recovers by itself", async || {
        app.place(&app.keys.orders, &order).await.status == 201
    })
    .await;
    reveal(app, &id).await.is(200);
    assert_eq!(
        search(app).await.is(200)["data"].as_array().unwrap().len(),
        3,
        "what was refused is not there"
    );
}

#[apply(on_both_engines)]
async fn facts_are_shown_and_recipients_are_not_while_it_is_down(app: &TestApp) {
    let id = app.booked().await;
    let before = app.own(&id).await;
    let down = Down::of(app);
    app.clock.advance_wall(TimeDelta::seconds(61));
    let (own, list) = tokio::join!(app.own(&id), app.get(&app.keys.ops, "/admin/v1/orders"));
    assert_eq!(
        (&own["recipient"], &own["shipment"]["tracking_no"]),
        (&Value::Null, &Value::Null)
    );
    for fact in ["status", "amount", "reference", "items", "purged_at", "held"] {
        assert_eq!(own[fact], before[fact], "{fact}");
    }
    assert_eq!(list.is(200)["data"][0]["recipient"], Value::Null);
    let ready = app.send(Method::GET, None, "/readyz", None).await;
    assert_eq!(ready.status, 503);
    assert!(ready.json["checks"].to_string().contains("vault"), "{}", ready.text);
    drop(down);
    app.until("recipients are shown again", async || app.own(&id).await == before)
        .await;
}

#[apply(on_both_engines)]
async fn a_courier_is_told_to_send_its_news_again(app: &TestApp) {
    let id = app.booked().await;
    let news = app.news_of(&id, "picked_up").await;
    let down = Down::of(app);
    app.clock.advance_wall(TimeDelta::seconds(61));
    let answer = app.webhook(&news).await;
    assert!(
        answer.status >= 500 && answer.header("content-type") != Some("application/problem+json"),
        "{answer:?}"
    );
    drop(down);
    app.until("the news is taken", async || app.webhook(&news).await.status == 200)
        .await;
    assert_eq!(app.detail(&id).await["status"], "shipped");
}

#[apply(on_both_engines)]
async fn bookings_and_purges_wait_and_nothing_is_lost(app: &TestApp) {
    let (due, waiting) = (app.delivered().await, app.printed().await);
    app.advance(WINDOW - TimeDelta::seconds(20));
    let down = Down::of(app);
    app.advance(TimeDelta::seconds(90));
    app.run_jobs().await;
    assert!(
        app.all_parcels().await.len() == 1,
        "nothing is sent that an old copy could not know of"
    );
    assert!(
        safelight::app::retention::purge::sweep(&app.app, &Actor::System)
            .await
            .is_err()
    );
    assert_eq!(
        app.personal_rows(&due)[0],
        1,
        "nothing is destroyed that is not journalled"
    );
    let late = async |name: &str| app.get(&app.keys.admin, "/admin/v1/stats").await.is(200)[name].clone();
    assert_eq!(
        (late("purge_due").await, late("purge_overdue").await),
        (json!(1), json!(0)),
        "and it is shown to wait"
    );
    app.clock.advance_business(TimeDelta::days(2));
    assert_eq!(late("purge_overdue").await, json!(1));
    let held = json!({"reason": planted::REASON, "until": app.clock.business_now() + TimeDelta::days(9)});
    let path = format!("/admin/v1/orders/{waiting}/hold");
    the_vault_is_named(app.put(&app.keys.privacy, &path, held).await);
    drop(down);
    app.until("the purge is done", async || {
        safelight::app::retention::purge::sweep(&app.app, &Actor::System)
            .await
            .is_ok()
    })
    .await;
    assert_eq!(app.personal_rows(&due), [0, 0, 0]);
    app.advance(TimeDelta::minutes(5));
    app.run_jobs().await;
    assert_eq!(app.stands(&waiting).await, ("printed".into(), "booked".into()));
}

#[apply(on_both_engines)]
async fn the_chain_cannot_be_vouched_for_without_its_witness(app: &TestApp) {
    audit::note_head(&app.app).await.unwrap();
    let down = Down::of(app);
    the_vault_is_named(app.get(&app.keys.admin, "/admin/v1/audit/verify").await);
    drop(down);
    app.until("it can again", async || {
        app.get(&app.keys.admin, "/admin/v1/audit/verify").await.status == 200
    })
    .await;
}

#[apply(on_both_engines)]
async fn a_crowd_that_waits_for_a_vault_that_is_down_is_told_so_together(app: &TestApp) {
    let id = app.placed().await;
    let down = Down::of(app);
    app.clock.advance_wall(TimeDelta::seconds(61));
    // One after the other, each with a timeout of its own, they would outlast the client's patience of a minute.
    let crowd = futures_util::future::join_all((0..40).map(|_| reveal(app, &id))).await;
    crowd.into_iter().for_each(the_vault_is_named);
    drop(down);
}
