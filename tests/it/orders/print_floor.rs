//! The print floor: leases, prints, and the parcel that follows from them.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::answer::Answer;
use crate::harness::app::{LEASE, TestApp};
use crate::harness::fixtures;
use crate::harness::{planted, rows};

async fn claim_as(app: &TestApp, key: &str, who: Value) -> Vec<String> {
    let answer = app.post(key, "/admin/v1/print-queue/claim", who).await.is(200);
    answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn act(app: &TestApp, id: &str, verb: &str, body: Value) -> Answer {
    app.post(&app.keys.floor, &format!("/admin/v1/orders/{id}/{verb}"), body)
        .await
}

fn wang() -> Value {
    json!({"operator": "wang"})
}

fn li() -> Value {
    json!({"operator": "li"})
}

#[apply(on_both_engines)]
async fn a_claim_leases_the_oldest_orders_with_their_photos(app: &TestApp) {
    let placed = [app.placed().await, app.placed().await, app.placed().await];
    let answer = app.post(
        &app.keys.floor,
        "/admin/v1/print-queue/claim",
        json!({"operator": "wang", "limit": 2}),
    );
    let answer = answer.await.is(200);
    let claimed = answer["data"].as_array().unwrap();
    assert_eq!(claimed.len(), 2);
    for (order, id) in claimed.iter().zip(&placed) {
        assert_eq!((&order["id"], &order["status"]), (&json!(id), &json!("printing")));
        assert_eq!(order["items"][0]["photo"], planted::PHOTO);
        assert_eq!(order["recipient"]["name"], "司***", "the floor needs no name");
    }
    assert_eq!(answer["lease_expires_at"], "2026-11-23T08:15:00Z");
    assert_eq!(app.own(&placed[2]).await["status"], "placed");
    assert_eq!(claim_as(app, &app.keys.floor, li()).await, [placed[2].clone()]);
    assert!(app.claim(10).await.is_empty(), "what is leased is nobody else's");
}

#[apply(on_both_engines)]
async fn a_printed_order_waits_for_its_parcel_with_a_job_of_its_own(app: &TestApp) {
    let id = app.placed().await;
    app.claim(1).await;
    let printed = app.print(&id).await.is(200);
    assert_eq!(
        (&printed["status"], &printed["shipment"]["state"]),
        (&json!("printed"), &json!("pending"))
    );
    let jobs = format!("jobs WHERE kind = 'ship' AND subject = '{id}' AND state = 'ready'");
    assert_eq!(rows::count(&mut app.conn(), &jobs), 1);
    app.print(&id).await.problem(409, "already_printed");
    assert_eq!(rows::count(&mut app.conn(), "prints"), 1);
}

#[apply(on_both_engines)]
async fn who_does_not_hold_the_lease_neither_prints_nor_releases(app: &TestApp) {
    let id = app.placed().await;
    app.claim(1).await;
    act(app, &id, "printed", li()).await.problem(409, "lease_lost");
    act(app, &id, "release", li()).await.problem(409, "lease_lost");
    let station = json!({"operator": "wang", "station": "P2"});
    act(app, &id, "printed", station).await.problem(409, "lease_lost");
    let other_key = app.key("floor");
    let path = format!("/admin/v1/orders/{id}/printed");
    app.post(&other_key, &path, wang()).await.problem(409, "lease_lost");
    let never_claimed = app.placed().await;
    act(app, &never_claimed, "printed", wang())
        .await
        .problem(409, "lease_lost");
    app.print(&id).await.is(200);
}

#[apply(on_both_engines)]
async fn a_released_order_returns_to_the_queue_at_once(app: &TestApp) {
    let id = app.placed().await;
    app.claim(1).await;
    assert_eq!(act(app, &id, "release", wang()).await.is(200)["status"], "placed");
    assert_eq!(claim_as(app, &app.keys.floor, li()).await, std::slice::from_ref(&id));
    act(app, &id, "printed", wang()).await.problem(409, "lease_lost");
    act(app, &id, "printed", li()).await.is(200);
}

#[apply(on_both_engines)]
async fn a_lapsed_lease_returns_the_order_and_another_may_take_it(app: &TestApp) {
    let id = app.placed().await;
    app.claim(1).await;
    app.clock.advance_wall(LEASE - TimeDelta::seconds(1));
    assert!(
        claim_as(app, &app.keys.floor, li()).await.is_empty(),
        "the lease still holds"
    );
    app.clock.advance_wall(TimeDelta::seconds(2));
    app.run_upkeep().await;
    assert_eq!(app.own(&id).await["status"], "placed");
    assert_eq!(claim_as(app, &app.keys.floor, li()).await, std::slice::from_ref(&id));
    act(app, &id, "printed", wang()).await.problem(409, "lease_lost");
}

#[apply(on_both_engines)]
async fn a_lapsed_lease_may_be_taken_before_anybody_returned_it(app: &TestApp) {
    let id = app.placed().await;
    app.claim(1).await;
    app.clock.advance_wall(LEASE + TimeDelta::seconds(1));
    assert_eq!(claim_as(app, &app.keys.floor, li()).await, std::slice::from_ref(&id));
    act(app, &id, "printed", wang()).await.problem(409, "lease_lost");
    act(app, &id, "printed", li()).await.is(200);
}

#[apply(on_both_engines)]
async fn a_late_print_is_accepted_while_nobody_took_the_order(app: &TestApp) {
    for returned in [false, true] {
        let id = app.placed().await;
        app.claim(1).await;
        app.clock.advance_wall(LEASE + TimeDelta::seconds(1));
        if returned {
            app.run_upkeep().await;
        }
        assert_eq!(
            app.print(&id).await.is(200)["status"],
            "printed",
            "returned: {returned}"
        );
    }
}

#[apply(on_both_engines)]
async fn two_claimers_never_share_an_order(app: &TestApp) {
    let mut placed = BTreeSet::new();
    for _ in 0..24 {
        placed.insert(app.placed().await);
    }
    let claimers = (0..8).map(|number| {
        let who = json!({"operator": format!("operator-{number}"), "limit": 5});
        claim_as(app, &app.keys.floor, who)
    });
    let mut claimed: Vec<String> = futures_util::future::join_all(claimers).await.concat();
    // Those that found everything locked by others ask again.
    claimed.extend(claim_as(app, &app.keys.floor, json!({"operator": "last", "limit": 100})).await);
    assert_eq!(claimed.len(), 24, "nothing twice, nothing lost");
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), placed);
}

#[apply(on_both_engines)]
async fn a_reprint_is_recorded_and_changes_no_status(app: &TestApp) {
    let again = || json!({"operator": "wang", "reason": planted::REASON});
    let placed = app.placed().await;
    assert_eq!(act(app, &placed, "reprint", again()).await.status, 409);
    let id = app.booked().await;
    assert_eq!(act(app, &id, "reprint", again()).await.is(200)["status"], "printed");
    let prints = app.detail(&id).await["prints"].clone();
    let kinds: Vec<&Value> = prints
        .as_array()
        .unwrap()
        .iter()
        .map(|print| &print["reprint"])
        .collect();
    assert_eq!(kinds, [false, true]);
    assert_eq!(app.all_parcels().await.len(), 1, "a reprint sends no second parcel");
    app.hears(&id, "picked_up").await;
    assert_eq!(act(app, &id, "reprint", again()).await.status, 409);
}

#[apply(on_both_engines)]
async fn a_cancelled_order_cannot_be_printed(app: &TestApp) {
    let id = app.placed().await;
    app.claim(1).await;
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.orders, &format!("/v1/orders/{id}/cancel"), reason)
        .await
        .is(200);
    assert_eq!(app.print(&id).await.status, 409);
    assert_eq!(app.stands(&id).await, ("cancelled".into(), "-".into()));
    assert_eq!(rows::count(&mut app.conn(), "jobs"), 0);
}

#[apply(on_both_engines)]
async fn a_claim_of_nothing_and_of_too_much_is_answered_plainly(app: &TestApp) {
    assert!(app.claim(10).await.is_empty());
    for body in [
        json!({"operator": ""}),
        json!({"operator": "w", "limit": 0}),
        json!({"limit": 1}),
        json!({"operator": "w", "limit": 100_000}),
        json!({"operator": "w", "limt": 1}),
    ] {
        let answer = app.post(&app.keys.floor, "/admin/v1/print-queue/claim", body).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
    }
    app.placed_as(&fixtures::draft()).await;
    assert!(app.claim(10).await.is_empty());
}
