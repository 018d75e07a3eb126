//! Orders that end by themselves: drafts that nobody confirms, and orders that nothing moves.

use chrono::TimeDelta;
use macro_rules_attribute::apply;
use serde_json::json;

use crate::harness::app::{DRAFT_AFTER, LEASE, STUCK_AFTER, TestApp};
use crate::harness::{fixtures, rows};

#[apply(on_both_engines)]
async fn an_unconfirmed_draft_is_cancelled_purged_and_frees_its_reference(app: &TestApp) {
    let body = fixtures::draft();
    let id = app.placed_as(&body).await;
    app.advance(DRAFT_AFTER - TimeDelta::minutes(1));
    app.run_upkeep().await;
    assert_eq!(app.own(&id).await["status"], "draft");
    app.advance(TimeDelta::minutes(2));
    app.run_upkeep().await;
    assert_eq!(app.own(&id).await["status"], "cancelled");
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
    let receipt = app
        .get(&app.keys.privacy, &format!("/admin/v1/purges/{id}"))
        .await
        .is(200);
    assert_eq!(receipt["reason"], "draft_expired");
    app.place(&app.keys.orders, &body).await.is(201);
}

#[apply(on_both_engines)]
async fn an_order_that_nothing_moves_is_ended_and_purged(app: &TestApp) {
    let (placed, shipped) = (app.placed().await, app.shipped().await);
    // The floor took both when it emptied the queue; one was never printed.
    app.clock.advance_wall(TimeDelta::hours(1));
    app.run_upkeep().await;
    app.clock.advance_business(STUCK_AFTER - TimeDelta::hours(1));
    app.run_upkeep().await;
    assert_eq!(app.personal_rows(&placed)[0], 1);
    app.clock.advance_business(TimeDelta::hours(2));
    app.run_upkeep().await;
    assert_eq!(app.own(&placed).await["status"], "cancelled");
    assert_eq!(app.personal_rows(&placed), [0, 0, 0]);
    let receipt = app
        .get(&app.keys.privacy, &format!("/admin/v1/purges/{placed}"))
        .await
        .is(200);
    assert_eq!(receipt["reason"], "stuck");
    // The last question told that it was delivered long ago.
    assert_eq!(app.own(&shipped).await["status"], "delivered");
}

#[apply(on_both_engines)]
async fn a_shipped_order_of_which_the_courier_knows_no_more_is_lost_and_purged(app: &TestApp) {
    let id = app.shipped().await;
    app.courier_faults(json!({"down": {"on": ["query"]}})).await;
    app.advance(STUCK_AFTER + TimeDelta::hours(1));
    app.run_upkeep().await;
    assert_eq!(app.own(&id).await["status"], "lost");
    assert_eq!(app.personal_rows(&id), [0, 0, 0]);
}

#[apply(on_both_engines)]
async fn an_order_that_is_taken_and_lapses_again_and_again_is_stuck_too(app: &TestApp) {
    let id = app.placed().await;
    for _ in 0..10 {
        app.clock.advance_business(STUCK_AFTER / 10);
        assert_eq!(app.claim(10).await, std::slice::from_ref(&id));
        app.clock.advance_wall(LEASE + TimeDelta::seconds(1));
        while safelight::app::orders::print_floor::return_lapsed(&app.app)
            .await
            .unwrap()
            > 0
        {}
        let forgotten = format!("orders WHERE id = '{id}' AND print_lessee IS NULL AND print_lease_until IS NULL");
        assert_eq!(
            rows::count(&mut app.conn(), &forgotten),
            1,
            "who let it lapse is forgotten"
        );
    }
    app.run_upkeep().await;
    assert_eq!(
        (app.own(&id).await["status"].as_str(), app.personal_rows(&id)),
        (Some("cancelled"), [0, 0, 0])
    );
}
