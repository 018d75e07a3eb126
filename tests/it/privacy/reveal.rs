//! Seeing a recipient whole: by scope, with a reason, recorded.

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::answer::Answer;
use crate::harness::app::TestApp;
use crate::harness::fixtures::{self, set};
use crate::harness::planted;

async fn reveal_by(app: &TestApp, key: &str, id: &str) -> Answer {
    let reason = json!({"reason": planted::REASON});
    app.post(key, &format!("/admin/v1/orders/{id}/reveal"), reason).await
}

async fn approve(app: &TestApp, key: &str, reveal: &Value) -> Answer {
    let path = format!("/admin/v1/reveals/{}/approve", reveal["reveal_id"].as_str().unwrap());
    app.send(reqwest::Method::POST, Some(key), &path, None).await
}

async fn audited(app: &TestApp, action: &str) -> Vec<Value> {
    let page = app.get(&app.keys.admin, "/admin/v1/audit?limit=200").await.is(200);
    let entries = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == action);
    entries.cloned().collect()
}

fn minors_order() -> Value {
    let mut order = fixtures::order();
    set(&mut order, "/consent/minor", json!(true));
    set(&mut order, "/consent/guardian_consent", json!(true));
    order
}

#[apply(on_both_engines)]
async fn a_reveal_shows_the_whole_recipient_and_is_audited_without_its_reason(app: &TestApp) {
    let id = app.placed().await;
    let shown = reveal_by(app, &app.keys.privacy, &id).await.is(200);
    let recipient = if shown["recipient"].is_object() {
        &shown["recipient"]
    } else {
        &shown
    };
    for (member, value) in [
        ("name", planted::NAME),
        ("street", planted::STREET),
        ("province", "广东省"),
    ] {
        assert_eq!(recipient[member], value);
    }
    let phone = recipient["phone"].as_str().unwrap();
    assert_eq!(phone.trim_start_matches("+86"), planted::PHONE);
    let entries = audited(app, "reveal").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["subject"], id.as_str());
    assert!(!entries[0].to_string().contains("植入"));
    assert_eq!(
        app.get(&app.keys.admin, "/admin/v1/audit/verify").await.is(200)["ok"],
        true
    );
}

#[apply(on_both_engines)]
async fn only_the_privacy_scope_reveals(app: &TestApp) {
    let id = app.placed().await;
    for key in [&app.keys.orders, &app.keys.floor, &app.keys.ops] {
        reveal_by(app, key, &id).await.problem(403, "forbidden");
    }
    assert!(audited(app, "reveal").await.is_empty());
}

#[apply(on_both_engines)]
async fn a_reveal_without_a_reason_is_refused(app: &TestApp) {
    let id = app.placed().await;
    for body in [json!({}), json!({"reason": ""}), json!({"reason": "   "})] {
        let answer = app
            .post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/reveal"), body)
            .await;
        assert_eq!(answer.status, 422, "{}", answer.text);
    }
    assert!(audited(app, "reveal").await.is_empty());
}

#[apply(on_both_engines)]
async fn a_minors_recipient_is_shown_once_after_another_key_approved(app: &TestApp) {
    let id = app.placed_as(&minors_order()).await;
    let second = app.key("privacy");
    let asked = reveal_by(app, &app.keys.privacy, &id).await;
    assert_ne!(asked.status, 200, "not yet");
    let asked = asked.holds_no_person().json;
    let again = reveal_by(app, &app.keys.privacy, &id).await.json;
    assert_eq!(again["reveal_id"], asked["reveal_id"], "asking twice is one request");
    approve(app, &app.keys.privacy, &asked).await.problem(409, "same_key");
    let approved = approve(app, &second, &asked).await;
    assert!((200..300).contains(&approved.status), "{}", approved.text);
    approve(app, &second, &asked).await.problem(409, "already_approved");
    assert_ne!(
        reveal_by(app, &second, &id).await.status,
        200,
        "the approval is for the key that asked"
    );
    reveal_by(app, &app.keys.privacy, &id).await.is(200);
    assert_ne!(
        reveal_by(app, &app.keys.privacy, &id).await.status,
        200,
        "an approval is used up"
    );
    assert_eq!(audited(app, "reveal").await.len(), 1);
}

#[apply(on_both_engines)]
async fn a_request_keeps_its_reason_and_its_approval_lasts_a_day(app: &TestApp) {
    let id = app.placed_as(&minors_order()).await;
    let second = app.key("privacy");
    let asked = reveal_by(app, &app.keys.privacy, &id).await.is(202);
    let requests = audited(app, "reveal_request").await;
    assert_eq!(requests.len(), 1);
    assert_eq!(
        requests[0]["reason_hash"].as_str().map(str::len),
        Some(64),
        "{requests:?}"
    );
    let notes = || {
        let ring = app.app.vault.ring().unwrap();
        let row = safelight::store::personal_records::find(&mut app.conn(), id.parse().unwrap())
            .unwrap()
            .unwrap();
        let plain = ring
            .open(
                row.epoch,
                safelight::vault::keyring::Table::OrderPerson,
                &id,
                &row.sealed,
            )
            .unwrap();
        safelight::vault::record::person_from_bytes(&plain).unwrap().notes
    };
    let kept = notes();
    let reason = kept.iter().find(|note| note.kind == "reveal_request_reason").unwrap();
    assert_eq!(
        (reason.text.expose().as_str(), reason.about.as_str()),
        (planted::REASON, requests[0]["seq"].to_string().as_str())
    );
    assert!(kept.iter().any(|note| note.kind == "reveal_request_salt"));

    approve(app, &second, &asked).await.is(200);
    app.clock.advance_business(chrono::TimeDelta::hours(24));
    let again = reveal_by(app, &app.keys.privacy, &id).await.is(202);
    assert_ne!(
        again["reveal_id"], asked["reveal_id"],
        "the approval is over: it is asked for anew"
    );
    approve(app, &second, &again).await.is(200);
    app.clock
        .advance_business(chrono::TimeDelta::hours(24) - chrono::TimeDelta::seconds(1));
    assert_eq!(
        reveal_by(app, &second, &id).await.status,
        202,
        "not for the key that approved"
    );
    reveal_by(app, &app.keys.privacy, &id).await.is(200);
}

#[apply(on_both_engines)]
async fn after_the_purge_there_is_nothing_to_reveal(app: &TestApp) {
    let id = app.purged().await;
    reveal_by(app, &app.keys.privacy, &id).await.problem(410, "purged");
    assert!(audited(app, "reveal").await.is_empty());
}
