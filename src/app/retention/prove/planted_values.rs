//! Planted values, looked for in what the databases keep and in other files. Each database is read as SQL reads it, value
//! by value (so that one which its file keeps in pieces is found whole), and SQLite's files byte by byte too, for what no
//! row holds any more.

use std::path::{Path, PathBuf};

use crate::app::retention::prove::Check;
use crate::app::retention::prove::scan::{self, Found, Needle};
use crate::app::{App, AppError};
use crate::config::DatabaseUrl;
use crate::store::{Database, dialect};

/// Whether a file of planted values could be looked for whole: a search for nothing finds nothing, and proves it not.
pub fn all_looked_for(values: usize, too_short: &[usize]) -> Check {
    let mut findings: Vec<String> = too_short
        .iter()
        .map(|line| format!("line {line} is too short to be looked for: it would be found everywhere by chance"))
        .collect();
    if values == 0 && findings.is_empty() {
        findings.push("the file of planted values has none: nothing was looked for".to_owned());
    }
    Check {
        what: "every planted value can be looked for".to_owned(),
        findings,
        looked_at: format!("{} values", values + too_short.len()),
    }
}

/// Looks for planted values in what the databases keep, and in these other files (logs).
///
/// # Errors
/// Store; a file cannot be read.
pub async fn scan(app: &App, needles: Vec<Needle>, logs: Vec<PathBuf>) -> Result<Vec<Check>, AppError> {
    let mut checks = Vec::new();
    for (name, database) in [("orders", &app.orders), ("vault", app.vault.database().plain())] {
        checks.push(rows(name, database, &needles)?);
        if let DatabaseUrl::Sqlite(path) = database.url() {
            checks.push(files(
                format!("no planted value stands in the bytes of the {name} database's files"),
                &database_files(path),
                &needles,
            )?);
        }
    }
    checks.push(files(
        "no planted value stands in the log files".to_owned(),
        &logs,
        &needles,
    )?);
    Ok(checks)
}

/// The database's file and what SQLite keeps beside it.
fn database_files(path: &Path) -> Vec<PathBuf> {
    ["", "-wal", "-shm", "-journal"]
        .iter()
        .map(|end| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        })
        .filter(|path| path.exists())
        .collect()
}

fn files(what: String, files: &[PathBuf], needles: &[Needle]) -> Result<Check, AppError> {
    let mut found = Vec::new();
    let mut bytes = 0;
    for file in files {
        bytes += scan::in_file(file, needles, &mut found)
            .map_err(|error| AppError::Internal(format!("cannot read {}: {error}", file.display())))?;
    }
    Ok(Check {
        what,
        findings: told(found),
        looked_at: format!("{} files, {bytes} bytes", files.len()),
    })
}

/// Every table that is there, whoever made it.
fn rows(name: &str, database: &Database, needles: &[Needle]) -> Result<Check, AppError> {
    let mut found = Vec::new();
    let mut count = 0_u64;
    let tables = database.read_blocking(dialect::all_tables)?;
    for table in &tables {
        let place = format!("table {table}");
        database.write_blocking(|conn| {
            dialect::each_value_in_tx(conn, table, |value| {
                count += 1;
                scan::in_bytes(value, &place, needles, &mut found);
            })
        })?;
    }
    found.dedup();
    let unread = match database.url() {
        DatabaseUrl::Sqlite(_) => "",
        DatabaseUrl::Postgres(_) => " (its server's files, log and replicas are not read)",
    };
    Ok(Check {
        what: format!("no planted value stands in what SQL can reach of the {name} database{unread}"),
        findings: told(found),
        looked_at: format!("{} tables, {count} values", tables.len()),
    })
}

fn told(found: Vec<Found>) -> Vec<String> {
    found
        .into_iter()
        .map(|found| match found.offset {
            Some(offset) => format!(
                "planted value of line {} in {} at byte {offset}, as {}",
                found.line, found.place, found.form
            ),
            None => format!(
                "planted value of line {} in {}, as {}",
                found.line, found.place, found.form
            ),
        })
        .collect()
}
