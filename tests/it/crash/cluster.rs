//! A PostgreSQL of the test's own, that can be crashed without disturbing anybody else's test.
//!
//! It is started by the script that starts the suite's: it knows where the programs are and whom to run them as, and it
//! cleans up however this process ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use diesel::connection::SimpleConnection as _;
use safelight::config::DatabaseUrl;
use safelight::privacy::Secret;
use safelight::store::AnyConn;

use crate::harness::databases::Databases;

/// Starts a server, then crashes and starts it again, on the same port, for every line that it is sent. Servers must not
/// hold on to the pipes: `9` is the guard's.
const SCRIPT: &str = r#"
set -eu
. tests/lib/postgres.sh
trap pg_stop EXIT
pg_start
echo "$pg_url"
while read -r _; do
    pg_as "$pg_bin/pg_ctl" stop -D "$pg_data/data" -m immediate -w -s </dev/null >/dev/null 2>&1
    pg_as "$pg_bin/pg_ctl" start -D "$pg_data/data" -l "$pg_data/log" -w -t 60 -s -o "-p $pg_port" \
        </dev/null >/dev/null 2>&1 9>&-
    echo crashed
done
"#;

/// A running server; gone when it is dropped.
pub(super) struct Cluster {
    script: Child,
    pipes: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    url: String,
}

impl Cluster {
    pub(super) fn start() -> Self {
        let mut script = Command::new("bash")
            .args(["-c", SCRIPT])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = script.stdin.take().unwrap();
        let mut from = BufReader::new(script.stdout.take().unwrap());
        let mut url = String::new();
        from.read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        assert!(url.starts_with("postgres://"), "PostgreSQL did not start");
        Self {
            script,
            pipes: Mutex::new(Some((to, from))),
            url,
        }
    }

    /// The installation's two databases, as a new one finds them.
    pub(super) fn databases(&self) -> Databases {
        let mut conn = AnyConn::open(&DatabaseUrl::Postgres(Secret::new(self.url.clone()))).unwrap();
        let (server, _) = self.url.rsplit_once('/').unwrap();
        let [orders, vault] = ["orders", "vault"].map(|name| {
            conn.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
                .unwrap();
            format!("{server}/{name}")
        });
        Databases::elsewhere(orders, vault)
    }

    /// As if its power had failed; returns when it is up again. Blocking.
    pub(super) fn crash(&self) {
        let mut pipes = self.pipes.lock().unwrap();
        let (to, from) = pipes.as_mut().unwrap();
        to.write_all(b"crash\n").unwrap();
        let mut said = String::new();
        from.read_line(&mut said).unwrap();
        assert_eq!(said.trim(), "crashed", "PostgreSQL did not come up again");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The script ends when nobody can ask it for more.
        if let Ok(mut pipes) = self.pipes.lock() {
            drop(pipes.take());
        }
        let _ = self.script.wait();
    }
}
