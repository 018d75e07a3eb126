//! The first start makes an admin key, so that there is a way in.

use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::app::App;
use crate::app::access::api_keys;
use crate::cli::{Failure, out};
use crate::domain::actor::Actor;
use crate::domain::scope::{Scope, Scopes};
use crate::store::{StoreError, keys as key_rows};

/// Makes an admin key where there is no key at all. It is shown once: on a terminal, else in a file that only its owner
/// can read, of which the log names the path.
///
/// # Errors
/// Store; the file.
pub(super) fn make(app: &App, folder: &Path) -> Result<(), Failure> {
    let none = app
        .orders
        .read_blocking(|conn| Ok::<_, StoreError>(key_rows::list(conn)?.is_empty()))?;
    if !none {
        return Ok(());
    }
    let now = app.clock.business_now();
    // The file first: a key whose secret nobody saw would be no way in.
    let made = app.orders.write_blocking(|conn| {
        if !key_rows::list(conn)?.is_empty() {
            return Ok::<_, StoreError>(None);
        }
        api_keys::create_in_tx(
            conn,
            "first-admin",
            "admin",
            Scopes::new([Scope::Admin]),
            &Actor::FirstStart,
            now,
        )
        .map(Some)
    })?;
    let Some(made) = made else { return Ok(()) };
    if std::io::stderr().is_terminal() {
        out::error(&format!(
            "\n  First start: admin API key created. It is shown this once: keep it safe.\n\n    {}\n",
            made.bearer.expose()
        ));
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    let path = folder.join("first-admin-key");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)?;
    writeln!(file, "{}", made.bearer.expose())?;
    file.sync_all()?;
    tracing::info!(path = %path.display(), "First start: admin API key created and written to this file; it is shown nowhere else");
    Ok(())
}
