//! A stolen copy of the orders, with today's vault and master key beside it: made while a thousand orders were alive,
//! worthless once the keys of that day are given up. Real processes; on PostgreSQL the vault has a server of its own, and
//! the copy is made by `pg_dump` and by carrying the server's folder away.

use std::sync::Arc;

use futures_util::future::join_all;
use macro_rules_attribute::apply;
use reqwest::Method;
use safelight::clock::Clock;
use safelight::domain::ids::OrderId;
use safelight::store::personal_records;
use safelight::store::vault::VaultDatabase;
use safelight::vault::keyring::{Keyring, Table};
use safelight::vault::master::MasterKey;
use safelight::vault::{Vault, VaultSettings};
use serde_json::{Value, json};

use crate::harness::databases::{Databases, Engine};
use crate::harness::planted;
use crate::process::{Installation, Served, bare, order};
use crate::recovery::crash::cluster::Cluster;

/// As many as the promise speaks of.
const LIVE: usize = 1000;

/// Every key that the vault has, opened with the master key of that folder.
pub(crate) fn todays_keys(databases: &Databases) -> Arc<Keyring> {
    vault_under(databases, "master.key").ring().unwrap()
}

/// The vault of these databases under the master key of that name, which is made where it is not there.
pub(crate) fn vault_under(databases: &Databases, name: &str) -> Vault {
    let master = MasterKey::load_or_make(&databases.folder.path().join("vault").join(name), true).unwrap();
    let day = std::time::Duration::from_secs(86_400);
    let settings = VaultSettings {
        epoch_length: day,
        epochs_ahead: 7,
        copy_horizon: day,
        key_cache: day,
    };
    Vault::new(
        VaultDatabase::new(databases.vault_url(), 1),
        master,
        Clock::system(),
        settings,
    )
}

/// How many of the sealed persons open, with whichever key, the one that the row names or any other.
fn readable(orders: &str, ring: &Keyring, ids: &[String]) -> usize {
    let mut conn = safelight::store::AnyConn::open(&orders.parse().unwrap()).unwrap();
    let keys: Vec<i64> = (1..=ring.newest().unwrap())
        .filter(|epoch| ring.knows(*epoch))
        .collect();
    let opens = |row: &&personal_records::PersonalRecordRow| {
        keys.iter().any(|epoch| {
            ring.open(*epoch, Table::OrderPerson, &row.order_id, &row.sealed)
                .is_ok()
        })
    };
    let mut count = 0;
    for some in ids.chunks(500) {
        let some: Vec<OrderId> = some.iter().map(|id| id.parse().unwrap()).collect();
        let rows = personal_records::of_orders(&mut conn, &some).unwrap();
        assert_eq!(rows.len(), some.len(), "the rows are there");
        count += rows.iter().filter(opens).count();
    }
    count
}

/// Every order as operators see it.
async fn all_shown(served: &Served, key: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = served.get(key, &format!("/admin/v1/orders?limit=200{cursor}")).await;
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// The copies that somebody can make of the orders, each with how; their URLs.
fn copies(databases: &Databases, clusters: Option<&[Cluster; 2]>) -> Vec<(&'static str, String)> {
    match clusters {
        Some([orders, _]) => vec![
            ("pg_dump", orders.dumped("orders")),
            ("the folder", orders.stolen("orders")),
        ],
        None => {
            let copy = databases.folder.path().join("stolen.db");
            let from = databases.orders.trim_start_matches("sqlite:");
            // Byte by byte: the file and what stands in its log.
            for end in ["", "-wal"] {
                std::fs::copy(format!("{from}{end}"), format!("{}{end}", copy.display())).unwrap();
            }
            vec![("the files", format!("sqlite:{}", copy.display()))]
        }
    }
}

#[apply(on_both_engines)]
#[by(bare)]
async fn of_a_thousand_recipients_in_a_copy_none_is_readable_without_its_keys(engine: Engine) {
    let clusters = (engine == Engine::Postgres).then(|| [Cluster::start(), Cluster::start()]);
    let databases = match &clusters {
        Some([orders, vault]) => Databases::elsewhere(orders.create("orders"), vault.create("vault")),
        None => Databases::bare(engine),
    };
    let installation = Installation::on(databases);
    let served = installation.serve().await;
    let key = installation.key("admin");
    let bodies: Vec<Value> = (0..LIVE).map(|_| order()).collect();
    let mut ids = Vec::with_capacity(LIVE);
    for (number, some) in bodies.chunks(100).enumerate() {
        let keys: Vec<String> = (0..some.len())
            .map(|own| format!("{}{number}-{own}", planted::IDEMPOTENCY))
            .collect();
        let placed = join_all(some.iter().zip(&keys).map(|(body, own)| served.place(&key, own, body))).await;
        ids.extend(
            placed
                .into_iter()
                .map(|answer| answer.unwrap().is(201)["id"].as_str().unwrap().to_owned()),
        );
    }
    let copies = copies(&installation.databases, clusters.as_ref());
    for (how, copy) in &copies {
        assert_eq!(
            readable(copy, &todays_keys(&installation.databases), &ids),
            LIVE,
            "{how}, before"
        );
    }

    let (status, out, err) = installation.run(&["vault", "retire", "--now"]);
    assert!(
        status.success() && out.contains(&format!("{LIVE} orders sealed anew")),
        "{out}{err}"
    );
    let today = todays_keys(&installation.databases);
    assert_eq!(
        readable(&installation.databases.orders, &today, &ids),
        LIVE,
        "the living go on"
    );

    let home = installation.settings.clone();
    let mut thief = installation;
    for (how, copy) in &copies {
        assert_eq!(
            readable(copy, &today, &ids),
            0,
            "{how}, with today's vault and master key"
        );
        thief.settings = home.clone();
        thief.settings.push(("SAFELIGHT__DATABASE__URL", copy.clone()));
        let over_copy = thief.serve().await;
        let shown = all_shown(&over_copy, &key).await;
        assert_eq!(shown.len(), LIVE, "{how}");
        for order in &shown {
            assert_eq!(
                (&order["recipient"], &order["status"]),
                (&Value::Null, &json!("placed")),
                "{how}"
            );
            assert_eq!(order["amount"], "12.90");
        }
        for id in ids.iter().step_by(250) {
            let reason = json!({"reason": planted::REASON});
            let path = format!("/admin/v1/orders/{id}/reveal");
            let answer = over_copy
                .request(Method::POST, &key, &path)
                .json(&reason)
                .send()
                .await
                .unwrap();
            let answer = crate::harness::answer::Answer::read(answer).await;
            answer.holds_no_person().problem(410, "unreadable");
        }
        let by_phone = json!({"phone": planted::PHONE});
        let found = over_copy.post(&key, "/admin/v1/orders/search", by_phone).await;
        assert_eq!(found["data"], json!([]), "fingerprints tell nothing either");
        over_copy.said_nothing_personal();
    }

    assert!(
        all_shown(&served, &key)
            .await
            .iter()
            .all(|order| order["recipient"]["name"] == "司***")
    );
    let reason = json!({"reason": planted::REASON});
    for id in ids.iter().step_by(250) {
        let whole = served
            .post(&key, &format!("/admin/v1/orders/{id}/reveal"), reason.clone())
            .await;
        assert!(whole.to_string().contains(planted::NAME));
    }
    served.said_nothing_personal();
}
