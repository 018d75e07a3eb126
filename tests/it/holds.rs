//! Holds: they stop the clock, visibly and for a limited time, and never come too late unnoticed.

use chrono::TimeDelta;
use reqwest::Method;
use safelight::clock::Instant;
use safelight::domain::retention::PurgeReason;
use safelight::store::conn::write_tx;
use safelight::store::purges;
use serde_json::{Value, json};

use crate::harness::answer::{Answer, field_errors};
use crate::harness::app::{TestApp, WINDOW};
use crate::harness::{fixtures, planted, rows};

async fn hold_until(app: &TestApp, id: &str, until: Instant) -> Answer {
    let body = json!({"reason": planted::REASON, "until": until});
    app.put(&app.keys.privacy, &format!("/admin/v1/orders/{id}/hold"), body)
        .await
}

async fn hold(app: &TestApp, id: &str) -> Value {
    hold_until(app, id, app.clock.business_now() + TimeDelta::days(60))
        .await
        .is(200)
}

async fn lift(app: &TestApp, id: &str) -> Answer {
    let path = format!("/admin/v1/orders/{id}/hold");
    app.send(Method::DELETE, Some(&app.keys.privacy), &path, None).await
}

async fn reveal(app: &TestApp, key: &str, id: &str) -> Answer {
    let reason = json!({"reason": planted::REASON});
    app.post(key, &format!("/admin/v1/orders/{id}/reveal"), reason).await
}

fn journalled(app: &TestApp, kind: &str, id: &str) -> i64 {
    let of = format!("journal WHERE kind = '{kind}' AND subject = '{id}'");
    rows::count(&mut app.databases.open_vault(), &of)
}

on_both_engines! {
    async fn a_held_order_is_not_purged_and_goes_when_the_hold_is_lifted(app: &TestApp) {
        let id = app.delivered().await;
        assert_eq!(hold(app, &id).await["held"], true);
        app.advance(WINDOW + TimeDelta::minutes(1));
        app.run_upkeep().await;
        assert_eq!(app.personal_rows(&id)[0], 1);
        let run = app.send(Method::POST, Some(&app.keys.privacy), "/admin/v1/retention/run?dry_run=true", None).await;
        assert_eq!(run.is(200), json!({"due": 0, "purged": 0, "held": 1}));
        let reason = json!({"reason": planted::REASON});
        let purge = app.post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/purge"), reason).await;
        purge.problem(409, "held");
        assert_eq!(lift(app, &id).await.is(200)["held"], false);
        app.run_upkeep().await;
        assert_eq!(app.personal_rows(&id), [0, 0, 0]);
    }

    async fn a_held_draft_does_not_expire(app: &TestApp) {
        let id = app.placed_as(&fixtures::draft()).await;
        hold_until(app, &id, app.clock.business_now() + TimeDelta::days(5)).await.is(200);
        app.advance(TimeDelta::days(4));
        app.run_upkeep().await;
        assert_eq!((app.stands(&id).await.0.as_str(), app.personal_rows(&id)[0]), ("draft", 1));
        app.advance(TimeDelta::days(2));
        app.run_upkeep().await;
        assert_eq!(app.personal_rows(&id), [0, 0, 0]);
    }

    async fn a_hold_ends_by_itself(app: &TestApp) {
        let id = app.delivered().await;
        hold_until(app, &id, app.clock.business_now() + WINDOW + TimeDelta::days(5)).await.is(200);
        app.advance(WINDOW + TimeDelta::days(4));
        app.run_upkeep().await;
        assert_eq!(app.detail(&id).await["held"], true);
        app.advance(TimeDelta::days(2));
        assert_eq!(app.detail(&id).await["held"], false);
        app.run_upkeep().await;
        assert_eq!(app.personal_rows(&id), [0, 0, 0]);
    }

    async fn seeing_a_held_recipient_takes_two_keys_and_the_reason_is_nowhere_in_the_open(app: &TestApp) {
        let id = app.placed().await;
        hold(app, &id).await;
        let request = reveal(app, &app.keys.privacy, &id).await.is(202);
        let path = format!("/admin/v1/reveals/{}/approve", request["reveal_id"].as_str().unwrap());
        app.send(Method::POST, Some(&app.keys.privacy), &path, None).await.problem(409, "same_key");
        let second = app.key("privacy");
        app.send(Method::POST, Some(&second), &path, None).await.is(200);
        reveal(app, &app.keys.privacy, &id).await.is(200);
        assert_eq!(reveal(app, &app.keys.privacy, &id).await.status, 202, "one approval, one look");
        let audit = app.get(&app.keys.admin, "/admin/v1/audit").await.is(200);
        assert!(audit.to_string().contains("\"hold\"") && !audit.to_string().contains(planted::REASON));
    }

    async fn nothing_of_a_held_order_is_changed_or_handed_on(app: &TestApp) {
        let id = app.printed().await;
        hold(app, &id).await;
        let path = format!("/v1/orders/{id}/recipient");
        app.put(&app.keys.orders, &path, fixtures::other_recipient()).await.problem(409, "held");
        app.run_jobs().await;
        assert!(app.all_parcels().await.is_empty(), "the courier is told nothing");
        lift(app, &id).await.is(200);
        app.run_jobs().await;
        assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
    }

    async fn a_hold_has_an_end_that_is_ahead_and_not_too_far(app: &TestApp) {
        let id = app.placed().await;
        let now = app.clock.business_now();
        for until in [now, now - TimeDelta::days(1), now + TimeDelta::days(366)] {
            let problem = hold_until(app, &id, until).await.problem(422, "invalid_body");
            assert_eq!(field_errors(&problem), [("/until".to_owned(), "out_of_range".to_owned())]);
        }
        let path = format!("/admin/v1/orders/{id}/hold");
        let empty = app.put(&app.keys.privacy, &path, json!({"reason": " ", "until": now + TimeDelta::days(1)})).await;
        assert_eq!(field_errors(&empty.problem(422, "invalid_body"))[0].0, "/reason");
        app.put(&app.keys.privacy, &path, json!({"reason": "x"})).await.problem(422, "invalid_body");
        assert_eq!(app.detail(&id).await["held"], false);
        assert_eq!(journalled(app, "hold", &id), 0, "what is refused is not journalled");
        lift(app, &id).await.problem(409, "not_held");
        hold_until(app, &id, now + TimeDelta::days(365)).await.is(200);
        hold_until(app, &id, now + TimeDelta::days(1)).await.is(200);
        app.advance(TimeDelta::days(2));
        assert_eq!(app.detail(&id).await["held"], false, "the later word counts");
    }

    async fn a_hold_between_the_decision_and_the_destruction_comes_too_late_and_says_so(app: &TestApp) {
        let (decided, held) = (app.delivered().await, app.delivered().await);
        let (id, now) = (decided.parse().unwrap(), app.clock.business_now());
        write_tx(&mut app.conn(), |conn| purges::decide_in_tx(conn, &[id], PurgeReason::Retention, now)).unwrap();
        hold_until(app, &decided, now + TimeDelta::days(9)).await.problem(410, "purged");
        lift(app, &decided).await.problem(410, "purged");
        hold(app, &held).await;
        app.advance(WINDOW + TimeDelta::minutes(1));
        app.run_upkeep().await;
        assert_eq!(app.personal_rows(&decided), [0, 0, 0]);
        assert_eq!(app.personal_rows(&held)[0], 1, "one that came in time is kept");
        assert_eq!((journalled(app, "hold", &decided), journalled(app, "erase", &decided)), (0, 1));
        assert_eq!((journalled(app, "hold", &held), journalled(app, "erase", &held)), (1, 0));
    }

    async fn holds_and_purges_side_by_side_never_journal_what_is_not_destroyed(app: &TestApp) {
        let mut ids = Vec::new();
        for _ in 0..12 {
            ids.push(app.delivered().await);
        }
        app.advance(WINDOW + TimeDelta::minutes(1));
        let until = app.clock.business_now() + TimeDelta::days(9);
        let holding = futures_util::future::join_all(ids.iter().map(|id| hold_until(app, id, until)));
        let (answers, _) = futures_util::future::join(holding, app.run_upkeep()).await;
        app.run_upkeep().await;
        for (id, answer) in ids.iter().zip(answers) {
            let purged = app.detail(id).await["purged_at"].is_string();
            assert_eq!(answer.status, if purged { 410 } else { 200 }, "{}", answer.text);
            assert_eq!(journalled(app, "erase", id), i64::from(purged));
        }
    }
}
