//! Everything that writes personal data, driven against an order whose purge was decided or done a moment before:
//! nothing personal comes back, by whichever door.

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::domain::actor::Actor;
use safelight::domain::retention::PurgeReason;
use serde_json::json;

use crate::harness::app::TestApp;
use crate::harness::journey::News;
use crate::harness::{fixtures, planted, rows};

/// How far the purge is when the late writer comes.
#[derive(Debug, Clone, Copy)]
enum Purge {
    Decided,
    Done,
}

/// What comes late.
#[derive(Debug, Clone, Copy)]
enum Writer {
    WebhookWithReference,
    WebhookWithNumber,
    WebhookWithBoth,
    Correction,
    Cancellation,
    OperatorsCancellation,
    Reprint,
    Print,
    Release,
    Reveal,
    Resolution,
    Retry,
    Confirmation,
    SecondPurge,
    ByHand,
    Mark,
    Courier,
    Reship,
    Label,
    Jobs,
    Polls,
    Upkeep,
}

const WRITERS: [Writer; 22] = [
    Writer::WebhookWithReference,
    Writer::WebhookWithNumber,
    Writer::WebhookWithBoth,
    Writer::Correction,
    Writer::Cancellation,
    Writer::OperatorsCancellation,
    Writer::Reprint,
    Writer::Print,
    Writer::Release,
    Writer::Reveal,
    Writer::Resolution,
    Writer::Retry,
    Writer::Confirmation,
    Writer::SecondPurge,
    Writer::ByHand,
    Writer::Mark,
    Writer::Courier,
    Writer::Reship,
    Writer::Label,
    Writer::Jobs,
    Writer::Polls,
    Writer::Upkeep,
];

/// Decides the purge whatever state the order is in: what a subject's request or a stuck order can do.
fn decide(app: &TestApp, id: &str) {
    let (id, now) = (id.parse().unwrap(), app.clock.business_now());
    app.app
        .orders
        .write_blocking(|conn| safelight::store::purges::decide_in_tx(conn, &[id], PurgeReason::Request, now))
        .unwrap();
}

async fn purge(app: &TestApp, id: &str, how: Purge) {
    decide(app, id);
    if matches!(how, Purge::Done) {
        safelight::app::retention::purge::sweep(&app.app, &Actor::System)
            .await
            .unwrap();
    }
}

/// Lets the late writer write; returns the answer's status where it came over HTTP.
async fn write(app: &TestApp, id: &str, news: &News, writer: Writer) -> Option<u16> {
    let reason = json!({"reason": planted::REASON});
    let with_operator = json!({"operator": "wang", "reason": planted::REASON});
    let admin = |verb: &str| format!("/admin/v1/orders/{id}/{verb}");
    let keys = &app.keys;
    let answer = match writer {
        Writer::WebhookWithReference => {
            app.webhook(&News {
                tracking_no: None,
                ..news.clone()
            })
            .await
        }
        Writer::WebhookWithNumber => {
            app.webhook(&News {
                reference: None,
                ..news.clone()
            })
            .await
        }
        Writer::WebhookWithBoth => app.webhook(news).await,
        Writer::Correction => {
            app.put(
                &keys.orders,
                &format!("/v1/orders/{id}/recipient"),
                fixtures::other_recipient(),
            )
            .await
        }
        Writer::Cancellation => app.post(&keys.orders, &format!("/v1/orders/{id}/cancel"), reason).await,
        Writer::OperatorsCancellation => app.post(&keys.ops, &admin("cancel"), reason).await,
        Writer::Reprint => app.post(&keys.floor, &admin("reprint"), with_operator).await,
        Writer::Print => app.print(id).await,
        Writer::Release => {
            app.post(&keys.floor, &admin("release"), json!({"operator": "wang"}))
                .await
        }
        Writer::Reveal => app.post(&keys.privacy, &admin("reveal"), reason).await,
        Writer::Resolution => {
            let found = json!({"tracking_no": planted::TRACKING, "reason": planted::REASON});
            app.post(&keys.ops, &admin("shipment/resolve"), found).await
        }
        Writer::Retry => {
            app.send(Method::POST, Some(&keys.ops), &admin("shipment/retry"), None)
                .await
        }
        Writer::Confirmation => {
            app.send(
                Method::POST,
                Some(&keys.orders),
                &format!("/v1/orders/{id}/confirm"),
                None,
            )
            .await
        }
        Writer::SecondPurge => app.post(&keys.privacy, &admin("purge"), reason).await,
        Writer::ByHand => {
            let parcel = json!({"courier": "simulated", "tracking_no": planted::TRACKING});
            app.post(&keys.ops, &admin("shipment"), parcel).await
        }
        Writer::Mark => {
            let found = json!({"status": "delivered", "reason": planted::REASON});
            app.post(&keys.ops, &admin("mark"), found).await
        }
        Writer::Courier => {
            app.post(&keys.ops, &admin("courier"), json!({"courier": "simulated"}))
                .await
        }
        Writer::Reship => app.send(Method::POST, Some(&keys.ops), &admin("reship"), None).await,
        Writer::Label => app.get(&keys.floor, &admin("label")).await,
        Writer::Jobs => {
            app.run_jobs().await;
            return None;
        }
        Writer::Polls => {
            app.advance(TimeDelta::hours(13));
            app.run_polls().await;
            return None;
        }
        Writer::Upkeep => {
            app.run_upkeep().await;
            return None;
        }
    };
    Some(answer.status)
}

/// After everything that was under way has run its course, nothing of the person is there. Three days and more: an event
/// that names only a tracking number cannot be told from one whose booking is not known yet, and is kept sealed so long.
async fn nobody_came_back(app: &TestApp, id: &str, what: &str) {
    for _ in 0..4 {
        app.advance(TimeDelta::hours(25));
        app.run_upkeep().await;
        app.run_jobs().await;
    }
    assert_eq!(app.personal_rows(id), [0, 0, 0], "{what}");
    let mut conn = app.conn();
    assert_eq!(rows::count(&mut conn, "parked_events"), 0, "{what}");
    assert_eq!(
        rows::count(&mut conn, &format!("orders WHERE id = '{id}' AND purged_at IS NULL")),
        0,
        "{what}"
    );
    let provider = format!("shipment_attempts WHERE order_id = '{id}' AND provider_ref IS NOT NULL");
    assert_eq!(rows::count(&mut conn, &provider), 0, "{what}");
}

#[apply(on_both_engines)]
async fn nothing_that_comes_after_the_purge_brings_a_person_back(app: &TestApp) {
    for how in [Purge::Decided, Purge::Done] {
        for writer in WRITERS {
            let what = format!("{writer:?} after {how:?}");
            let id = app.booked().await;
            let news = app.news_of(&id, "delivered").await;
            let before = app.personal_rows(&id);
            purge(app, &id, how).await;
            let status = write(app, &id, &news, writer).await;
            match writer {
                Writer::Jobs | Writer::Polls | Writer::Upkeep => assert_eq!(status, None),
                // Acknowledged, or the courier would send it for ever.
                Writer::WebhookWithReference | Writer::WebhookWithNumber | Writer::WebhookWithBoth => {
                    assert_eq!(status, Some(200), "{what}");
                }
                Writer::SecondPurge => assert!(matches!(status, Some(200 | 410)), "{what}: {status:?}"),
                _ => assert_eq!(status, Some(410), "{what}"),
            }
            let after = app.personal_rows(&id);
            assert!(
                after.iter().zip(&before).all(|(after, before)| after <= before),
                "{what}: {after:?}"
            );
            nobody_came_back(app, &id, &what).await;
        }
    }
}

#[apply(on_both_engines)]
async fn a_booking_answer_after_the_purge_keeps_the_fact_and_not_the_number(app: &TestApp) {
    for how in [Purge::Decided, Purge::Done] {
        let id = app.printed().await;
        app.courier_faults(json!({"slow": {"times": 1, "delay": 1, "on": ["book"]}}))
            .await;
        let parcels = app.all_parcels().await.len();
        // The request is under way while the purge is decided: the answer finds no person to belong to.
        let (_, ()) = futures_util::future::join(app.run_jobs(), async {
            app.until("the attempt is being sent", async || {
                app.stands(&id).await.1 == "booking"
            })
            .await;
            purge(app, &id, how).await;
        })
        .await;
        assert_eq!(app.all_parcels().await.len(), parcels + 1, "the courier did book");
        assert_eq!(
            app.stands(&id).await.1,
            "booked",
            "a parcel that exists is never forgotten"
        );
        assert_eq!(app.personal_rows(&id)[1..], [0, 0]);
        nobody_came_back(app, &id, &format!("a late booking answer after {how:?}")).await;
    }
}

#[apply(on_both_engines)]
async fn a_lost_answer_that_is_reconciled_after_the_purge_brings_nobody_back(app: &TestApp) {
    for how in [Purge::Decided, Purge::Done] {
        app.courier_faults(json!({"drop_before_booking": {"times": 1}})).await;
        let id = app.printed().await;
        app.run_jobs().await;
        assert_eq!(app.stands(&id).await.1, "unknown");
        purge(app, &id, how).await;
        app.advance(TimeDelta::minutes(2));
        nobody_came_back(app, &id, &format!("a reconciliation after {how:?}")).await;
    }
}

#[apply(on_both_engines)]
async fn a_purge_and_forty_writers_at_once_leave_nobody(app: &TestApp) {
    for round in 0..3 {
        let id = app.booked().await;
        let news = app.news_of(&id, "in_transit").await;
        let writers = (0..40).map(|number| {
            let news = News {
                at: news.at + TimeDelta::seconds(number),
                ..news.clone()
            };
            let writer = [
                Writer::WebhookWithBoth,
                Writer::Correction,
                Writer::Reprint,
                Writer::Reveal,
            ][usize::try_from(number).unwrap() % 4];
            let id = id.clone();
            async move {
                write(app, &id, &news, writer).await;
            }
        });
        futures_util::future::join(futures_util::future::join_all(writers), purge(app, &id, Purge::Done)).await;
        safelight::app::retention::purge::sweep(&app.app, &Actor::System)
            .await
            .unwrap();
        nobody_came_back(app, &id, &format!("round {round}")).await;
    }
}
