//! Old copies put back: of the orders, and of the vault. What was done since is done again, or the service says why it
//! does not start.

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::app::audit;
use safelight::app::recovery::restore::{self, StartError};
use safelight::app::retention::prove;
use safelight::domain::actor::Actor;
use safelight::domain::journal::JournalKind;
use serde_json::{Value, json};

use crate::harness::app::{Options, TestApp, WINDOW};
use crate::harness::databases::Engine;
use crate::harness::{fixtures, planted, rows};
use crate::process::{Installation, bare, order};

async fn reveal(app: &TestApp, id: &str) -> crate::harness::answer::Answer {
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/reveal"), reason)
        .await
}

async fn hold(app: &TestApp, id: &str) {
    let until = app.clock.business_now() + TimeDelta::days(60);
    let body = json!({"reason": planted::REASON, "until": until});
    app.put(&app.keys.privacy, &format!("/admin/v1/orders/{id}/hold"), body)
        .await
        .is(200);
}

async fn lift(app: &TestApp, id: &str) {
    let path = format!("/admin/v1/orders/{id}/hold");
    app.send(Method::DELETE, Some(&app.keys.privacy), &path, None)
        .await
        .is(200);
}

async fn nothing_to_find(app: &TestApp) {
    for check in prove::prove(&app.app).await.unwrap() {
        assert!(check.findings.is_empty(), "{}: {:?}", check.what, check.findings);
    }
}

async fn refused(app: &TestApp, databases: crate::harness::databases::Databases) -> String {
    match app.started_on(databases).await {
        Err(StartError::OldVault { missing }) => missing,
        Err(other) => panic!("another reason: {other}"),
        Ok(_) => panic!("it started"),
    }
}

#[apply(on_both_engines)]
async fn what_was_purged_since_the_copy_is_purged_again_before_anybody_can_ask(app: &TestApp) {
    let (id, by_hand) = (app.delivered().await, app.placed().await);
    let copy = app.databases.with_copied_orders();
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{by_hand}/purge"), reason)
        .await
        .is(200);
    app.advance(WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    app.booked().await;
    audit::note_head(&app.app).await.unwrap();

    let restored = app.started_on(copy).await.unwrap();
    for (id, reason) in [(&id, "retention"), (&by_hand, "operator")] {
        assert_eq!(restored.personal_rows(id), [0, 0, 0]);
        assert_eq!(restored.detail(id).await["recipient"], Value::Null);
        let receipt = restored
            .get(&restored.keys.privacy, &format!("/admin/v1/purges/{id}"))
            .await
            .is(200);
        assert_eq!(receipt["reason"], reason);
    }
    let verified = restored
        .get(&restored.keys.admin, "/admin/v1/audit/verify")
        .await
        .is(200);
    assert_eq!(verified["ok"], true, "{verified}");
    nothing_to_find(&restored).await;
    restored.finish().await;
}

#[apply(on_both_engines)]
async fn what_is_purged_again_has_ended_as_it_had_and_waits_for_nobody(app: &TestApp) {
    let mut draft = fixtures::order();
    draft["confirm"] = json!(false);
    let drafted = app.placed_as(&draft).await;
    let (carried, called_off) = (app.shipped().await, app.placed().await);
    let copy = app.databases.with_copied_orders();
    app.hears(&carried, "delivered").await;
    let reason = json!({"reason": planted::REASON});
    for id in [&drafted, &called_off] {
        app.post(
            &app.keys.privacy,
            &format!("/admin/v1/orders/{id}/purge"),
            reason.clone(),
        )
        .await
        .is(200);
    }
    app.advance(WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;

    let ids = [&drafted, &called_off, &carried];
    let ends = async |app: &TestApp, id: &str| {
        let detail = app.detail(id).await;
        let event = detail["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["status"] == detail["status"]);
        assert!(event, "its timeline tells how it ended: {detail}");
        [&detail["status"], &detail["ended_at"]].map(Clone::clone)
    };
    let mut ended = Vec::new();
    for id in ids {
        ended.push(ends(app, id).await);
    }
    assert_eq!(
        ended.iter().map(|end| &end[0]).collect::<Vec<_>>(),
        ["cancelled", "cancelled", "delivered"]
    );
    let restored = app.started_on(copy).await.unwrap();
    for (id, end) in ids.into_iter().zip(ended) {
        assert_eq!(ends(&restored, id).await, end);
    }
    let stats = restored.get(&restored.keys.admin, "/admin/v1/stats").await.is(200);
    assert_eq!(stats["oldest_unprinted"], Value::Null, "{stats}");
    // A draft that ended gives its reference back.
    restored.place(&restored.keys.orders, &draft).await.is(201);
    restored.finish().await;
}

#[apply(on_both_engines)]
async fn that_a_copy_was_put_back_stands_in_the_chain_with_what_was_lost(app: &TestApp) {
    let copy = app.databases.with_copied_orders();
    let id = app.booked().await;
    reveal(app, &id).await.is(200);
    audit::note_head(&app.app).await.unwrap();
    let page = app.get(&app.keys.admin, "/admin/v1/audit?limit=1").await.is(200);
    let lost = page["data"][0]["hash"].as_str().unwrap().to_owned();

    let restored = app.started_on(copy).await.unwrap();
    let page = restored
        .get(&restored.keys.admin, "/admin/v1/audit?limit=1")
        .await
        .is(200);
    assert_eq!(page["data"][0]["action"], "restored");
    assert!(page["data"][0]["detail"].as_str().unwrap().contains(&lost), "{page}");
    // And a tail that is cut off without a restore is still missed.
    let last = page["data"][0]["seq"].as_i64().unwrap();
    restored.placed().await;
    restored
        .conn()
        .batch_execute(&format!("DELETE FROM audit_log WHERE seq = {last}"))
        .unwrap();
    let verified = restored
        .get(&restored.keys.admin, "/admin/v1/audit/verify")
        .await
        .is(200);
    assert_eq!(verified["ok"], false, "{verified}");
    restored.finish().await;
}

#[apply(on_both_engines)]
async fn revoked_keys_stay_revoked_held_orders_held_and_lifted_ones_lifted(app: &TestApp) {
    let (held, lifted) = (app.placed().await, app.placed().await);
    let key = app.key("orders");
    hold(app, &lifted).await;
    let copy = app.databases.with_copied_orders();
    hold(app, &held).await;
    lift(app, &lifted).await;
    let key_id = key.split('_').nth(1).unwrap();
    let path = format!("/admin/v1/keys/{key_id}");
    assert!(
        app.send(Method::DELETE, Some(&app.keys.admin), &path, None)
            .await
            .status
            < 300
    );

    let restored = app.started_on(copy).await.unwrap();
    restored.get(&key, "/v1/orders").await.problem(401, "unauthorized");
    assert_eq!(restored.detail(&held).await["held"], true);
    assert_eq!(restored.detail(&lifted).await["held"], false);
    let reason = json!({"reason": planted::REASON});
    let path = format!("/admin/v1/orders/{held}/purge");
    restored
        .post(&restored.keys.privacy, &path, reason)
        .await
        .problem(409, "held");
    restored.finish().await;
}

#[apply(on_both_engines)]
async fn no_parcel_is_booked_a_second_time_after_a_restore(app: &TestApp) {
    let (waiting, placed) = (app.printed().await, app.placed().await);
    let copy = app.databases.with_copied_orders();
    app.run_jobs().await;
    while !app.claim(100).await.contains(&placed) {}
    app.print(&placed).await.is(200);
    app.run_jobs().await;
    let parcels = [app.parcel_of(&waiting).await, app.parcel_of(&placed).await];
    assert_eq!(app.all_parcels().await.len(), 2);

    let restored = app.started_on(copy).await.unwrap();
    assert_eq!(
        restored.stands(&waiting).await,
        ("printed".into(), "unknown".into()),
        "nothing is believed"
    );
    assert_eq!(restored.stands(&placed).await.0, "placed");
    while !restored.claim(100).await.contains(&placed) {}
    restored.print(&placed).await.is(200);
    assert_eq!(
        restored.stands(&placed).await.1,
        "unknown",
        "its courier is asked first"
    );
    restored.run_jobs().await;
    assert_eq!(
        [restored.parcel_of(&waiting).await, restored.parcel_of(&placed).await],
        parcels
    );
    assert_eq!(restored.all_parcels().await.len(), 2, "no second parcel");
    // What is placed from here on is booked without a question.
    restored.advance(TimeDelta::seconds(1));
    restored.booked().await;
    restored.finish().await;
}

#[apply(on_both_engines)]
async fn a_copy_after_which_only_reveals_were_done_is_known_for_an_old_one(app: &TestApp) {
    let id = app.placed().await;
    reveal(app, &id).await.is(200);
    let copy = app.databases.with_copied_orders();
    // No start, no booking, no epoch, nothing journalled.
    reveal(app, &id).await.is(200);
    reveal(app, &id).await.is(200);
    let restored = app.started_on(copy).await.unwrap();
    let page = restored
        .get(&restored.keys.admin, "/admin/v1/audit?limit=1")
        .await
        .is(200);
    let entry = &page["data"][0];
    assert_eq!(entry["action"], "restored", "{page}");
    assert!(
        entry["detail"].as_str().unwrap().contains(" lost=2 lost_head="),
        "{page}"
    );
    assert_eq!(
        restored
            .get(&restored.keys.admin, "/admin/v1/audit/verify")
            .await
            .is(200)["ok"],
        true
    );
    nothing_to_find(&restored).await;
    restored.finish().await;
}

#[apply(on_both_engines)]
async fn a_copy_from_before_an_erasure_is_known_by_the_journal_alone(app: &TestApp) {
    let (waiting, gone) = (app.printed().await, app.placed().await);
    let copy = app.databases.with_copied_orders();
    let mut vault = app.databases.open_vault();
    let head = rows::texts(&mut vault, "value", "vault_meta WHERE key = 'audit_head'");
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{gone}/purge"), reason)
        .await
        .is(200);
    // As where its process died before the vault heard of the chain.
    match head.first() {
        Some(head) => vault.batch_execute(&format!(
            "UPDATE vault_meta SET value = '{head}' WHERE key = 'audit_head'"
        )),
        None => vault.batch_execute("DELETE FROM vault_meta WHERE key = 'audit_head'"),
    }
    .unwrap();
    let restored = app.started_on(copy).await.unwrap();
    assert_eq!(
        rows::count(&mut restored.conn(), "audit_log WHERE action = 'restored'"),
        1
    );
    assert_eq!(restored.stands(&waiting).await.1, "unknown", "nothing is believed");
    assert_eq!(restored.personal_rows(&gone), [0, 0, 0]);
    nothing_to_find(&restored).await;
    restored.finish().await;
}

#[apply(on_both_engines)]
async fn a_death_between_the_journal_and_what_it_says_is_no_restore(app: &TestApp) {
    let (held, gone) = (app.placed().await, app.placed().await);
    let (id, now) = (gone.parse().unwrap(), app.clock.business_now());
    app.app
        .orders
        .write_blocking(|conn| {
            let reason = safelight::domain::retention::PurgeReason::Request;
            safelight::store::purges::decide_in_tx(conn, &[id], reason, now)
        })
        .unwrap();
    let until = (now + TimeDelta::days(9)).timestamp_micros().to_string();
    let entry = |kind, subject: &str, detail: &str| safelight::store::vault::journal::NewEntry {
        kind,
        subject: subject.to_owned(),
        detail: detail.to_owned(),
    };
    app.app
        .vault
        .journal(vec![
            entry(JournalKind::Hold, &held, &until),
            entry(JournalKind::Erase, &gone, "request"),
        ])
        .unwrap();
    let started = restore::check_pair(&app.app).unwrap();
    assert_eq!((started.restored, started.replayed), (false, 2));
    assert_eq!(app.detail(&held).await["held"], true);
    assert_eq!(
        rows::count(&mut app.conn(), "orders WHERE first_held_at IS NOT NULL"),
        1
    );
    safelight::app::retention::purge::finish(&app.app, &Actor::System)
        .await
        .unwrap();
    assert_eq!(app.personal_rows(&gone), [0, 0, 0]);
    nothing_to_find(app).await;
}

#[apply(on_both_engines)]
async fn an_ordinary_restart_is_no_restore(app: &TestApp) {
    let id = app.printed().await;
    let restored = app.started_on(app.databases.with_copied_orders()).await.unwrap();
    assert_eq!(restored.stands(&id).await.1, "pending");
    let entries = "audit_log WHERE action = 'restored'";
    assert_eq!(rows::count(&mut restored.conn(), entries), 0);
    restored.finish().await;
}

#[apply(on_both_engines)]
async fn a_vault_older_than_the_orders_is_refused_and_says_what_it_misses(app: &TestApp) {
    let old = app.placed().await;
    let copies = [
        app.databases.with_copied_vault(),
        app.databases.with_copied_vault(),
        app.databases.with_copied_vault(),
    ];
    let [first, second, third] = copies;
    hold(app, &old).await;
    let missing = refused(app, first).await;
    assert!(
        missing.contains("journal entries 1 to 1") && !missing.contains("keys of epochs"),
        "{missing}"
    );
    app.booked().await;
    let missing = refused(app, second).await;
    assert!(missing.contains("turns of its counter"), "{missing}");
    app.advance(TimeDelta::days(10));
    app.run_upkeep().await;
    let missing = refused(app, third).await;
    assert!(missing.contains("the keys of epochs"), "{missing}");
}

#[apply(on_both_engines)]
async fn an_older_vault_is_used_only_when_told_so_and_costs_what_it_missed(app: &TestApp) {
    let old = app.placed().await;
    let copy = app.databases.with_copied_vault();
    app.advance(TimeDelta::days(10));
    app.run_upkeep().await;
    let new = app.placed().await;
    let verbs = app.verbs_over(&copy);
    let missing = restore::accept_older(&verbs).unwrap().expect("something is missing");
    assert!(missing.contains("the keys of epochs"), "{missing}");
    assert_eq!(restore::accept_older(&verbs).unwrap(), None, "once");

    let accepted = app.started_on(copy).await.unwrap();
    reveal(&accepted, &old).await.is(200);
    reveal(&accepted, &new).await.problem(410, "unreadable");
    let path = format!("/v1/orders/{new}/recipient");
    accepted
        .put(&accepted.keys.orders, &path, fixtures::other_recipient())
        .await
        .is(200);
    reveal(&accepted, &new).await.is(200);
    let next = accepted.placed().await;
    reveal(&accepted, &next).await.is(200);
    accepted.finish().await;
}

#[apply(on_both_engines)]
async fn a_vault_backup_six_days_old_opens_todays_orders(app: &TestApp) {
    let copy = app.databases.with_copied_vault();
    app.advance(TimeDelta::days(6));
    app.run_upkeep().await;
    let id = app.placed().await;
    restore::accept_older(&app.verbs_over(&copy)).unwrap();
    let accepted = app.started_on(copy).await.unwrap();
    reveal(&accepted, &id).await.is(200);
    accepted.finish().await;
}

#[apply(on_both_engines)]
#[with(Options { mirrored: true, ..Options::default() })]
async fn after_both_databases_are_lost_the_mirror_tells_copies_what_they_missed(app: &TestApp) {
    let (waiting, gone, held) = (app.printed().await, app.placed().await, app.placed().await);
    let key = app.key("orders");
    let copy = app.databases.with_copied_both();
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{gone}/purge"), reason)
        .await
        .is(200);
    hold(app, &held).await;
    let path = format!("/admin/v1/keys/{}", key.split('_').nth(1).unwrap());
    assert!(
        app.send(Method::DELETE, Some(&app.keys.admin), &path, None)
            .await
            .status
            < 300
    );
    app.run_jobs().await;
    let parcel = app.parcel_of(&waiting).await;

    let restored = app.started_on(copy).await.unwrap();
    assert_eq!(restored.personal_rows(&gone), [0, 0, 0]);
    let receipt = restored
        .get(&restored.keys.privacy, &format!("/admin/v1/purges/{gone}"))
        .await
        .is(200);
    assert_eq!(receipt["reason"], "operator");
    restored.get(&key, "/v1/orders").await.problem(401, "unauthorized");
    assert_eq!(restored.detail(&held).await["held"], true);
    assert_eq!(
        restored.stands(&waiting).await.1,
        "unknown",
        "nothing is believed: its courier is asked first"
    );
    restored.run_jobs().await;
    assert_eq!(restored.parcel_of(&waiting).await, parcel);
    assert_eq!(restored.all_parcels().await.len(), 1, "no second parcel");
    nothing_to_find(&restored).await;
    restored.finish().await;
}

#[apply(on_both_engines)]
#[with(Options { mirrored: true, ..Options::default() })]
async fn what_an_old_vault_and_its_mirror_both_lack_is_named_before_the_start(app: &TestApp) {
    let (gone, held) = (app.placed().await, app.placed().await);
    let copies = [app.databases.with_copied_both(), app.databases.with_copied_both()];
    let [first, second] = copies;
    hold(app, &held).await;
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{gone}/purge"), reason)
        .await
        .is(200);
    let mirror = app.databases.mirror.clone().unwrap();
    let text = std::fs::read_to_string(&mirror).unwrap();
    std::fs::write(&mirror, text.split_once('\n').unwrap().1).unwrap();

    let missing = refused(app, first).await;
    assert_eq!(missing, "it misses journal entries 1 to 1, and so does its mirror");
    let accepted = restore::accept_older(&app.verbs_over(&second)).unwrap().unwrap();
    assert!(accepted.contains("journal entries 1 to 1"), "{accepted}");
    let restored = app.started_on(second).await.unwrap();
    assert_eq!(
        restored.personal_rows(&gone),
        [0, 0, 0],
        "what the mirror has is done again"
    );
    assert_eq!(restored.detail(&held).await["held"], false, "what nobody has is lost");
    restored.finish().await;
}

#[apply(on_both_engines)]
#[with(Options { mirrored: true, ..Options::default() })]
async fn a_mirror_that_could_not_be_written_is_completed_before_anything_else(app: &TestApp) {
    let (id, mirror) = (app.placed().await, app.databases.mirror.clone().unwrap());
    let numbers = || -> Vec<i64> {
        let text = std::fs::read_to_string(&mirror).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["number"].as_i64().unwrap())
            .collect()
    };
    hold(app, &id).await;
    assert_eq!(numbers(), [1]);
    std::fs::remove_file(&mirror).unwrap();
    std::fs::create_dir(&mirror).unwrap();
    let path = format!("/admin/v1/orders/{id}/hold");
    app.send(Method::DELETE, Some(&app.keys.privacy), &path, None)
        .await
        .problem(503, "unavailable");
    assert_eq!(
        app.detail(&id).await["held"],
        true,
        "what is not journalled twice is not done"
    );
    std::fs::remove_dir(&mirror).unwrap();
    lift(app, &id).await;
    assert_eq!(numbers(), [1, 2, 3], "the one that failed, too");
    // One that is set up late, or lost, has everything from the next start on.
    std::fs::remove_file(&mirror).unwrap();
    restore::check_pair(&app.verbs_over(&app.databases)).unwrap();
    assert_eq!(numbers(), [1, 2, 3]);
}

#[apply(on_both_engines)]
#[by(bare)]
async fn what_was_decided_when_the_process_died_is_gone_before_the_next_is_ready(engine: Engine) {
    let installation = Installation::new(engine);
    let served = installation.serve().await;
    let key = installation.key("orders");
    let placed = served
        .place(&key, "planted-key-decided", &order())
        .await
        .unwrap()
        .is(201);
    drop(served);
    let mut conn = installation.databases.open_orders();
    let id = placed["id"].as_str().unwrap().parse().unwrap();
    let now = safelight::clock::Clock::system().business_now();
    safelight::store::conn::write_tx(&mut conn, |conn| {
        let reason = safelight::domain::retention::PurgeReason::Request;
        safelight::store::purges::decide_in_tx(conn, &[id], reason, now)
    })
    .unwrap();
    // No worker here that would do it a moment later.
    let _served = installation.serve_as(&["serve", "--no-workers"]).await;
    assert_eq!(rows::count(&mut conn, "order_person"), 0);
    assert_eq!(rows::count(&mut conn, "purge_receipts"), 1);
}
