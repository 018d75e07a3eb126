//! A PostgreSQL of the test's own, that can be crashed, copied and stolen without disturbing anybody else's test.
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

/// Starts a server, then does what every line says, and answers with one. Servers must not hold on to the pipes: `9` is
/// the guard's, which also stops a stolen copy's server.
///
/// - `crash`: as if its power had failed; up again on the same port.
/// - `dump FROM INTO`: `pg_dump` of a database, put into another one of the same server.
/// - `steal`: the folder with all of its files, its power cut, in the service of another server; answers with its URL.
const SCRIPT: &str = r#"
set -eu
. tests/lib/postgres.sh
trap pg_stop EXIT
pg_start
echo "$pg_url"
start() {
    pg_as "$pg_bin/pg_ctl" start -D "$pg_data/$1" -l "$pg_data/$1.log" -w -t 60 -s -o "-p $2" \
        </dev/null >/dev/null 2>&1 9>&-
}
power_cut() { pg_as "$pg_bin/pg_ctl" stop -D "$pg_data/data" -m immediate -w -s </dev/null >/dev/null 2>&1; }
while read -r what from into; do
    case $what in
    crash)
        power_cut
        start data "$pg_port"
        echo done
        ;;
    dump)
        for program in pg_dump pg_restore; do
            [ -x "$pg_bin/$program" ] || { echo "$program is not in $pg_bin: install PostgreSQL's client programs"; continue 2; }
        done
        "$pg_bin/pg_dump" --format=custom --file="$pg_work/tmp/$from.dump" "${pg_url%/*}/$from" </dev/null >&2
        "$pg_bin/pg_restore" --dbname="${pg_url%/*}/$into" "$pg_work/tmp/$from.dump" </dev/null >&2
        echo done
        ;;
    steal)
        power_cut
        pg_as cp -R "$pg_data/data" "$pg_data/stolen"
        start data "$pg_port"
        pg_as rm -f "$pg_data/stolen/postmaster.pid"
        port=
        for try in 1 2 3 4 5 6 7 8 9 10; do
            port=$((15000 + RANDOM % 17000))
            ! start stolen "$port" || break
            [ "$try" != 10 ] || { echo "the stolen folder's server does not start"; continue 2; }
        done
        url=${pg_url%/*}
        echo "${url%:*}:$port/postgres"
        ;;
    esac
done
"#;

/// A running server; gone when it is dropped.
pub(crate) struct Cluster {
    script: Child,
    pipes: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    url: String,
}

impl Cluster {
    pub(crate) fn start() -> Self {
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
    pub(crate) fn databases(&self) -> Databases {
        Databases::elsewhere(self.create("orders"), self.create("vault"))
    }

    fn does(&self, what: &str) -> String {
        let mut pipes = self.pipes.lock().unwrap();
        let (to, from) = pipes.as_mut().unwrap();
        writeln!(to, "{what}").unwrap();
        let mut said = String::new();
        from.read_line(&mut said).unwrap();
        said.trim().to_owned()
    }

    /// As if its power had failed; returns when it is up again. Blocking.
    pub(crate) fn crash(&self) {
        assert_eq!(self.does("crash"), "done", "PostgreSQL did not come up again");
    }

    /// A copy of that database, by `pg_dump`; its URL. Blocking.
    pub(crate) fn dumped(&self, database: &str) -> String {
        let copy = format!("{database}_dumped");
        self.create(&copy);
        assert_eq!(self.does(&format!("dump {database} {copy}")), "done");
        self.url_of(&copy)
    }

    /// A copy of that database, out of the server's stolen folder; its URL. Blocking, once.
    pub(crate) fn stolen(&self, database: &str) -> String {
        let url = self.does("steal");
        assert!(url.starts_with("postgres://"), "{url}");
        let (server, _) = url.rsplit_once('/').unwrap();
        format!("{server}/{database}")
    }

    fn url_of(&self, database: &str) -> String {
        let (server, _) = self.url.rsplit_once('/').unwrap();
        format!("{server}/{database}")
    }

    /// A new database of this server; its URL.
    pub(crate) fn create(&self, database: &str) -> String {
        let mut conn = AnyConn::open(&DatabaseUrl::Postgres(Secret::new(self.url.clone()))).unwrap();
        conn.batch_execute(&format!("CREATE DATABASE {database} TEMPLATE template0"))
            .unwrap();
        self.url_of(database)
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
