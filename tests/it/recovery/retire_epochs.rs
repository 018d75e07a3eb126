//! Giving keys up: finished by whoever comes next, the bytes of keys gone, what does not open named and passed over.

use std::process::Stdio;
use std::time::Instant as Stopwatch;

use chrono::TimeDelta;
use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use futures_util::future::join_all;
use macro_rules_attribute::apply;
use safelight::app::recovery::retire_key_epochs;
use safelight::domain::ids::OrderId;
use safelight::store::{epochs, personal_records};
use safelight::vault::VaultError;
use safelight::vault::keyring::Table;
use safelight::vault::master::MasterKey;
use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::databases::Engine;
use crate::harness::{fixtures, planted, rows};
use crate::process::{Installation, PATIENCE, bare, block_on, order};
use crate::recovery::stolen::vault_under;

async fn place_many(app: &TestApp, count: usize) -> Vec<String> {
    let orders: Vec<Value> = (0..count).map(|_| fixtures::order()).collect();
    let mut ids = Vec::with_capacity(count);
    for some in orders.chunks(100) {
        let placed = join_all(some.iter().map(|order| app.place(&app.keys.orders, order))).await;
        ids.extend(
            placed
                .into_iter()
                .map(|answer| answer.is(201)["id"].as_str().unwrap().to_owned()),
        );
    }
    ids
}

/// How many of the sealed persons open with the keys that the vault has now.
fn openable(app: &TestApp, ids: &[String]) -> usize {
    let ring = app.app.vault.ring().unwrap();
    let ids: Vec<OrderId> = ids.iter().map(|id| id.parse().unwrap()).collect();
    let rows = personal_records::of_orders(&mut app.conn(), &ids).unwrap();
    assert_eq!(rows.len(), ids.len(), "the rows are there");
    let mut epochs = epochs::all(&mut app.conn()).unwrap();
    epochs.retain(|(id, ..)| ring.knows(*id));
    assert!(!epochs.is_empty());
    // Not only the key that the row names: any.
    let opens = |row: &&personal_records::PersonalRecordRow| {
        epochs
            .iter()
            .any(|(id, ..)| ring.open(*id, Table::OrderPerson, &row.order_id, &row.sealed).is_ok())
    };
    rows.iter().filter(opens).count()
}

async fn reveal(app: &TestApp, id: &str) -> crate::harness::answer::Answer {
    let reason = json!({"reason": planted::REASON});
    app.post(&app.keys.privacy, &format!("/admin/v1/orders/{id}/reveal"), reason)
        .await
}

#[apply(on_both_engines)]
async fn the_bytes_of_a_destroyed_key_are_gone_from_the_vault(app: &TestApp) {
    app.placed().await;
    let hex = match app.databases.engine {
        Engine::Sqlite => "lower(hex(wrapped))",
        Engine::Postgres => "encode(wrapped, 'hex')",
    };
    let key = rows::texts(
        &mut app.databases.open_vault(),
        hex,
        "vault_keys WHERE purpose = 'epoch' AND id = 1",
    )
    .remove(0);
    let bytes = data_encoding::HEXLOWER.decode(key.as_bytes()).unwrap();
    let in_files = || {
        let path = app.databases.vault.trim_start_matches("sqlite:").to_owned();
        ["", "-wal"].iter().any(|end| {
            let content = std::fs::read(format!("{path}{end}")).unwrap_or_default();
            content.windows(bytes.len()).any(|window| window == bytes)
        })
    };
    if app.databases.engine == Engine::Sqlite {
        assert!(in_files(), "it is looked for in the right place");
    }
    retire_key_epochs::now(&app.app, |_| {}).await.unwrap();
    let left = "vault_keys WHERE purpose = 'epoch' AND id = 1 AND wrapped IS NOT NULL";
    assert_eq!(rows::count(&mut app.databases.open_vault(), left), 0);
    if app.databases.engine == Engine::Sqlite {
        assert!(!in_files(), "neither in the file nor in its log");
    }
}

#[apply(on_both_engines)]
async fn a_retirement_that_died_anywhere_is_finished_by_the_next_run(app: &TestApp) {
    let ids = place_many(app, 8).await;
    // Died after the fence was closed: nothing is re-sealed, nothing destroyed.
    let now = app.clock.business_now();
    let until = app.app.vault.begin_epoch(&app.app.orders).unwrap();
    app.app
        .orders
        .write_blocking(|conn| epochs::close_in_tx(conn, until, now))
        .unwrap();
    let done = retire_key_epochs::nightly(&app.app).await.unwrap();
    assert_eq!((done.resealed, done.retired > 0, done.destroyed > 0), (8, true, true));
    assert_eq!(openable(app, &ids), 8);
    // Died after the epochs were given up and before their keys were destroyed.
    let until = app.app.vault.begin_epoch(&app.app.orders).unwrap();
    app.app
        .orders
        .write_blocking(|conn| epochs::close_in_tx(conn, until, now))
        .unwrap();
    app.conn()
        .batch_execute(
            "UPDATE key_epochs SET state = 'retired' WHERE state = 'closed' \
        AND id NOT IN (SELECT epoch FROM order_person)",
        )
        .unwrap();
    let done = retire_key_epochs::nightly(&app.app).await.unwrap();
    assert!(done.destroyed > 0, "{done:?}");
    assert_eq!(openable(app, &ids), 8);
    let left = safelight::app::retention::prove::prove(&app.app).await.unwrap();
    assert!(left.iter().all(|check| check.findings.is_empty()), "{left:?}");
}

#[apply(on_both_engines)]
async fn what_was_tampered_with_moved_or_put_under_another_epoch_is_refused(app: &TestApp) {
    let (id, other) = (app.placed().await, app.placed().await);
    retire_key_epochs::now(&app.app, |_| {}).await.unwrap();
    app.app.vault.begin_epoch(&app.app.orders).unwrap();
    let newest = rows::texts(
        &mut app.conn(),
        "CAST(max(id) AS text)",
        "key_epochs WHERE state = 'open'",
    )
    .remove(0);
    let keep = "CREATE TABLE kept AS SELECT * FROM order_person";
    app.conn().batch_execute(keep).unwrap();
    let flipped = match app.databases.engine {
        Engine::Sqlite => "CAST(substr(sealed, 1, 20) || X'00FF00' || substr(sealed, 24) AS BLOB)",
        Engine::Postgres => "overlay(sealed placing '\\x00ff00'::bytea from 21)",
    };
    for (what, change) in [
        (
            "changed",
            format!("UPDATE order_person SET sealed = {flipped} WHERE order_id = '{id}'"),
        ),
        (
            "cut",
            format!("UPDATE order_person SET sealed = substr(sealed, 1, 40) WHERE order_id = '{id}'"),
        ),
        (
            "moved",
            format!(
                "UPDATE order_person SET sealed = (SELECT sealed FROM kept WHERE order_id = '{other}') \
                           WHERE order_id = '{id}'"
            ),
        ),
        (
            "under another epoch",
            format!("UPDATE order_person SET epoch = {newest} WHERE order_id = '{id}'"),
        ),
    ] {
        app.conn().batch_execute(&change).unwrap();
        let refused = reveal(app, &id).await.problem(500, "internal");
        assert!(!refused.to_string().contains(&id), "{what}: opaque outside");
        let logged = app.logged();
        let named = logged
            .lines()
            .any(|line| line.contains(&id) && line.contains("order_person"));
        assert!(named, "{what}: the log names the row");
        assert_eq!(app.own(&id).await["recipient"], Value::Null, "{what}");
        assert_eq!(app.own(&other).await["recipient"]["name"], "司***", "{what}");
        let mend = "UPDATE order_person SET sealed = (SELECT sealed FROM kept WHERE kept.order_id = order_person.order_id), \
                    epoch = (SELECT epoch FROM kept WHERE kept.order_id = order_person.order_id)";
        app.conn().batch_execute(mend).unwrap();
        reveal(app, &id).await.is(200);
        app.conn().batch_execute("DELETE FROM kept").unwrap();
        app.conn()
            .batch_execute("INSERT INTO kept SELECT * FROM order_person")
            .unwrap();
    }
}

/// The columns of a table as they lie there, and an SQL that puts them back.
fn kept(app: &TestApp, table: &str, id: &str) -> String {
    let (hex, quoted) = match app.databases.engine {
        Engine::Sqlite => ("hex(sealed)", "X'{}'"),
        Engine::Postgres => ("encode(sealed, 'hex')", "'\\x{}'"),
    };
    let sealed = rows::texts(&mut app.conn(), hex, &format!("{table} WHERE {id}")).remove(0);
    let epoch = rows::texts(&mut app.conn(), "CAST(epoch AS text)", &format!("{table} WHERE {id}")).remove(0);
    format!(
        "UPDATE {table} SET sealed = {}, epoch = {epoch} WHERE {id}",
        quoted.replace("{}", &sealed)
    )
}

#[apply(on_both_engines)]
async fn what_was_moved_to_another_table_is_refused_and_stops_nobody_else(app: &TestApp) {
    let (id, other) = (app.booked().await, app.placed().await);
    app.hears(&id, "in_transit").await;
    let parked = crate::harness::journey::News {
        reference: None,
        tracking_no: Some(planted::TRACKING.to_owned()),
        status: "in_transit",
        at: app.clock.business_now(),
        remark: Some(planted::REMARK.to_owned()),
    };
    app.webhook(&parked).await.is(200);
    let remark = rows::texts(&mut app.conn(), "id", "courier_remark").remove(0);
    let event = rows::texts(&mut app.conn(), "id", "parked_events").remove(0);
    for (table, key, row, from) in [
        (
            "order_person",
            "order_id",
            &id,
            format!("SELECT sealed FROM courier_remark WHERE id = '{remark}'"),
        ),
        (
            "order_person",
            "order_id",
            &id,
            format!("SELECT sealed FROM parked_events WHERE id = '{event}'"),
        ),
        (
            "courier_remark",
            "id",
            &remark,
            format!("SELECT sealed FROM order_person WHERE order_id = '{id}'"),
        ),
        (
            "parked_events",
            "id",
            &event,
            format!("SELECT sealed FROM courier_remark WHERE id = '{remark}'"),
        ),
    ] {
        let place = format!("{key} = '{row}'");
        let mend = kept(app, table, &place);
        app.conn()
            .batch_execute(&format!("UPDATE {table} SET sealed = ({from}) WHERE {place}"))
            .unwrap();
        let open = |epochs: &str| rows::count(&mut app.conn(), &format!("key_epochs WHERE state = '{epochs}'"));
        // A retirement re-seals everybody else, names this one, and destroys no key that may still be needed.
        let done = retire_key_epochs::now(&app.app, |_| {}).await.unwrap();
        assert_eq!((done.retired, done.destroyed), (0, 0), "{table} from {from}");
        assert!(open("closed") > 0);
        let logged = app.logged();
        assert!(
            logged
                .lines()
                .any(|line| line.contains(row.as_str()) && line.contains(table)),
            "{table}: it is named"
        );
        let old = "epoch IN (SELECT id FROM key_epochs WHERE state = 'closed')";
        assert_eq!(
            rows::count(
                &mut app.conn(),
                &format!("order_person WHERE {old} AND order_id = '{other}'")
            ),
            0
        );
        if table == "order_person" {
            reveal(app, &id).await.problem(500, "internal");
        }
        app.conn().batch_execute(&mend).unwrap();
        let done = retire_key_epochs::now(&app.app, |_| {}).await.unwrap();
        assert!(
            done.retired > 0 && done.destroyed > 0 && open("closed") == 0,
            "{done:?}"
        );
        reveal(app, &id).await.is(200);
    }
}

#[apply(on_both_engines)]
async fn a_vault_wrapped_with_another_master_key_makes_no_keys_and_says_why(app: &TestApp) {
    let id = app.placed().await;
    let previous = MasterKey::load_or_make(&app.databases.folder.path().join("vault/master.key"), false).unwrap();
    let count = vault_under(&app.databases, "new.key").rewrap(&previous).unwrap();
    assert!(count > 2, "{count}");
    // With the keys that it has it goes on.
    assert_eq!(app.detail(&id).await["recipient"]["name"], "司***");
    let keys = || rows::count(&mut app.databases.open_vault(), "vault_keys");
    let before = keys();
    app.advance(TimeDelta::days(3));
    for refused in [
        app.app.vault.make_ahead(&app.app.orders).unwrap_err(),
        app.app.vault.begin_epoch(&app.app.orders).unwrap_err(),
    ] {
        assert!(
            matches!(&refused, VaultError::Unavailable(why) if why.contains("another master key")),
            "{refused}"
        );
    }
    assert_eq!(keys(), before, "no key that the new master key does not open");
    // Without them it waits for its restart, as for a vault that is down.
    let answer = app.place(&app.keys.orders, &fixtures::order()).await;
    assert_eq!(answer.problem(503, "unavailable")["part"], "vault");
    vault_under(&app.databases, "new.key")
        .make_ahead(&app.app.orders)
        .unwrap();
    assert!(keys() > before);
}

#[apply(on_both_engines)]
#[by(bare)]
async fn the_commands_retire_rewrap_and_say_where_things_stand(engine: Engine) {
    let mut installation = Installation::new(engine);
    let key = installation.key("admin");
    let served = installation.serve().await;
    let id = served
        .place(&key, "planted-key-retire", &order())
        .await
        .unwrap()
        .is(201)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (status, out, err) = installation.run(&["vault", "retire", "--now"]);
    assert!(status.success() && out.contains("1 orders sealed anew"), "{out}{err}");
    let (status, out, _) = installation.run(&["vault", "status"]);
    assert!(status.success() && out.contains("0 persons are unreadable"), "{out}");
    let path = format!("/v1/orders/{id}");
    assert_eq!(
        served.get(&key, &path).await["recipient"]["name"],
        "司***",
        "beside the running service"
    );
    drop(served);

    let folder = installation.databases.folder.path().to_owned();
    let (master, previous) = (folder.join("vault/master.key"), folder.join("vault/master.key.old"));
    std::fs::rename(&master, &previous).unwrap();
    assert!(
        !installation.run(&["vault", "rewrap-master"]).0.success(),
        "it must know the previous one"
    );
    assert!(
        !installation.run(&["vault", "status"]).0.success(),
        "no key is made where there are keys"
    );
    let name = "SAFELIGHT__VAULT__MASTER_KEY_PREVIOUS_FILE";
    installation
        .settings
        .push((name, previous.to_str().unwrap().to_owned()));
    let (status, out, err) = installation.run(&["vault", "rewrap-master"]);
    assert!(status.success(), "{out}{err}");
    let (_, again, _) = installation.run(&["vault", "rewrap-master"]);
    assert!(again.starts_with("0 keys"), "{again}");
    installation.settings.retain(|(key, _)| *key != name);
    std::fs::remove_file(previous).unwrap();
    let served = installation.serve().await;
    assert_eq!(served.get(&key, &path).await["recipient"]["name"], "司***");
}

#[test]
fn a_backup_of_the_running_service_is_restored_and_caught_up() {
    block_on(async {
        let installation = Installation::new(Engine::Sqlite);
        let key = installation.key("admin");
        let served = installation.serve().await;
        let kept = served.place(&key, "planted-key-kept", &order()).await.unwrap().is(201)["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let gone = served.place(&key, "planted-key-gone", &order()).await.unwrap().is(201)["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let (status, out, err) = installation.run(&["backup", "copies"]);
        assert!(status.success(), "{out}{err}");
        for (target, which) in [("data", None), ("vault", Some("--vault"))] {
            let refused = installation.run(&["backup", target].into_iter().chain(which).collect::<Vec<_>>());
            assert!(!refused.0.success(), "a copy never lands on a database in use");
        }
        let reason = json!({"reason": planted::REASON});
        served
            .post(&key, &format!("/admin/v1/orders/{gone}/purge"), reason)
            .await;
        let late = served.place(&key, "planted-key-late", &order()).await.unwrap().is(201)["id"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            !installation.run(&["restore", "copies"]).0.success(),
            "not under a running service"
        );
        served.get(&key, &format!("/v1/orders/{late}")).await;
        drop(served);
        let folder = installation.databases.folder.path();
        std::fs::create_dir(folder.join("cut")).unwrap();
        let whole = std::fs::read(folder.join("copies/safelight.db")).unwrap();
        std::fs::write(folder.join("cut/safelight.db"), &whole[..whole.len() / 2]).unwrap();
        let (status, _, err) = installation.run(&["restore", "cut"]);
        assert!(!status.success() && err.contains("damaged"), "{err}");
        let orders = "orders WHERE purged_at IS NULL";
        let living = rows::count(&mut installation.databases.open_orders(), orders);
        assert_eq!(living, 2, "what is there stays");
        let (status, out, err) = installation.run(&["restore", "copies"]);
        assert!(status.success(), "{out}{err}");

        let served = installation.serve().await;
        assert_eq!(
            served.get(&key, &format!("/v1/orders/{kept}")).await["recipient"]["name"],
            "司***"
        );
        let order = served.get(&key, &format!("/v1/orders/{gone}")).await;
        assert!(
            order["purged_at"].is_string() && order["recipient"].is_null(),
            "{order}"
        );
        let missing = served
            .request(reqwest::Method::GET, &key, &format!("/v1/orders/{late}"))
            .send()
            .await
            .unwrap();
        assert_eq!(missing.status(), 404, "the copy is older than this one");
        assert!(installation.run(&["prove"]).0.success());

        // The vault, apart: an older one is refused, and says so.
        assert!(installation.run(&["backup", "keys", "--vault"]).0.success());
        let reason = json!({"reason": planted::REASON});
        served
            .post(&key, &format!("/admin/v1/orders/{kept}/purge"), reason)
            .await;
        drop(served);
        assert!(installation.run(&["restore", "keys", "--vault"]).0.success());
        let (status, _, err) = installation.run(&["serve"]);
        assert!(
            !status.success() && err.contains("the vault is older") && err.contains("journal entries"),
            "{err}"
        );
        let (status, out, _) = installation.run(&["vault", "accept-older"]);
        assert!(status.success() && out.contains("journal entries"), "{out}");
        installation.serve().await;
    });
}

#[test]
fn nothing_but_a_copy_of_this_very_database_takes_its_place() {
    block_on(async {
        let [installation, stranger] = [0, 1].map(|_| Installation::new(Engine::Sqlite));
        let key = installation.key("admin");
        stranger.key("admin");
        for made in [&installation, &stranger] {
            drop(made.serve().await);
            for which in [&["backup", "copies"][..], &["backup", "copies", "--vault"]] {
                assert!(made.run(which).0.success());
            }
        }
        let [folder, theirs] = [&installation, &stranger].map(|made| made.databases.folder.path().to_owned());
        let other_program = folder.join("other.db");
        let mut other = diesel::SqliteConnection::establish(other_program.to_str().unwrap()).unwrap();
        other.batch_execute("CREATE TABLE notes (text TEXT)").unwrap();
        drop(other);
        std::fs::write(folder.join("empty.db"), "").unwrap();
        for (name, which, wrong_kind) in [
            ("safelight.db", None, "vault.db"),
            ("vault.db", Some("--vault"), "safelight.db"),
        ] {
            let restore: Vec<&str> = ["restore", "bad"].into_iter().chain(which).collect();
            for (copy, why) in [
                (folder.join("empty.db"), "no copy of"),
                (other_program.clone(), "no copy of"),
                (folder.join("copies").join(wrong_kind), "no copy of"),
                (theirs.join("copies").join(name), "belongs to another"),
            ] {
                std::fs::create_dir_all(folder.join("bad")).unwrap();
                std::fs::copy(copy, folder.join("bad").join(name)).unwrap();
                let (status, out, err) = installation.run(&restore);
                assert!(
                    !status.success() && err.contains(why) && err.contains("nothing was restored"),
                    "{out}{err}"
                );
            }
        }
        let work = || {
            let mut command = installation.command(&["work"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let mut worker = work();
        let started = Stopwatch::now();
        loop {
            let (status, out, err) = installation.run(&["restore", "copies"]);
            if !status.success() {
                assert!(err.contains("`safelight work` is running"), "{out}{err}");
                break;
            }
            assert!(started.elapsed() < PATIENCE, "it is restored under a worker");
            // One that came in the middle of a restore was turned away.
            if worker.try_wait().unwrap().is_some() {
                worker = work();
            }
        }
        worker.kill().unwrap();
        worker.wait().unwrap();
        let served = installation.serve().await;
        let placed = served.place(&key, "planted-key-still", &order()).await.unwrap();
        placed.is(201);
        drop(served);
        for restore in [&["restore", "copies"][..], &["restore", "copies", "--vault"]] {
            let (status, out, err) = installation.run(restore);
            assert!(status.success(), "{out}{err}");
        }
    });
}
