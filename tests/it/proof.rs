//! `prove`: it finds nothing where there is nothing, and every kind of leak that is planted.

use diesel::connection::SimpleConnection;
use safelight::app::{audit, prove, scan};

use crate::harness::app::TestApp;
use crate::harness::databases::Engine;
use crate::harness::{planted, rows};
use crate::process::{Installation, block_on, on_both};

/// What every check found, in one text.
async fn findings(app: &TestApp) -> String {
    let checks = prove::prove(&app.app).await.unwrap();
    let all: Vec<String> = checks.into_iter().flat_map(|check| check.findings).collect();
    all.join("\n")
}

/// What stands of the planted values in files and rows.
async fn found(app: &TestApp, values: &[&str], logs: Vec<std::path::PathBuf>) -> String {
    let (needles, passed_over) = scan::needles(&values.join("\n"));
    assert_eq!(passed_over, 0);
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

on_both_engines! {
    async fn nothing_is_found_after_a_whole_life_and_its_purge(app: &TestApp) {
        app.purged().await;
        safelight::app::retire::now(&app.app, |_| {}).await.unwrap();
        audit::note_head(&app.app).await.unwrap();
        assert_eq!(findings(app).await, "");
        let values = [planted::NAME, planted::PHONE, planted::STREET, planted::PHOTO, planted::REMARK];
        assert_eq!(found(app, &values, Vec::new()).await, "");
    }

    async fn a_row_of_a_purged_order_is_found_in_every_table_that_a_purge_empties(app: &TestApp) {
        let id = app.purged().await;
        let bytes = bytes(app);
        for (table, leak, mend) in [
            ("order_person",
             format!("INSERT INTO order_person (order_id, epoch, sealed, phone_print) VALUES ('{id}', 1, {bytes}, {bytes})"),
             format!("DELETE FROM order_person WHERE order_id = '{id}'")),
            ("order_tracking",
             format!("INSERT INTO order_tracking (id, order_id, attempt, courier, epoch, tracking_print) \
                      VALUES ('t', '{id}', 1, 'simulated', 1, {bytes})"),
             format!("DELETE FROM order_tracking WHERE order_id = '{id}'")),
            ("courier_remark",
             format!("INSERT INTO courier_remark (id, order_id, attempt, at, epoch, sealed, remark_print) \
                      VALUES ('r', '{id}', 1, '2026-11-23 08:00:00', 1, {bytes}, {bytes})"),
             format!("DELETE FROM courier_remark WHERE order_id = '{id}'")),
            ("order_label",
             format!("INSERT INTO order_label (order_id, attempt, content_type, epoch, sealed) \
                      VALUES ('{id}', 1, 'application/pdf', 1, {bytes})"),
             format!("DELETE FROM order_label WHERE order_id = '{id}'")),
            ("shipment_attempts",
             format!("UPDATE shipment_attempts SET provider_ref = 'shp_1' WHERE order_id = '{id}'"),
             format!("UPDATE shipment_attempts SET provider_ref = NULL WHERE order_id = '{id}'")),
        ] {
            app.conn().batch_execute(&leak).unwrap();
            let found = findings(app).await;
            assert!(found.contains(&id) && found.contains(table), "{table}: {found}");
            app.conn().batch_execute(&mend).unwrap();
            assert_eq!(findings(app).await, "", "{table}");
        }
    }

    async fn a_key_of_a_retired_epoch_that_exists_again_is_found(app: &TestApp) {
        app.purged().await;
        safelight::app::retire::now(&app.app, |_| {}).await.unwrap();
        let raise = format!("UPDATE vault_keys SET wrapped = {} WHERE purpose = 'epoch' AND id = 1", bytes(app));
        app.databases.open_vault().batch_execute(&raise).unwrap();
        let found = findings(app).await;
        assert!(found.contains("the key of retired epoch 1 still exists"), "{found}");
    }

    async fn a_changed_a_removed_and_a_moved_receipt_are_found(app: &TestApp) {
        let (id, other) = (app.delivered().await, app.delivered().await);
        app.advance(crate::harness::app::WINDOW + chrono::TimeDelta::minutes(1));
        app.run_upkeep().await;
        let of = |id: &str| format!("purge_receipts WHERE order_id = '{id}'");
        app.conn().batch_execute(&format!("UPDATE purge_receipts SET reason = 'request' WHERE order_id = '{id}'")).unwrap();
        assert!(findings(app).await.contains(&format!("the receipt of order {id} was changed")));
        app.conn().batch_execute(&format!("UPDATE purge_receipts SET reason = 'retention' WHERE order_id = '{id}'")).unwrap();
        assert_eq!(findings(app).await, "");
        app.conn().batch_execute(&format!("DELETE FROM {}", of(&other))).unwrap();
        let found = findings(app).await;
        assert!(found.contains("1 purged orders have no receipt") && found.contains("under audit entry"), "{found}");
    }

    async fn an_audit_tail_that_is_cut_off_is_found_although_the_database_agrees_with_itself(app: &TestApp) {
        let id = app.placed().await;
        let reason = serde_json::json!({"reason": planted::REASON});
        app.post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/reveal"), reason).await.is(200);
        audit::note_head(&app.app).await.unwrap();
        assert_eq!(findings(app).await, "");
        let mut conn = app.conn();
        let last = rows::count(&mut conn, "audit_log");
        let head = rows::texts(&mut conn, "seq || ' ' || hash", &format!("audit_log WHERE seq = {}", last - 1)).remove(0);
        let cut = format!(
            "DELETE FROM audit_log WHERE seq = {last}; UPDATE meta SET value = '{head}' WHERE key = 'audit_head'"
        );
        conn.batch_execute(&cut).unwrap();
        let found = findings(app).await;
        assert!(found.contains(&format!("breaks at entry {last}")), "{found}");
    }

    async fn a_purge_that_is_decided_and_not_done_is_found(app: &TestApp) {
        let id = app.delivered().await.parse().unwrap();
        let now = app.clock.business_now();
        safelight::store::conn::write_tx(&mut app.conn(), |conn| {
            let reason = safelight::domain::retention::PurgeReason::Retention;
            safelight::store::purges::decide_in_tx(conn, &[id], reason, now)
        }).unwrap();
        assert!(findings(app).await.contains("1 orders wait for their destruction"));
        app.run_upkeep().await;
        assert_eq!(findings(app).await, "");
    }

    async fn a_planted_value_is_found_in_a_row_in_a_free_page_and_in_a_log(app: &TestApp) {
        let id = app.purged().await;
        let folder = app.databases.folder.path();
        let log = folder.join("service.log");
        std::fs::write(&log, format!("{{\"name\":\"{}\"}}\n", planted::OTHER_NAME)).unwrap();
        let said = found(app, &[planted::NAME, planted::OTHER_NAME], vec![log]).await;
        assert!(said.contains("line 2") && said.contains("service.log") && !said.contains("line 1"), "{said}");
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
}

on_both! {
    async fn the_command_says_what_it_found_and_ends_with_one(engine) {
        let installation = Installation::new(engine);
        let key = installation.key("orders");
        assert!(!key.is_empty());
        let (status, out, err) = installation.run(&["prove"]);
        assert!(status.success(), "{out}{err}");
        assert!(out.contains("ok     the audit log's hash chain holds"), "{out}");

        let planted_file = installation.databases.folder.path().join("planted");
        std::fs::write(&planted_file, format!("{}\n", planted::NAME)).unwrap();
        let file = planted_file.to_str().unwrap();
        assert!(installation.run(&["prove", "--planted-file", file]).0.success());
        let leak = format!("UPDATE api_keys SET name = '{}'", planted::NAME);
        installation.databases.open_orders().batch_execute(&leak).unwrap();
        let (status, out, _) = installation.run(&["prove", "--planted-file", file]);
        assert_eq!(status.code(), Some(1));
        assert!(out.contains("FOUND") && !out.contains(planted::NAME), "{out}");
        let (status, out, _) = installation.run(&["prove", "--planted-file", file, "--json"]);
        assert_eq!(status.code(), Some(1));
        let said: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(said["ok"], false);
        assert_eq!(said["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).count(), 1);

        installation.databases.open_orders().batch_execute("UPDATE api_keys SET name = 'shop', scopes = 'admin'").unwrap();
        assert!(installation.run(&["prove"]).0.success(), "keys are no part of the chain");
        installation.databases.open_orders().batch_execute("UPDATE audit_log SET detail = 'scopes=floor'").unwrap();
        assert_eq!(installation.run(&["prove"]).0.code(), Some(1));
    }

    async fn every_encoding_of_a_planted_value_is_found_in_a_column_and_in_a_log(engine) {
        let installation = Installation::new(engine);
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
        let escaped: String = street.encode_utf16().map(|unit| match u8::try_from(unit) {
            Ok(ascii) => char::from(ascii).to_string(),
            Err(_) => format!("\\u{unit:04x}"),
        }).collect();
        let percent: String = street.bytes().map(|byte| match byte {
            b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        }).collect();
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
            installation.databases.open_orders().batch_execute("UPDATE api_keys SET name = 'shop'").unwrap();
            std::fs::write(&log, format!("{{\"at\":\"before {text} after\"}}\n")).unwrap();
            let (status, out, _) = prove();
            let found = out.contains("elsewhere.log") && out.contains(&format!("as {form}")) && !out.contains(street);
            assert!(status.code() == Some(1) && found, "{form} in a log: {out}");
            std::fs::write(&log, "nothing\n").unwrap();
        }
        let (status, out, err) = prove();
        assert!(status.success(), "{out}{err}");
    }
}

#[test]
fn what_stands_in_a_free_page_or_in_the_write_ahead_log_alone_is_found_by_the_command() {
    let installation = Installation::new(Engine::Sqlite);
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
