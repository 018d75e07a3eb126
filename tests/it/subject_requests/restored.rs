//! An old copy that is put back knows again what was asked for since it was made.

use macro_rules_attribute::apply;
use serde_json::json;

use super::{asked, asked_id, complete, done, outcome, read, receipt, refuse, requester};
use crate::harness::app::TestApp;
use crate::harness::{planted, rows};

#[apply(on_both_engines)]
async fn a_restored_copy_knows_requests_again_and_withdrawals_stay_so(app: &TestApp) {
    let (shipped, printed, placed) = (app.shipped().await, app.booked().await, app.placed().await);
    let copy = app.databases.with_copied_orders();
    let open = asked_id(app, "access", &[&shipped, &placed]).await;
    let withdrawn = asked_id(app, "withdraw_consent", &[&shipped, &placed]).await;
    complete(app, &withdrawn).await.is(200);
    let refused = asked_id(app, "delete", &[&printed]).await;
    refuse(app, &refused).await.is(200);
    app.courier_faults(json!({"down": {"on": ["cancel"]}})).await;
    let pending = asked_id(app, "withdraw_consent", &[&printed]).await;
    assert_eq!(outcome(&complete(app, &pending).await.is(200), &printed), "pending");
    app.courier_faults(json!({})).await;

    let restored = app.started_on(copy).await.unwrap();
    let again = read(&restored, &open).await;
    assert_eq!((&again["state"], &again["kind"]), (&json!("open"), &json!("access")));
    assert_eq!(again["due_on"], read(app, &open).await["due_on"]);
    assert_eq!(again["order_ids"], json!([shipped, placed]));
    let again = read(&restored, &withdrawn).await;
    assert_eq!(again["state"], "completed");
    assert_eq!(
        (outcome(&again, &shipped), outcome(&again, &placed)),
        ("restricted", "purged")
    );
    assert_eq!(restored.personal_rows(&placed), [0, 0, 0]);
    assert_eq!(receipt(&restored, &placed).await["reason"], "consent_withdrawn");
    assert_eq!(read(&restored, &refused).await["state"], "refused");
    assert!(
        restored.detail(&printed).await["restricted_at"].is_string(),
        "known before it is ready"
    );
    restored.run_upkeep().await;
    assert_eq!(
        restored.stands(&printed).await.0,
        "cancelled",
        "the courier is asked from here"
    );
    assert_eq!(receipt(&restored, &printed).await["reason"], "consent_withdrawn");
    restored.hears(&shipped, "delivered").await;
    restored.run_upkeep().await;
    assert_eq!(receipt(&restored, &shipped).await["reason"], "consent_withdrawn");
    // An answer that was given is not given again the other way.
    complete(&restored, &refused).await.problem(409, "already_refused");
    restored.finish().await;
}

#[apply(on_both_engines)]
async fn a_restored_copy_that_knew_a_request_as_open_knows_its_answer(app: &TestApp) {
    let order = app.delivered().await;
    let deletion = asked_id(app, "delete", &[&order]).await;
    let copy = app.databases.with_copied_orders();
    complete(app, &deletion).await.is(200);
    let later = app.placed().await;
    let about_later = asked_id(app, "access", &[&order, &later]).await;

    let restored = app.started_on(copy).await.unwrap();
    let again = read(&restored, &deletion).await;
    assert_eq!(
        (&again["state"], outcome(&again, &order)),
        (&json!("completed"), "purged")
    );
    assert_eq!(
        again["requester"]["verified_by"],
        json!(null),
        "it went with the order, here as there"
    );
    assert_eq!(
        read(&restored, &about_later).await["order_ids"],
        json!([order]),
        "of those that are here"
    );
    assert_eq!(restored.personal_rows(&order), [0, 0, 0]);
    restored.finish().await;
}

#[apply(on_both_engines)]
async fn the_journal_holds_nothing_of_a_person(app: &TestApp) {
    let order = app.delivered().await;
    let body = json!({"kind": "withdraw_consent", "phone": planted::PHONE, "requester": requester()});
    let id = asked(app, body).await["id"].as_str().unwrap().to_owned();
    complete(app, &id).await.is(200);
    let other = app.shipped().await;
    done(app, "delete", &[&other]).await;
    let mut vault = app.databases.open_vault();
    let journal = rows::dump(&mut vault, app.databases.engine, "journal");
    assert!(journal.iter().any(|entry| entry.contains(&id)) && journal.iter().any(|entry| entry.contains(&order)));
    assert!(
        journal
            .iter()
            .all(|entry| planted::find(&planted::UNLOGGED, entry).is_none()),
        "{journal:?}"
    );
}
