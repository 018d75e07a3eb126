//! Fresh databases for a test: files in a folder of its own, or two databases of the throwaway PostgreSQL whose
//! maintenance URL `SAFELIGHT_TEST_POSTGRES` names. They are copies of a pair that is migrated once a run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use diesel::connection::SimpleConnection;
use safelight::config::DatabaseUrl;
use safelight::privacy::Secret;
use safelight::store::AnyConn;
use safelight::store::migrate::{self, Which};
use tempfile::TempDir;

/// Which engine a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// The maintenance database's URL. A run without PostgreSQL is half a run, and must not look like a whole one.
#[expect(clippy::disallowed_methods, reason = "the test suite's one variable")]
pub(crate) fn maintenance_url() -> String {
    std::env::var("SAFELIGHT_TEST_POSTGRES")
        .expect("SAFELIGHT_TEST_POSTGRES is not set: run tests/run, which starts a throwaway PostgreSQL and sets it")
}

fn of_server(name: &str) -> String {
    let url = maintenance_url();
    let (server, _) = url.rsplit_once('/').expect("a URL with a database");
    format!("{server}/{name}")
}

fn on_server(sql: &str) {
    let url = DatabaseUrl::Postgres(Secret::new(maintenance_url()));
    AnyConn::open(&url).unwrap().batch_execute(sql).unwrap();
}

/// Two databases and the folder of the test; gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Databases {
    pub(crate) folder: TempDir,
    pub(crate) engine: Engine,
    pub(crate) orders: String,
    pub(crate) vault: String,
    /// The mirror of the vault's journal, where there is one.
    pub(crate) mirror: Option<PathBuf>,
    /// Databases of the server that go when this does.
    names: Vec<String>,
}

impl Databases {
    /// Migrated and empty.
    pub(crate) fn migrated(engine: Engine) -> Self {
        Self::new(engine, true)
    }

    /// As a new installation finds them.
    pub(crate) fn bare(engine: Engine) -> Self {
        Self::new(engine, false)
    }

    /// Copies of the databases that another binary left in `fixture`, the orders by that name, with their master key and
    /// their courier's memory.
    pub(crate) fn left_in(fixture: &Path, engine: Engine, orders: &str) -> Self {
        let databases = Self::bare(engine);
        let copy = |name: &str, to: PathBuf| std::fs::copy(fixture.join(name), to).unwrap();
        for (name, url) in [(orders, databases.orders_url()), ("vault", databases.vault_url())] {
            match &url {
                DatabaseUrl::Sqlite(path) => {
                    copy(&format!("{name}.db"), path.clone());
                }
                DatabaseUrl::Postgres(_) => {
                    let sql = std::fs::read_to_string(fixture.join(format!("{name}.sql"))).unwrap();
                    AnyConn::open(&url).unwrap().batch_execute(&sql).unwrap();
                }
            }
        }
        copy("courier.jsonl", databases.folder.path().join("courier.jsonl"));
        let master = databases.folder.path().join("vault/master.key");
        copy("master.key", master.clone());
        // A version control keeps no modes, and a key that others may read is refused.
        std::fs::set_permissions(master, std::fs::Permissions::from_mode(0o600)).unwrap();
        databases
    }

    /// Two databases of a PostgreSQL that the test runs itself, and that takes them with it.
    pub(crate) fn elsewhere(orders: String, vault: String) -> Self {
        Self {
            folder: folder(),
            engine: Engine::Postgres,
            orders,
            vault,
            mirror: None,
            names: Vec::new(),
        }
    }

    fn new(engine: Engine, migrated: bool) -> Self {
        let folder = folder();
        match engine {
            Engine::Sqlite => {
                let paths = [
                    folder.path().join("data/safelight.db"),
                    folder.path().join("vault/vault.db"),
                ];
                if migrated {
                    let template = sqlite_template();
                    std::fs::copy(template.join("orders.db"), &paths[0]).unwrap();
                    std::fs::copy(template.join("vault.db"), &paths[1]).unwrap();
                }
                let [orders, vault] = paths.map(|path| format!("sqlite:{}", path.display()));
                Self {
                    folder,
                    engine,
                    orders,
                    vault,
                    mirror: None,
                    names: Vec::new(),
                }
            }
            Engine::Postgres => {
                static NEXT: AtomicU32 = AtomicU32::new(0);
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let names = ["orders", "vault"].map(|kind| format!("it_{}_{number}_{kind}", std::process::id()));
                let templates = migrated.then(postgres_templates);
                for (index, name) in names.iter().enumerate() {
                    let template = templates.map_or("template0", |names| names[index].as_str());
                    on_server(&format!("CREATE DATABASE {name} TEMPLATE {template}"));
                }
                let [orders, vault] = [of_server(&names[0]), of_server(&names[1])];
                Self {
                    folder,
                    engine,
                    orders,
                    vault,
                    mirror: None,
                    names: names.to_vec(),
                }
            }
        }
    }

    /// The orders as a thief or a backup has them now, with the vault as it is and will be.
    pub(crate) fn with_copied_orders(&self) -> Self {
        let mut copy = self.beside();
        copy.orders = self.copied(&self.orders, &mut copy);
        copy
    }

    /// The vault as a backup has it now, with the orders as they are and will be.
    pub(crate) fn with_copied_vault(&self) -> Self {
        let mut copy = self.beside();
        copy.vault = self.copied(&self.vault, &mut copy);
        copy
    }

    /// Both as their backups have them now, with the mirror as it is and will be.
    pub(crate) fn with_copied_both(&self) -> Self {
        let mut copy = self.beside();
        copy.orders = self.copied(&self.orders, &mut copy);
        copy.vault = self.copied(&self.vault, &mut copy);
        copy.mirror.clone_from(&self.mirror);
        copy
    }

    /// The same databases, in a folder of its own that has the master key.
    fn beside(&self) -> Self {
        let folder = TempDir::with_prefix("safelight-it-copy-").unwrap();
        for name in ["data", "vault"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let master = self.folder.path().join("vault/master.key");
        std::fs::copy(master, folder.path().join("vault/master.key")).unwrap();
        Self {
            folder,
            engine: self.engine,
            orders: self.orders.clone(),
            vault: self.vault.clone(),
            mirror: None,
            names: Vec::new(),
        }
    }

    /// A copy of one database, made under the running service; its URL.
    fn copied(&self, url: &str, copy: &mut Self) -> String {
        match self.engine {
            Engine::Sqlite => {
                let from = url.trim_start_matches("sqlite:");
                let to = copy
                    .folder
                    .path()
                    .join("data")
                    .join(Path::new(from).file_name().unwrap());
                // Byte by byte, as a thief would: the file and what stands in its log.
                for end in ["", "-wal"] {
                    let from = format!("{from}{end}");
                    if Path::new(&from).exists() {
                        std::fs::copy(from, format!("{}{end}", to.display())).unwrap();
                    }
                }
                format!("sqlite:{}", to.display())
            }
            Engine::Postgres => {
                static NEXT: AtomicU32 = AtomicU32::new(0);
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let name = format!("it_{}_copy_{number}", std::process::id());
                let from = url.rsplit('/').next().unwrap();
                // A template must have no connections; those of the pools are opened anew by whoever needs them next.
                on_server(&format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'"
                ));
                on_server(&format!("CREATE DATABASE {name} TEMPLATE {from}"));
                copy.names.push(name.clone());
                // Pools ask whether a connection is alive only when it was idle for a second.
                std::thread::sleep(std::time::Duration::from_millis(1100));
                of_server(&name)
            }
        }
    }

    /// The orders database's URL.
    pub(crate) fn orders_url(&self) -> DatabaseUrl {
        self.orders.parse().unwrap()
    }

    /// The vault's.
    pub(crate) fn vault_url(&self) -> DatabaseUrl {
        self.vault.parse().unwrap()
    }

    /// A connection of the test's own to the orders.
    pub(crate) fn open_orders(&self) -> AnyConn {
        AnyConn::open(&self.orders_url()).unwrap()
    }

    /// A connection of the test's own to the vault.
    pub(crate) fn open_vault(&self) -> AnyConn {
        AnyConn::open(&self.vault_url()).unwrap()
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        for name in &self.names {
            // A failed test may still hold connections; the whole server is thrown away soon in any case.
            let url = DatabaseUrl::Postgres(Secret::new(maintenance_url()));
            if let Ok(mut conn) = AnyConn::open(&url) {
                let _ = conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            }
        }
    }
}

/// What the working folder of an installation holds.
fn folder() -> TempDir {
    let folder = TempDir::with_prefix("safelight-it-").unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::create_dir(folder.path().join("vault")).unwrap();
    folder
}

fn migrate(url: &DatabaseUrl, which: Which) {
    let mut conn = AnyConn::open(url).unwrap();
    migrate::run(&mut conn, which).unwrap();
}

/// A folder with both files; left to the temporary folder's own cleaning at the end of the process.
fn sqlite_template() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = TempDir::with_prefix("safelight-it-template-").unwrap().keep();
        for (name, which) in [("orders.db", Which::Orders), ("vault.db", Which::Vault)] {
            // Closing the last connection empties the write-ahead log into the file.
            migrate(&DatabaseUrl::Sqlite(folder.join(name)), which);
        }
        folder
    })
}

fn postgres_templates() -> &'static [String; 2] {
    static NAMES: OnceLock<[String; 2]> = OnceLock::new();
    static MAKING: Mutex<()> = Mutex::new(());
    let _one = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    NAMES.get_or_init(|| {
        let names = ["orders", "vault"].map(|kind| format!("it_{}_template_{kind}", std::process::id()));
        for (name, which) in names.iter().zip([Which::Orders, Which::Vault]) {
            on_server(&format!("CREATE DATABASE {name} TEMPLATE template0"));
            migrate(&DatabaseUrl::Postgres(Secret::new(of_server(name))), which);
        }
        names
    })
}
