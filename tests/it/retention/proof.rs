//! `prove`: it finds nothing where there is nothing, and every kind of leak that is planted.

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use macro_rules_attribute::apply;
use safelight::app::audit;
use safelight::app::recovery::restore;
use safelight::app::retention::prove::scan;
use safelight::app::retention::{leftovers, prove};
use safelight::domain::actor::Actor;
use serde_json::json;

use crate::harness::app::{Options, TestApp};
use crate::harness::databases::Engine;
use crate::harness::{planted, rows};
use crate::process::{Installation, bare};

#[test]
fn what_a_reader_kept_in_the_wal_is_gone_after_any_next_sweep() {
    crate::harness::app::run(Engine::Sqlite, Options::default(), async |app: &TestApp| {
        let id = app.delivered().await;
        let sealed = format!("order_person WHERE order_id = '{id}'");
        let sealed = rows::texts(&mut app.conn(), "lower(hex(sealed))", &sealed).remove(0);
        let sealed = data_encoding::HEXLOWER.decode(sealed.as_bytes()).unwrap();
        let in_log = || {
            let path = format!("{}-wal", app.databases.orders.trim_start_matches("sqlite:"));
            let log = std::fs::read(path).unwrap_or_default();
            // A page at its border may hold a part of it.
            log.windows(64).any(|window| window == &sealed[..64])
        };
        let mut reader = app.conn();
        reader.batch_execute("BEGIN").unwrap();
        assert_eq!(rows::count(&mut reader, "order_person"), 1);
        app.advance(crate::harness::app::WINDOW + TimeDelta::minutes(1));
        app.run_upkeep().await;
        assert_eq!(app.personal_rows(&id), [0, 0, 0]);
        assert!(in_log(), "a reader is in the way");
        reader.batch_execute("ROLLBACK").unwrap();
        assert_eq!(
            safelight::app::retention::purge::sweep(&app.app, &Actor::System)
                .await
                .unwrap(),
            0
        );
        assert!(!in_log());
    });
}

/// What every check found, in one text.
async fn findings(app: &TestApp) -> String {
    let checks = prove::prove(&app.app).await.unwrap();
    let all: Vec<String> = checks.into_iter().flat_map(|check| check.findings).collect();
    all.join("\n")
}

/// What stands of the planted values in files and rows.
async fn found(app: &TestApp, values: &[&str], logs: Vec<std::path::PathBuf>) -> String {
    let (needles, too_short) = scan::needles(&values.join("\n"));
    assert!(too_short.is_empty());
    let checks = prove::scan(&app.app, needles, logs).await.unwrap();
    let all: Vec<String> = checks.into_iter().flat_map(|check| check.findings).collect();
    all.join("\n")
}

fn bytes(app: &TestApp) -> &'static str {
    match app.databases.engine {
        Engine::Sqlite => "X'0102'",
        Engine::Postgres => "'\\x0102'",
    }
}

#[apply(on_both_engines)]
async fn nothing_is_found_after_a_whole_life_and_its_purge(app: &TestApp) {
    app.purged().await;
    safelight::app::recovery::retire_key_epochs::now(&app.app, |_| {})
        .await
        .unwrap();
    audit::note_head(&app.app).await.unwrap();
    assert_eq!(findings(app).await, "");
    let values = [
        planted::NAME,
        planted::PHONE,
        planted::STREET,
        planted::PHOTO,
        planted::REMARK,
    ];
    assert_eq!(found(app, &values, Vec::new()).await, "");
}

#[apply(on_both_engines)]
async fn a_row_of_a_purged_order_is_found_in_every_table_that_a_purge_empties(app: &TestApp) {
    let id = app.purged().await;
    let bytes = bytes(app);
    for (table, leak, mend) in [
        (
            "order_person",
            format!(
                "INSERT INTO order_person (order_id, epoch, sealed, phone_print) VALUES ('{id}', 1, {bytes}, {bytes})"
            ),
            format!("DELETE FROM order_person WHERE order_id = '{id}'"),
        ),
        (
            "order_tracking",
            format!(
                "INSERT INTO order_tracking (id, order_id, attempt, courier, epoch, tracking_print) \
                  VALUES ('t', '{id}', 1, 'simulated', 1, {bytes})"
            ),
            format!("DELETE FROM order_tracking WHERE order_id = '{id}'"),
        ),
        (
            "courier_remark",
            format!(
                "INSERT INTO courier_remark (id, order_id, attempt, at, epoch, sealed, remark_print) \
                  VALUES ('r', '{id}', 1, '2026-11-23 08:00:00', 1, {bytes}, {bytes})"
            ),
            format!("DELETE FROM courier_remark WHERE order_id = '{id}'"),
        ),
        (
            "order_label",
            format!(
                "INSERT INTO order_label (order_id, attempt, content_type, epoch, sealed) \
                  VALUES ('{id}', 1, 'application/pdf', 1, {bytes})"
            ),
            format!("DELETE FROM order_label WHERE order_id = '{id}'"),
        ),
        (
            "shipment_attempts",
            format!("UPDATE shipment_attempts SET provider_ref = 'shp_1' WHERE order_id = '{id}'"),
            format!("UPDATE shipment_attempts SET provider_ref = NULL WHERE order_id = '{id}'"),
        ),
    ] {
        app.conn().batch_execute(&leak).unwrap();
        let found = findings(app).await;
        assert!(found.contains(&id) && found.contains(table), "{table}: {found}");
        app.conn().batch_execute(&mend).unwrap();
        assert_eq!(findings(app).await, "", "{table}");
    }
}

#[apply(on_both_engines)]
async fn a_key_of_a_retired_epoch_that_exists_again_is_found(app: &TestApp) {
    app.purged().await;
    safelight::app::recovery::retire_key_epochs::now(&app.app, |_| {})
        .await
        .unwrap();
    let raise = format!(
        "UPDATE vault_keys SET wrapped = {} WHERE purpose = 'epoch' AND id = 1",
        bytes(app)
    );
    app.databases.open_vault().batch_execute(&raise).unwrap();
    let found = findings(app).await;
    assert!(found.contains("the key of retired epoch 1 still exists"), "{found}");
}

#[apply(on_both_engines)]
async fn a_changed_a_removed_and_a_moved_receipt_are_found(app: &TestApp) {
    let (id, other) = (app.delivered().await, app.delivered().await);
    app.advance(crate::harness::app::WINDOW + chrono::TimeDelta::minutes(1));
    app.run_upkeep().await;
    let of = |id: &str| format!("purge_receipts WHERE order_id = '{id}'");
    app.conn()
        .batch_execute(&format!(
            "UPDATE purge_receipts SET reason = 'request' WHERE order_id = '{id}'"
        ))
        .unwrap();
    assert!(
        findings(app)
            .await
            .contains(&format!("the receipt of order {id} was changed"))
    );
    app.conn()
        .batch_execute(&format!(
            "UPDATE purge_receipts SET reason = 'retention' WHERE order_id = '{id}'"
        ))
        .unwrap();
    assert_eq!(findings(app).await, "");
    app.conn()
        .batch_execute(&format!("DELETE FROM {}", of(&other)))
        .unwrap();
    let found = findings(app).await;
    assert!(
        found.contains("1 purged orders have no receipt") && found.contains("under audit entry"),
        "{found}"
    );
}

#[apply(on_both_engines)]
async fn a_cut_audit_tail_is_found_although_the_database_agrees_with_itself(app: &TestApp) {
    let id = app.placed().await;
    let reason = serde_json::json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/reveal"), reason)
        .await
        .is(200);
    assert_eq!(findings(app).await, "");
    // At once: the vault heard of it before it was answered.
    let mut conn = app.conn();
    let last = rows::count(&mut conn, "audit_log");
    let head = rows::texts(
        &mut conn,
        "seq || ' ' || hash",
        &format!("audit_log WHERE seq = {}", last - 1),
    )
    .remove(0);
    let cut =
        format!("DELETE FROM audit_log WHERE seq = {last}; UPDATE meta SET value = '{head}' WHERE key = 'audit_head'");
    conn.batch_execute(&cut).unwrap();
    let found = findings(app).await;
    assert!(found.contains(&format!("breaks at entry {last}")), "{found}");
}

#[apply(on_both_engines)]
async fn a_chain_written_anew_stays_a_finding_until_a_person_has_settled_it(app: &TestApp) {
    app.purged().await;
    assert_eq!(findings(app).await, "");
    // Somebody removes an entry and joins the rest anew, so that the database agrees with itself, and goes on.
    let mut conn = app.conn();
    let mut entries = safelight::store::audit::after(&mut conn, 0, 100).unwrap();
    entries.remove(2);
    let mut previous = String::new();
    let mut sql = "DELETE FROM audit_log;".to_owned();
    for (seq, entry) in (1..).zip(&mut entries) {
        entry.seq = seq;
        entry.prev_hash = previous.clone();
        entry.hash = entry.expected_hash();
        previous.clone_from(&entry.hash);
        sql.push_str(&format!(
            "INSERT INTO audit_log (seq, at, actor, action, subject, detail, prev_hash, hash) \
             VALUES ({seq}, '{}', '{}', '{}', '{}', '{}', '{}', '{}');",
            entry.at, entry.actor, entry.action, entry.subject, entry.detail, entry.prev_hash, entry.hash
        ));
    }
    sql.push_str(&format!(
        "UPDATE meta SET value = '{} {previous}' WHERE key = 'audit_head'",
        entries.len()
    ));
    conn.batch_execute(&sql).unwrap();
    for _ in 0..3 {
        app.key("orders");
        assert!(
            audit::note_head(&app.app).await.is_err(),
            "the alarm stays, however long the chain grows"
        );
        assert_eq!(
            app.get(&app.keys.admin, "/admin/v1/audit/verify").await.is(200)["ok"],
            false
        );
        assert!(findings(app).await.contains("the chain breaks at entry"));
    }
    restore::check_pair(&app.app).unwrap();
    assert!(audit::note_head(&app.app).await.is_err(), "a start settles nothing");
    let said = audit::accept_chain(&app.app, &Actor::CommandLine).unwrap().unwrap();
    assert!(said.contains("lost=unknown lost_head="), "{said}");
    assert_eq!(audit::accept_chain(&app.app, &Actor::CommandLine).unwrap(), None);
    audit::note_head(&app.app).await.unwrap();
    assert_eq!(
        app.get(&app.keys.admin, "/admin/v1/audit/verify").await.is(200)["ok"],
        true
    );
    assert_eq!(
        rows::count(&mut app.conn(), "audit_log WHERE action = 'chain_accepted'"),
        1
    );
}

#[apply(on_both_engines)]
async fn a_receipt_that_does_not_fit_its_order_or_the_vaults_journal_is_found(app: &TestApp) {
    let id = app.purged().await;
    for (what, leak, mend) in [
        (
            "is not purged as its receipt says",
            "UPDATE orders SET purge_reason = 'operator'",
            "UPDATE orders SET purge_reason = 'retention'",
        ),
        (
            "is not purged as its receipt says",
            "UPDATE orders SET purged_at = '2026-01-01 00:00:00'",
            "UPDATE orders SET purged_at = (SELECT purged_at FROM purge_receipts)",
        ),
        (
            "does not stand in the vault's journal",
            "UPDATE purge_receipts SET journal = journal + 1",
            "UPDATE purge_receipts SET journal = journal - 1",
        ),
    ] {
        app.conn().batch_execute(leak).unwrap();
        let found = findings(app).await;
        assert!(
            found.contains(&format!("order {id}")) && found.contains(what),
            "{leak}: {found}"
        );
        app.conn().batch_execute(mend).unwrap();
        assert_eq!(findings(app).await, "", "{leak}");
    }
    app.databases
        .open_vault()
        .batch_execute("UPDATE journal SET detail = 'operator' WHERE kind = 'erase'")
        .unwrap();
    assert!(findings(app).await.contains("does not stand in the vault's journal"));
}

#[apply(on_both_engines)]
async fn an_order_that_is_back_is_found_purged_again_and_stops_no_other_purge(app: &TestApp) {
    let (back, other) = (app.delivered().await, app.delivered().await);
    app.conn()
        .batch_execute(&format!(
            "CREATE TABLE kept_orders AS SELECT * FROM orders WHERE id = '{back}'; \
         CREATE TABLE kept_person AS SELECT * FROM order_person WHERE order_id = '{back}'"
        ))
        .unwrap();
    app.advance(crate::harness::app::WINDOW - TimeDelta::hours(1));
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{back}/purge"), reason)
        .await
        .is(200);
    let receipt = app
        .get(&app.keys.privacy, &format!("/admin/v1/purges/{back}"))
        .await
        .is(200);
    assert_eq!(findings(app).await, "");
    // Its rows, from a copy, with the clock that has run out meanwhile.
    let put_back = "UPDATE orders SET purge_decided_at = NULL, purge_reason = NULL, purged_at = NULL \
         WHERE id IN (SELECT id FROM kept_orders); INSERT INTO order_person SELECT * FROM kept_person";
    for receipt_too in [false, true] {
        app.conn().batch_execute(put_back).unwrap();
        if receipt_too {
            app.conn()
                .batch_execute(&format!(
                    "UPDATE orders SET purge_due_at = '2036-01-01 00:00:00' WHERE id = '{back}'"
                ))
                .unwrap();
        }
        let found = findings(app).await;
        assert!(
            found.contains(&format!("order {back} was erased and is there again")),
            "{found}"
        );
        app.advance(TimeDelta::hours(2));
        app.run_upkeep().await;
        assert_eq!(
            (app.personal_rows(&back), app.personal_rows(&other)),
            ([0, 0, 0], [0, 0, 0])
        );
        assert_eq!(findings(app).await, "");
    }
    assert_eq!(
        app.get(&app.keys.privacy, &format!("/admin/v1/purges/{back}"))
            .await
            .is(200),
        receipt,
        "its receipt stands"
    );
    let noted = format!("audit_log WHERE action = 'purge_again' AND subject = '{back}'");
    assert_eq!(rows::count(&mut app.conn(), &noted), 2);
    // Without its receipt only the vault knows.
    app.conn().batch_execute(put_back).unwrap();
    app.conn()
        .batch_execute(&format!("DELETE FROM purge_receipts WHERE order_id = '{back}'"))
        .unwrap();
    app.run_upkeep().await;
    assert!(
        findings(app)
            .await
            .contains(&format!("order {back} was erased and is there again"))
    );
    assert_eq!(leftovers::decide_erased(&app.app).await.unwrap(), 1);
    app.run_upkeep().await;
    assert_eq!(app.personal_rows(&back), [0, 0, 0]);
}

#[apply(on_both_engines)]
async fn leftovers_of_a_purged_order_go_in_the_sweep_and_keep_no_key_alive(app: &TestApp) {
    let id = app.delivered().await;
    let keep = format!("CREATE TABLE kept AS SELECT * FROM order_person WHERE order_id = '{id}'");
    app.conn().batch_execute(&keep).unwrap();
    app.advance(crate::harness::app::WINDOW + TimeDelta::minutes(1));
    app.run_upkeep().await;
    let put_back = "INSERT INTO order_person SELECT * FROM kept";
    for orphaned in [false, true] {
        app.conn().batch_execute(put_back).unwrap();
        if orphaned {
            let nobody = safelight::domain::ids::OrderId::generate();
            app.conn()
                .batch_execute(&format!("UPDATE order_person SET order_id = '{nobody}'"))
                .unwrap();
        }
        app.run_upkeep().await;
        assert_eq!(rows::count(&mut app.conn(), "order_person"), 0, "orphaned: {orphaned}");
    }
    app.conn().batch_execute(put_back).unwrap();
    let done = safelight::app::recovery::retire_key_epochs::now(&app.app, |_| {})
        .await
        .unwrap();
    assert!(done.retired > 0 && done.destroyed > 0, "{done:?}");
    assert_eq!(findings(app).await, "");
    assert_eq!(
        rows::count(&mut app.conn(), "audit_log WHERE action = 'purge_leftover'"),
        3
    );
}

#[apply(on_both_engines)]
async fn a_value_in_pieces_in_quotes_and_in_an_undeclared_table_is_found(app: &TestApp) {
    let quoted = "他说\"好\"\\绝密";
    // Longer than a page: SQLite keeps it in pieces, and one border falls into the value.
    let text = |page: usize| format!("{}{}{}", "x".repeat(page), planted::STREET, "y".repeat(9000));
    app.conn()
        .batch_execute("CREATE TABLE nobody_declared (id BIGINT, text TEXT, bytes BYTEA)")
        .unwrap();
    for page in (3900..4120).step_by(10) {
        let row = format!(
            "DELETE FROM nobody_declared; INSERT INTO nobody_declared (text) VALUES ('{}')",
            text(page)
        );
        app.conn().batch_execute(&row).unwrap();
        let said = found(app, &[planted::STREET], Vec::new()).await;
        assert!(
            said.contains("nobody_declared") && said.contains("as UTF-8"),
            "{page}: {said}"
        );
    }
    app.conn()
        .batch_execute(&format!("UPDATE nobody_declared SET text = '{quoted}'"))
        .unwrap();
    let said = found(app, &[quoted], Vec::new()).await;
    assert!(said.contains("nobody_declared") && said.contains("as UTF-8"), "{said}");
    let hex = data_encoding::HEXLOWER.encode(planted::NAME.as_bytes());
    let bytes = match app.databases.engine {
        Engine::Sqlite => format!("X'{hex}'"),
        Engine::Postgres => format!("'\\x{hex}'"),
    };
    app.conn()
        .batch_execute(&format!("UPDATE nobody_declared SET text = '', bytes = {bytes}"))
        .unwrap();
    assert!(
        found(app, &[planted::NAME], Vec::new())
            .await
            .contains("nobody_declared")
    );
}

#[apply(on_both_engines)]
async fn a_purge_that_is_decided_and_not_done_is_found(app: &TestApp) {
    let id = app.delivered().await.parse().unwrap();
    let now = app.clock.business_now();
    safelight::store::conn::write_tx(&mut app.conn(), |conn| {
        let reason = safelight::domain::retention::PurgeReason::Retention;
        safelight::store::purges::decide_in_tx(conn, &[id], reason, now)
    })
    .unwrap();
    assert!(findings(app).await.contains("1 orders wait for their destruction"));
    app.run_upkeep().await;
    assert_eq!(findings(app).await, "");
}

#[apply(on_both_engines)]
async fn a_planted_value_is_found_in_a_row_in_a_free_page_and_in_a_log(app: &TestApp) {
    let id = app.purged().await;
    let folder = app.databases.folder.path();
    let log = folder.join("service.log");
    std::fs::write(&log, format!("{{\"name\":\"{}\"}}\n", planted::OTHER_NAME)).unwrap();
    let said = found(app, &[planted::NAME, planted::OTHER_NAME], vec![log]).await;
    assert!(
        said.contains("line 2") && said.contains("service.log") && !said.contains("line 1"),
        "{said}"
    );
    assert!(!said.contains(planted::OTHER_NAME), "the value itself is not repeated");

    let leak = format!("UPDATE orders SET reference = '{}' WHERE id = '{id}'", planted::PHONE);
    app.conn().batch_execute(&leak).unwrap();
    assert!(found(app, &[planted::PHONE], Vec::new()).await.contains("line 1"));
    if app.databases.engine == Engine::Sqlite {
        let leak = format!(
            "PRAGMA secure_delete = OFF; CREATE TABLE leak (text TEXT); INSERT INTO leak VALUES ('{}'); DROP TABLE leak;",
            planted::STREET
        );
        app.conn().batch_execute(&leak).unwrap();
        let said = found(app, &[planted::STREET], Vec::new()).await;
        assert!(said.contains("at byte"), "{said}");
    }
}

#[apply(on_both_engines)]
#[by(bare)]
async fn the_command_says_what_it_found_and_ends_with_one(engine: Engine) {
    let installation = Installation::new(engine);
    assert!(installation.run(&["migrate"]).0.success());
    let key = installation.key("orders");
    assert!(!key.is_empty());
    let (status, out, err) = installation.run(&["prove"]);
    assert!(status.success(), "{out}{err}");
    assert!(out.contains("ok     the audit log's hash chain holds"), "{out}");

    let planted_file = installation.databases.folder.path().join("planted");
    std::fs::write(&planted_file, format!("{}\n", planted::NAME)).unwrap();
    let file = planted_file.to_str().unwrap();
    assert!(installation.run(&["prove", "--planted-file", file]).0.success());
    // What was not looked for is not said to be gone.
    for (text, said) in [
        ("\r\n \n", "nothing was looked for"),
        ("planted\nLi\n", "line 2 is too short"),
    ] {
        std::fs::write(&planted_file, text).unwrap();
        let (status, out, _) = installation.run(&["prove", "--planted-file", file]);
        assert!(status.code() == Some(1) && out.contains(said), "{out}");
    }
    // As an editor on Windows writes it.
    std::fs::write(&planted_file, format!("\u{feff}{}\r\n", planted::NAME)).unwrap();
    let leak = format!("UPDATE api_keys SET name = '{}'", planted::NAME);
    installation.databases.open_orders().batch_execute(&leak).unwrap();
    let (status, out, _) = installation.run(&["prove", "--planted-file", file]);
    assert_eq!(status.code(), Some(1));
    assert!(out.contains("FOUND") && !out.contains(planted::NAME), "{out}");
    let (status, out, _) = installation.run(&["prove", "--planted-file", file, "--json"]);
    assert_eq!(status.code(), Some(1));
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["ok"], false);
    let failed = said["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["ok"] == false);
    let failed: Vec<&str> = failed.map(|check| check["check"].as_str().unwrap()).collect();
    // Where SQL reads it, and in SQLite's file.
    let expected = if engine == Engine::Sqlite { 2 } else { 1 };
    assert!(
        failed.len() == expected && failed.iter().all(|check| check.contains("of the orders database")),
        "{failed:?}"
    );

    installation
        .databases
        .open_orders()
        .batch_execute("UPDATE api_keys SET name = 'shop', scopes = 'admin'")
        .unwrap();
    assert!(
        installation.run(&["prove"]).0.success(),
        "keys are no part of the chain"
    );
    installation
        .databases
        .open_orders()
        .batch_execute("UPDATE audit_log SET detail = 'scopes=floor'")
        .unwrap();
    assert_eq!(installation.run(&["prove"]).0.code(), Some(1));
}

#[apply(on_both_engines)]
#[by(bare)]
async fn every_encoding_of_a_planted_value_is_found_in_a_column_and_in_a_log(engine: Engine) {
    let installation = Installation::new(engine);
    assert!(installation.run(&["migrate"]).0.success());
    installation.key("orders");
    let folder = installation.databases.folder.path();
    let (planted_file, log) = (folder.join("planted"), folder.join("elsewhere.log"));
    std::fs::write(&planted_file, format!("{}\n", planted::STREET)).unwrap();
    std::fs::write(&log, "nothing\n").unwrap();
    let [file, log_file] = [&planted_file, &log].map(|path| path.to_str().unwrap());
    let prove = || installation.run(&["prove", "--planted-file", file, "--log-file", log_file]);
    let (status, out, err) = prove();
    assert!(status.success(), "{out}{err}");

    let street = planted::STREET;
    let escaped: String = street
        .encode_utf16()
        .map(|unit| match u8::try_from(unit) {
            Ok(ascii) => char::from(ascii).to_string(),
            Err(_) => format!("\\u{unit:04x}"),
        })
        .collect();
    let percent: String = street
        .bytes()
        .map(|byte| match byte {
            b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let written = [
        ("UTF-8", street.to_owned()),
        ("hexadecimal", data_encoding::HEXLOWER.encode(street.as_bytes())),
        ("Base64", data_encoding::BASE64.encode(format!("x{street}y").as_bytes())),
        ("JSON escapes", escaped),
        ("percent encoding", percent),
    ];
    for (form, text) in &written {
        let leak = format!("UPDATE api_keys SET name = 'before {text} after'");
        installation.databases.open_orders().batch_execute(&leak).unwrap();
        let (status, out, _) = prove();
        let found = out.contains(&format!("as {form}")) && !out.contains(street);
        assert!(status.code() == Some(1) && found, "{form} in a column: {out}");
        installation
            .databases
            .open_orders()
            .batch_execute("UPDATE api_keys SET name = 'shop'")
            .unwrap();
        std::fs::write(&log, format!("{{\"at\":\"before {text} after\"}}\n")).unwrap();
        let (status, out, _) = prove();
        let found = out.contains("elsewhere.log") && out.contains(&format!("as {form}")) && !out.contains(street);
        assert!(status.code() == Some(1) && found, "{form} in a log: {out}");
        std::fs::write(&log, "nothing\n").unwrap();
    }
    let (status, out, err) = prove();
    assert!(status.success(), "{out}{err}");
}

#[test]
fn what_stands_only_in_a_free_page_or_in_the_wal_is_found_by_the_command() {
    let installation = Installation::new(Engine::Sqlite);
    assert!(installation.run(&["migrate"]).0.success());
    installation.key("orders");
    let planted_file = installation.databases.folder.path().join("planted");
    std::fs::write(&planted_file, format!("{}\n", planted::STREET)).unwrap();
    let prove = || installation.run(&["prove", "--planted-file", planted_file.to_str().unwrap()]);
    let street = planted::STREET;
    let on_database = |sql: &str| installation.databases.open_orders().batch_execute(sql).unwrap();
    let in_bytes = |end: &str| {
        let path = format!("{}{end}", installation.databases.orders.trim_start_matches("sqlite:"));
        let content = std::fs::read(path).unwrap_or_default();
        content.windows(street.len()).any(|window| window == street.as_bytes())
    };

    // A row that was overwritten long ago: its old page is still in the log, and nowhere else.
    let mut open = installation.databases.open_orders();
    open.batch_execute(&format!("UPDATE api_keys SET name = '{street}'"))
        .unwrap();
    open.batch_execute("UPDATE api_keys SET name = 'shop'").unwrap();
    assert!(in_bytes("-wal") && !in_bytes(""));
    let (status, out, _) = prove();
    assert!(
        status.code() == Some(1) && out.contains("safelight.db-wal at byte") && !out.contains(street),
        "{out}"
    );
    open.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(open);
    assert!(prove().0.success());

    // A table that was dropped: no row has it, a free page does.
    on_database(&format!(
        "PRAGMA secure_delete = OFF; CREATE TABLE leak (text TEXT); INSERT INTO leak VALUES ('{street}'); DROP TABLE leak"
    ));
    assert!(in_bytes("") && !in_bytes("-wal"));
    let (status, out, _) = prove();
    assert!(
        status.code() == Some(1) && out.contains("safelight.db at byte") && !out.contains(street),
        "{out}"
    );
    on_database("VACUUM");
    assert!(prove().0.success());
}
