//! `safelight backup` and `restore`, for SQLite. The orders and the vault are copied apart and kept apart: a copy of the
//! one without the other shows nobody's data.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::serve::lock_for_restore;
use crate::cli::{Failure, out};
use crate::config::{Config, DatabaseUrl};
use crate::store::migrate::{self, Which};
use crate::store::vault::{VaultDatabase, meta as vault_meta};
use crate::store::{Database, maintenance, meta};

/// Which database, and where the copy is.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The folder of the copy.
    dir: PathBuf,
    /// The vault instead of the orders.
    #[arg(long)]
    vault: bool,
}

impl Options {
    /// The database, and the other one of its pair.
    fn which(&self) -> (Which, Which) {
        if self.vault {
            (Which::Vault, Which::Orders)
        } else {
            (Which::Orders, Which::Vault)
        }
    }

    fn url<'a>(&self, config: &'a Config) -> &'a DatabaseUrl {
        url_of(config, self.which().0)
    }

    fn copy(&self) -> PathBuf {
        self.dir.join(if self.vault { "vault.db" } else { "safelight.db" })
    }

    /// Whether that file may take the database's place: whole, of its kind, of a schema that this program knows, and of the
    /// same pair as the other of the two databases, where that one is there. What it replaces is gone.
    fn check(&self, config: &Config, file: &Path) -> Result<(), String> {
        let (mine, other) = self.which();
        let other_url = url_of(config, other);
        let copy = Database::new(DatabaseUrl::Sqlite(file.to_owned()), 1);
        if !copy.read_blocking(maintenance::is_whole).unwrap_or(false) {
            return Err("is damaged".to_owned());
        }
        let Some(pair) = pair_of(copy.url(), mine) else {
            let name = if self.vault { "a vault" } else { "an orders database" };
            return Err(format!("is no copy of {name} that a service has used"));
        };
        copy.read_blocking(|conn| migrate::refuse_newer(conn, mine))
            .map_err(|error| format!("does not fit: {error}"))?;
        let is_there = !matches!(other_url, DatabaseUrl::Sqlite(path) if !path.exists());
        if is_there && pair_of(other_url, other).is_some_and(|theirs| theirs != pair) {
            let name = if self.vault { "orders database" } else { "vault" };
            return Err(format!("belongs to another {name} than this one's"));
        }
        Ok(())
    }
}

fn url_of(config: &Config, which: Which) -> &DatabaseUrl {
    match which {
        Which::Orders => &config.database.url,
        Which::Vault => &config.vault.url,
    }
}

/// The pair that a database of that kind belongs to; `None` where it is of another kind, was never in use, or cannot be read.
fn pair_of(url: &DatabaseUrl, which: Which) -> Option<String> {
    let url = url.clone();
    let pair = match which {
        Which::Orders => Database::new(url, 1).read_blocking(|conn| meta::get(conn, meta::PAIR)),
        Which::Vault => VaultDatabase::new(url, 1).read_blocking(|conn| vault_meta::get(conn, vault_meta::PAIR)),
    };
    pair.ok().flatten()
}

const ELSEWHERE: &str = "this database is on PostgreSQL: use its own tools, as deploy/RUNBOOK.md says";

/// Writes a copy while the service goes on. An older copy in the folder is replaced only by a whole new one; what a
/// service uses is never.
///
/// # Errors
/// In words for whoever typed it.
pub(super) fn backup(config: &Config, options: &Options) -> Result<(), Failure> {
    let url = options.url(config);
    let DatabaseUrl::Sqlite(path) = url else {
        return Err(ELSEWHERE.into());
    };
    if !path.exists() {
        return Err(format!("there is no database at {}", path.display()).into());
    }
    std::fs::create_dir_all(&options.dir).map_err(|error| format!("{}: {error}", options.dir.display()))?;
    let copy = options.copy();
    refuse_live(config, &copy)?;
    let draft = copy.with_extension("db.new");
    remove_if_there(&draft)?;
    let name = draft.to_str().ok_or("the folder's path is not UTF-8")?;
    Database::new(url.clone(), 1).read_blocking(|conn| maintenance::copy_into(conn, name))?;
    File::open(&draft)?.sync_all()?;
    std::fs::rename(&draft, &copy)?;
    File::open(&options.dir)?.sync_all()?;
    out::print(&format!("written: {}", copy.display()))?;
    Ok(())
}

/// Puts a copy in the database's place, under the lock that `serve` holds. What was purged since the copy was made is
/// purged again at the next start.
///
/// # Errors
/// In words for whoever typed it.
pub(super) fn restore(config: &Config, options: &Options) -> Result<(), Failure> {
    let DatabaseUrl::Sqlite(path) = options.url(config) else {
        return Err(ELSEWHERE.into());
    };
    let copy = options.copy();
    if !copy.exists() {
        return Err(format!("there is no copy at {}", copy.display()).into());
    }
    let _locks = lock_for_restore(config)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension("restoring");
    std::fs::copy(&copy, &draft)?;
    if let Err(why) = options.check(config, &draft) {
        for end in ["", "-wal", "-shm"] {
            remove_if_there(&with_end(&draft, end))?;
        }
        return Err(format!("{} {why}: nothing was restored", copy.display()).into());
    }
    File::open(&draft)?.sync_all()?;
    // The log of the database that is replaced must never be played onto the copy.
    for end in ["-wal", "-shm"] {
        remove_if_there(&with_end(path, end))?;
    }
    std::fs::rename(&draft, path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    out::print(&format!(
        "restored: {}. Start the service: it replays what the copy missed",
        path.display()
    ))?;
    Ok(())
}

/// A copy must never land on a database in use: its service would go on writing into a file that is no longer there.
fn refuse_live(config: &Config, copy: &Path) -> Result<(), Failure> {
    let at_copy = DatabaseUrl::Sqlite(copy.to_owned());
    if [&config.database.url, &config.vault.url]
        .into_iter()
        .any(|url| url.same_as(&at_copy))
    {
        let why = format!(
            "{} is the database in use: give another folder for the copy",
            copy.display()
        );
        return Err(why.into());
    }
    // Or one of another service: its lock or its log beside it says so.
    if [".lock", "-wal"].into_iter().any(|end| with_end(copy, end).exists()) {
        let why = format!(
            "a service has used {}: give another folder for the copy",
            copy.display()
        );
        return Err(why.into());
    }
    Ok(())
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
