//! Fills an orders database with orders that are due to be purged, or are not, and does by plain SQL what a purge of
//! them changes; or has a running service do it.
//!
//! Made for `tests/bench-purge`. The orders are rows alone: what stands for a sealed person is noise of the same size.
//! It must not be pointed at a database that anyone uses.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use diesel::connection::SimpleConnection as _;
use safelight::config::DatabaseUrl;
use safelight::store::AnyConn;
use safelight::store::conn::Engine;

type Failure = Box<dyn std::error::Error>;

/// What to do, and where.
#[derive(Parser)]
enum Options {
    /// Adds orders.
    Seed(Seed),
    /// Purges everything that is due by plain SQL: the same rows change in both databases.
    Plain(Plain),
    /// Has a running service purge everything that is due.
    Purge(Purge),
}

#[derive(Parser)]
struct Seed {
    /// The orders database; migrated.
    #[arg(long)]
    orders: DatabaseUrl,
    /// What kind of orders.
    #[arg(long, value_enum)]
    kind: Kind,
    /// How many.
    #[arg(long)]
    count: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Delivered, and their time is over.
    Due,
    /// Delivered, and their time will come.
    Waiting,
    /// Placed a moment ago.
    Living,
}

#[derive(Parser)]
struct Plain {
    /// The orders database.
    #[arg(long)]
    orders: DatabaseUrl,
    /// The vault.
    #[arg(long)]
    vault: DatabaseUrl,
    /// How many are due: numbered as `seed` numbers them.
    #[arg(long)]
    count: u64,
    /// Orders in one transaction; all of them where this is 0.
    #[arg(long, default_value_t = 0)]
    batch: u64,
}

#[derive(Parser)]
struct Purge {
    /// Address of the service's HTTP listener.
    #[arg(long)]
    address: SocketAddr,
    /// File with an API key of scope `privacy`.
    #[arg(long)]
    key_file: PathBuf,
}

fn main() -> ExitCode {
    let done = match Options::parse() {
        Options::Seed(seed) => seed.run(),
        Options::Plain(plain) => plain.run(),
        Options::Purge(purge) => purge.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere to tell if standard error is closed, too.
            _ = writeln!(io::stderr(), "load_purges: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The numbers from `from` up to, not including, `end`, as a table `n (i)`.
fn numbers(from: u64, end: u64) -> String {
    format!("WITH RECURSIVE n (i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {end})")
}

/// An id of the shape that the service makes, ascending with `i`.
fn id(group: &str) -> String {
    format!("'01900000-{group}-7000-8000-' || CAST(100000000000 + i AS TEXT)")
}

const PAST: &str = "'2026-01-01 08:00:00'";
const SEED_STEP: u64 = 20_000;

impl Seed {
    fn run(&self) -> Result<(), Failure> {
        let mut conn = AnyConn::open(&self.orders)?;
        conn.batch_execute(match conn.engine() {
            Engine::Sqlite => "PRAGMA synchronous = OFF; PRAGMA secure_delete = OFF; PRAGMA cache_size = -200000;",
            Engine::Postgres => "SET synchronous_commit = off;",
        })?;
        let mut from = 0;
        while from < self.count {
            let end = (from + SEED_STEP).min(self.count);
            let statements = self.statements(conn.engine(), from, end);
            conn.batch_execute(&format!("BEGIN; {statements} COMMIT;"))?;
            from = end;
        }
        if conn.engine() == Engine::Postgres {
            conn.batch_execute("VACUUM ANALYZE")?;
        }
        Ok(())
    }

    fn statements(&self, engine: Engine, from: u64, end: u64) -> String {
        let (group, name) = match self.kind {
            Kind::Due => ("0000", "due"),
            Kind::Waiting => ("0001", "waiting"),
            Kind::Living => ("0002", "living"),
        };
        let noise = |bytes: u64| match engine {
            Engine::Sqlite => format!("randomblob({bytes})"),
            Engine::Postgres => format!("decode(repeat(md5(CAST(i AS TEXT)), {}), 'hex')", bytes.div_ceil(16)),
        };
        let (ended, due) = match self.kind {
            Kind::Due => (PAST, PAST),
            Kind::Waiting => (PAST, "'2099-01-01 08:00:00'"),
            Kind::Living => ("NULL", "NULL"),
        };
        // A bare literal in a SELECT is text to PostgreSQL.
        let moment = |text: &str| match engine {
            Engine::Sqlite => text.to_owned(),
            Engine::Postgres => format!("CAST({text} AS TIMESTAMP)"),
        };
        let (past, ended, due) = (moment(PAST), moment(ended), moment(due));
        let status = if self.kind == Kind::Living {
            "placed"
        } else {
            "delivered"
        };
        let attempt = i32::from(self.kind != Kind::Living);
        let (n, id) = (numbers(from, end), id(group));
        let own = |table: u8| id.replacen("7000", &format!("7{table:03}"), 1);
        let mut sql = String::new();
        let mut add = |table: &str, columns: &str, values: &str| {
            // Writing into a String does not fail.
            _ = write!(sql, "{n} INSERT INTO {table} ({columns}) SELECT {values} FROM n; ");
        };
        add(
            "orders",
            "id, client, reference, reference_free, status, amount_minor, currency, courier, minor, policy_version, \
             consent_at, legal_basis, cross_border, guardian_consent, created_at, updated_at, moved_at, attempt, ended_at, \
             first_ended_at, purge_due_at",
            &format!(
                "{id}, 'bench', '{name}-' || i, FALSE, '{status}', 1290, 'CNY', 'simulated', FALSE, '2024-06', {past}, \
                 'contract', FALSE, FALSE, {past}, {past}, {past}, {attempt}, {ended}, {ended}, {due}"
            ),
        );
        // What is due was placed before what is not: under earlier keys. The first eight epochs exist from the start.
        let epoch = if self.kind == Kind::Due { "1" } else { "2 + i % 7" };
        let person = format!("{id}, {epoch}, {}, {}", noise(320), noise(32));
        add("order_person", "order_id, epoch, sealed, phone_print", &person);
        let events = if self.kind == Kind::Due { 6 } else { 1 };
        for event in 0..events {
            let values = format!("{id}, {}, {past}, '{status}', '{status}', 'system'", own(event + 10));
            add("order_events", "order_id, id, at, kind, status, actor", &values);
        }
        if self.kind != Kind::Living {
            add(
                "order_tracking",
                "id, order_id, attempt, courier, epoch, tracking_print",
                &format!("{}, {id}, 1, 'simulated', {epoch}, {}", own(1), noise(32)),
            );
            add(
                "shipment_attempts",
                "id, order_id, number, courier, reference, state, provider_ref, tries, created_at, updated_at",
                &format!(
                    "{}, {id}, 1, 'simulated', 'SL{name}' || i, 'booked', 'shp_' || i, 1, {past}, {past}",
                    own(2)
                ),
            );
        }
        if self.kind == Kind::Due {
            add(
                "courier_remark",
                "id, order_id, attempt, at, epoch, sealed, remark_print",
                &format!("{}, {id}, 1, {past}, 1, {}, {}", own(3), noise(80), noise(32)),
            );
            add(
                "order_items",
                "order_id, line, photo_size, copies, sheets",
                &format!("{id}, 0, 'cn-1in', 8, 1"),
            );
        }
        sql
    }
}

impl Plain {
    fn run(&self) -> Result<(), Failure> {
        let mut orders = AnyConn::open(&self.orders)?;
        let mut vault = AnyConn::open(&self.vault)?;
        let step = if self.batch == 0 { self.count } else { self.batch };
        let id = id("0000");
        let began = Instant::now();
        let (mut from, mut audited) = (0, 0);
        while from < self.count {
            let end = (from + step).min(self.count);
            let n = numbers(from, end);
            let these = format!("IN (SELECT {id} FROM n)");
            let moment = match orders.engine() {
                Engine::Sqlite => PAST.to_owned(),
                Engine::Postgres => format!("CAST({PAST} AS TIMESTAMP)"),
            };
            orders.batch_execute(&format!(
                "BEGIN; {n} UPDATE orders SET purge_decided_at = {PAST}, purge_reason = 'retention', updated_at = {PAST} \
                 WHERE id {these}; COMMIT;"
            ))?;
            vault.batch_execute(&format!(
                "BEGIN; {n} INSERT INTO journal (number, at, kind, subject, detail) \
                 SELECT 1000000 + i, {moment}, 'erase', {id}, 'retention' FROM n; COMMIT;"
            ))?;
            // The service writes one entry of the audit log for so many receipts.
            let entries = (end - from).div_ceil(600);
            let columns = "order_person.phone_print,order_person.sealed,order_tracking.tracking_print,\
                courier_remark.remark_print,courier_remark.sealed,shipment_attempts.provider_ref";
            let hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
            orders.batch_execute(&format!(
                "BEGIN; \
                 {n} DELETE FROM order_person WHERE order_id {these}; \
                 {n} DELETE FROM order_tracking WHERE order_id {these}; \
                 {n} DELETE FROM courier_remark WHERE order_id {these}; \
                 {n} UPDATE shipment_attempts SET provider_ref = NULL WHERE order_id {these}; \
                 {n} UPDATE orders SET purged_at = {PAST}, updated_at = {PAST} WHERE id {these}; \
                 {n} INSERT INTO purge_receipts (order_id, reason, decided_at, purged_at, purged_columns, epoch, journal, \
                 hash, audit_seq) SELECT {id}, 'retention', {moment}, {moment}, '{columns}', 1, 1000000 + i, '{hash}', \
                 1000000 FROM n; \
                 {entries} INSERT INTO audit_log (seq, at, actor, action, subject, detail, prev_hash, hash) \
                 SELECT 1000000 + i, {moment}, 'system', 'purge', 'sweep', 'receipts=500 sha256={hash}', '{hash}', \
                 '{hash}' FROM n; COMMIT;",
                entries = numbers(audited, audited + entries)
            ))?;
            audited += entries;
            from = end;
        }
        if orders.engine() == Engine::Sqlite {
            orders.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")?;
        }
        said(self.count, began.elapsed())
    }
}

fn said(purged: u64, elapsed: Duration) -> Result<(), Failure> {
    let per_second = u128::from(purged) * 1_000_000 / elapsed.as_micros().max(1);
    writeln!(
        io::stdout(),
        "purged={purged} elapsed_ms={} per_second={per_second}",
        elapsed.as_millis()
    )?;
    Ok(())
}

impl Purge {
    fn run(&self) -> Result<(), Failure> {
        let key = std::fs::read_to_string(&self.key_file)?;
        let mut stream = TcpStream::connect(self.address)?;
        let began = Instant::now();
        write!(
            stream,
            "POST /admin/v1/retention/run?dry_run=false HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Connection: close\r\nContent-Length: 0\r\n\r\n",
            self.address,
            key.trim()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let elapsed = began.elapsed();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("the service answered: {answer}").into());
        }
        let body: serde_json::Value = serde_json::from_str(body)?;
        let purged = body.get("purged").and_then(serde_json::Value::as_u64);
        said(purged.ok_or("the answer counts nothing")?, elapsed)
    }
}
