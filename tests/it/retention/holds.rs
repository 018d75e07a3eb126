//! Holds: they stop the clock, visibly and for a limited time, and never come too late unnoticed.

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::clock::BusinessTime;
use safelight::domain::retention::PurgeReason;
use safelight::store::conn::write_tx;
use safelight::store::purges;
use serde_json::{Value, json};

use crate::harness::answer::{Answer, field_errors};
use crate::harness::app::{DRAFT_AFTER, STUCK_AFTER, TestApp, WINDOW};
use crate::harness::{fixtures, planted, rows};

async fn hold_until(app: &TestApp, id: &str, until: BusinessTime) -> Answer {
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

#[apply(on_both_engines)]
async fn a_held_order_is_not_purged_and_goes_when_the_hold_is_lifted(app: &TestApp) {
    let id = app.delivered().await;
    assert_eq!(hold(app, &id).await["held"], true);
    app.advance(WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    assert_eq!(app.personal_rows(&id)[0], 1);
    let run = app
        .send(
            Method::POST,
            Some(&app.keys.privacy),
            "/admin/v1/retention/run?dry_run=true",
            None,
        )
        .await;
    assert_eq!(run.is(200), json!({"due": 0, "purged": 0, "held": 1}));
    let reason = json!({"reason": planted::REASON});
    let purge = app
        .post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/purge"), reason)
        .await;
    purge.problem(409, "held");
    assert_eq!(lift(app, &id).await.is(200)["held"], false);
    app.run_upkeep().await;
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
}

#[apply(on_both_engines)]
async fn a_held_draft_does_not_expire(app: &TestApp) {
    let id = app.placed_as(&fixtures::draft()).await;
    hold_until(app, &id, app.clock.business_now() + TimeDelta::days(5))
        .await
        .is(200);
    app.advance(TimeDelta::days(4));
    app.run_upkeep().await;
    assert_eq!(
        (app.stands(&id).await.0.as_str(), app.personal_rows(&id)[0]),
        ("draft", 1)
    );
    app.advance(TimeDelta::days(2));
    app.run_upkeep().await;
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
}

#[apply(on_both_engines)]
async fn a_hold_ends_by_itself(app: &TestApp) {
    let id = app.delivered().await;
    hold_until(app, &id, app.clock.business_now() + WINDOW + TimeDelta::days(5))
        .await
        .is(200);
    app.advance(WINDOW + TimeDelta::days(4));
    app.run_upkeep().await;
    assert_eq!(app.detail(&id).await["held"], true);
    app.advance(TimeDelta::days(2));
    assert_eq!(app.detail(&id).await["held"], false);
    app.run_upkeep().await;
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
}

#[apply(on_both_engines)]
async fn seeing_a_held_recipient_takes_two_keys_and_the_reason_stays_hidden(app: &TestApp) {
    let id = app.placed().await;
    hold(app, &id).await;
    let request = reveal(app, &app.keys.privacy, &id).await.is(202);
    let path = format!("/admin/v1/reveals/{}/approve", request["reveal_id"].as_str().unwrap());
    app.send(Method::POST, Some(&app.keys.privacy), &path, None)
        .await
        .problem(409, "same_key");
    let second = app.key("privacy");
    app.send(Method::POST, Some(&second), &path, None).await.is(200);
    reveal(app, &app.keys.privacy, &id).await.is(200);
    assert_eq!(
        reveal(app, &app.keys.privacy, &id).await.status,
        202,
        "one approval, one look"
    );
    let audit = app.get(&app.keys.admin, "/admin/v1/audit").await.is(200);
    assert!(audit.to_string().contains("\"hold\"") && !audit.to_string().contains(planted::REASON));
}

#[apply(on_both_engines)]
async fn nothing_of_a_held_order_is_changed_or_handed_on(app: &TestApp) {
    let id = app.printed().await;
    hold(app, &id).await;
    let path = format!("/v1/orders/{id}/recipient");
    app.put(&app.keys.orders, &path, fixtures::other_recipient())
        .await
        .problem(409, "held");
    app.run_jobs().await;
    assert!(app.all_parcels().await.is_empty(), "the courier is told nothing");
    lift(app, &id).await.is(200);
    app.run_jobs().await;
    assert_eq!(app.stands(&id).await, ("printed".into(), "booked".into()));
}

#[apply(on_both_engines)]
async fn a_hold_has_an_end_that_is_ahead_and_not_too_far(app: &TestApp) {
    let id = app.placed().await;
    let now = app.clock.business_now();
    for until in [now, now - TimeDelta::days(1), now + TimeDelta::days(366)] {
        let problem = hold_until(app, &id, until).await.problem(422, "invalid_body");
        assert_eq!(
            field_errors(&problem),
            [("/until".to_owned(), "out_of_range".to_owned())]
        );
    }
    let path = format!("/admin/v1/orders/{id}/hold");
    let empty = app
        .put(
            &app.keys.privacy,
            &path,
            json!({"reason": " ", "until": now + TimeDelta::days(1)}),
        )
        .await;
    assert_eq!(field_errors(&empty.problem(422, "invalid_body"))[0].0, "/reason");
    app.put(&app.keys.privacy, &path, json!({"reason": "x"}))
        .await
        .problem(422, "invalid_body");
    assert_eq!(app.detail(&id).await["held"], false);
    assert_eq!(journalled(app, "hold", &id), 0, "what is refused is not journalled");
    lift(app, &id).await.problem(409, "not_held");
    hold_until(app, &id, now + TimeDelta::days(365)).await.is(200);
    hold_until(app, &id, now + TimeDelta::days(1)).await.is(200);
    app.advance(TimeDelta::days(2));
    assert_eq!(app.detail(&id).await["held"], false, "the later word counts");
}

#[apply(on_both_engines)]
async fn a_hold_between_decision_and_destruction_comes_too_late_and_says_so(app: &TestApp) {
    let (decided, held) = (app.delivered().await, app.delivered().await);
    let (id, now) = (decided.parse().unwrap(), app.clock.business_now());
    write_tx(&mut app.conn(), |conn| {
        purges::decide_in_tx(conn, &[id], PurgeReason::Retention, now)
    })
    .unwrap();
    hold_until(app, &decided, now + TimeDelta::days(9))
        .await
        .problem(410, "purged");
    lift(app, &decided).await.problem(410, "purged");
    hold(app, &held).await;
    app.advance(WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    assert_eq!(app.personal_rows(&decided), [0, 0, 0]);
    assert_eq!(app.personal_rows(&held)[0], 1, "one that came in time is kept");
    assert_eq!(
        (journalled(app, "hold", &decided), journalled(app, "erase", &decided)),
        (0, 1)
    );
    assert_eq!(
        (journalled(app, "hold", &held), journalled(app, "erase", &held)),
        (1, 0)
    );
}

#[apply(on_both_engines)]
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
        // Whoever asks for a hold may have locked the order just then: it is journalled again, and destroyed.
        assert_eq!(journalled(app, "erase", id) > 0, purged);
    }
}

#[apply(on_both_engines)]
async fn a_held_draft_neither_expires_nor_becomes_an_order_before_its_hold_ends(app: &TestApp) {
    let id = app.placed_as(&fixtures::draft()).await;
    hold(app, &id).await;
    app.advance(DRAFT_AFTER + TimeDelta::hours(1));
    app.run_upkeep().await;
    assert_eq!(
        (app.own(&id).await["status"].as_str(), app.personal_rows(&id)[0]),
        (Some("draft"), 1)
    );
    let confirm = format!("/v1/orders/{id}/confirm");
    app.send(Method::POST, Some(&app.keys.orders), &confirm, None)
        .await
        .problem(409, "held");
    app.advance(TimeDelta::days(60));
    app.run_upkeep().await;
    assert_eq!(app.own(&id).await["status"], "cancelled");
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
}

#[apply(on_both_engines)]
async fn an_order_held_for_longer_than_it_may_stand_still_gets_that_time_anew(app: &TestApp) {
    let (lifted, ended) = (app.placed().await, app.placed().await);
    let until = app.clock.business_now() + STUCK_AFTER + TimeDelta::days(5);
    for id in [&lifted, &ended] {
        hold_until(app, id, until).await.is(200);
    }
    let days = async |days| {
        app.clock.advance_wall(TimeDelta::hours(1));
        app.clock.advance_business(TimeDelta::days(days));
        app.run_upkeep().await;
    };
    days(STUCK_AFTER.num_days() + 4).await;
    lift(app, &lifted).await.is(200);
    days(2).await;
    for id in [&lifted, &ended] {
        assert_eq!(
            app.own(id).await["status"],
            "placed",
            "a dispute is settled: it can be printed"
        );
    }
    days(STUCK_AFTER.num_days()).await;
    for id in [&lifted, &ended] {
        assert_eq!(app.own(id).await["status"], "cancelled");
    }
}

#[apply(on_both_engines)]
async fn no_order_waits_behind_held_ones_however_many_they_are(app: &TestApp) {
    // More than any sweep looks at in one go, all at the front.
    let (mut drafts, mut placed) = (Vec::new(), Vec::new());
    for _ in 0..102 {
        drafts.push(app.placed_as(&fixtures::draft()).await);
        placed.push(app.placed().await);
    }
    let (draft, order) = (drafts.pop().unwrap(), placed.pop().unwrap());
    for id in drafts.iter().chain(&placed) {
        let front = format!(
            "UPDATE orders SET hold_until = '2027-11-01 00:00:00', moved_at = '2026-11-22 00:00:00' WHERE id = '{id}'"
        );
        app.conn().batch_execute(&front).unwrap();
    }
    assert_eq!(app.claim(100).await, std::slice::from_ref(&order));
    app.clock.advance_wall(TimeDelta::hours(1));
    app.clock.advance_business(STUCK_AFTER + TimeDelta::hours(1));
    app.run_upkeep().await;
    assert_eq!(
        (app.personal_rows(&draft), app.personal_rows(&order)),
        ([0, 0, 0], [0, 0, 0])
    );
    assert_eq!(
        rows::count(&mut app.conn(), "order_person"),
        202,
        "what is held is kept"
    );
}

#[apply(on_both_engines)]
async fn no_step_is_taken_with_a_held_order_but_that_its_lease_ends(app: &TestApp) {
    let reason = || json!({"reason": planted::REASON});
    let (leased, printed, placed) = (app.placed().await, app.booked().await, app.placed().await);
    for id in [&leased, &printed, &placed] {
        hold(app, id).await;
    }
    let own = |id: &str, verb: &str| format!("/v1/orders/{id}/{verb}");
    let floor = |id: &str, verb: &str| format!("/admin/v1/orders/{id}/{verb}");
    app.print(&leased).await.problem(409, "held");
    let again = json!({"operator": "wang", "reason": planted::REASON});
    app.post(&app.keys.floor, &floor(&printed, "reprint"), again)
        .await
        .problem(409, "held");
    for id in [&leased, &printed, &placed] {
        app.post(&app.keys.orders, &own(id, "cancel"), reason())
            .await
            .problem(409, "held");
        app.post(&app.keys.ops, &floor(id, "cancel"), reason())
            .await
            .problem(409, "held");
    }
    assert_eq!(app.all_parcels().await.len(), 1, "nor was its parcel called off");
    assert_eq!(app.stands(&printed).await, ("printed".into(), "booked".into()));
    app.post(&app.keys.floor, &floor(&leased, "release"), json!({"operator": "wang"}))
        .await
        .is(200);
    assert_eq!(app.own(&leased).await["status"], "placed");
    for id in [&leased, &printed, &placed] {
        lift(app, id).await.is(200);
        app.post(&app.keys.orders, &own(id, "cancel"), reason()).await.is(200);
    }
}

#[apply(on_both_engines)]
async fn a_hold_is_not_renewed_past_the_longest_counted_from_the_first(app: &TestApp) {
    let id = app.placed().await;
    let first = app.clock.business_now();
    hold_until(app, &id, first + TimeDelta::days(300)).await.is(200);
    app.advance(TimeDelta::days(200));
    let problem = hold_until(app, &id, first + TimeDelta::days(366))
        .await
        .problem(422, "invalid_body");
    assert_eq!(
        field_errors(&problem),
        [("/until".to_owned(), "out_of_range".to_owned())]
    );
    let latest = (first + TimeDelta::days(365)).format("%FT%TZ").to_string();
    assert!(
        problem["errors"][0]["detail"].as_str().unwrap().contains(&latest),
        "{problem}"
    );
    // Lifting it does not begin anew.
    lift(app, &id).await.is(200);
    hold_until(app, &id, first + TimeDelta::days(366))
        .await
        .problem(422, "invalid_body");
    hold_until(app, &id, first + TimeDelta::days(365)).await.is(200);
}
