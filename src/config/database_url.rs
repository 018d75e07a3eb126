//! Which engine, and where. Chosen by the URL's scheme alone: a PostgreSQL that is down must not become a new SQLite
//! file, so nothing is ever tried out. Holds a password: printing shows where the database is, never how to get in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::privacy::Secret;

/// A database, by the engine that keeps it.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file, made where it does not exist.
    Sqlite(PathBuf),
    /// A server: the whole libpq URL, which may hold a password.
    Postgres(Secret<String>),
}

/// Why a URL is no database; never repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// Another engine, or no URL at all.
    #[error("expected sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE (no other engine is supported)")]
    UnknownScheme,
    /// What is in memory is gone with the process, and the second connection would see another database.
    #[error("a SQLite database in memory is refused: orders would be lost at every stop")]
    InMemory,
    /// `sqlite:` alone, or with URI parameters, which would bypass the settings that the purge relies on.
    #[error("after sqlite: a file's path is expected, without parameters")]
    SqlitePath,
}

/// The file's one name, whether it is there already or not.
fn real_path(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let mut real = PathBuf::new();
    for step in std::path::absolute(path)
        .unwrap_or_else(|_| path.to_owned())
        .components()
    {
        match step {
            std::path::Component::ParentDir => {
                real.pop();
            }
            step => real.push(step),
        }
    }
    real
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(Secret::new(text.to_owned())));
        }
        let path = text.strip_prefix("sqlite:").ok_or(DatabaseUrlError::UnknownScheme)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.contains(":memory:") || path.contains("mode=memory") {
            return Err(DatabaseUrlError::InMemory);
        }
        if path.is_empty() || path.starts_with("file:") || path.contains(['?', '\0']) {
            return Err(DatabaseUrlError::SqlitePath);
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

impl DatabaseUrl {
    /// The SQLite file, if that is what it is.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// The server's host, without port; empty for a local socket. `None` for SQLite and for what cannot be told.
    pub(super) fn host(&self) -> Option<&str> {
        let (authority, _) = self.address()?;
        let host = match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((v6, _)) => v6,
            None => authority.split_once(':').map_or(authority, |(host, _)| host),
        };
        Some(host)
    }

    /// Whether both are surely the same database, however the URLs are written.
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(one), Self::Sqlite(two)) => real_path(one) == real_path(two),
            (Self::Postgres(one), Self::Postgres(two)) => {
                one.expose() == two.expose() || self.address().is_some_and(|address| other.address() == Some(address))
            }
            _ => false,
        }
    }

    /// Host with port, and path with its slash: the parts of a server's URL that are no credentials. `None` where an
    /// `@` in an odd place leaves it open what is a password.
    fn address(&self) -> Option<(&str, &str)> {
        let Self::Postgres(url) = self else { return None };
        let (_, rest) = url.expose().split_once("://")?;
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if tail.contains('@') {
            return None;
        }
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let path = tail.split(['?', '#']).next().unwrap_or_default();
        Some((host, path))
    }
}

/// Where it is: a SQLite URL whole, a PostgreSQL URL without user, password and parameters.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(_) => match self.address() {
                Some((host, path)) => write!(f, "postgres://{host}{path}"),
                None => f.write_str("postgres://…"),
            },
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> DatabaseUrl {
        text.parse().unwrap()
    }

    #[test]
    fn the_scheme_alone_chooses_the_engine() {
        for (text, path) in [
            ("sqlite:data/a.db", "data/a.db"),
            ("sqlite:///var/a.db", "/var/a.db"),
            ("sqlite:/a.db", "/a.db"),
        ] {
            assert_eq!(url(text).sqlite_path(), Some(Path::new(path)), "{text}");
        }
        for text in ["postgres://h/d", "postgresql://u:p@h:5432/d?sslmode=verify-full"] {
            assert!(matches!(url(text), DatabaseUrl::Postgres(whole) if whole.expose() == text));
        }
    }

    #[test]
    fn other_engines_memory_and_parameters_are_refused() {
        for (text, why) in [
            ("mysql://h/d", DatabaseUrlError::UnknownScheme),
            ("data/safelight.db", DatabaseUrlError::UnknownScheme),
            ("", DatabaseUrlError::UnknownScheme),
            ("sqlite::memory:", DatabaseUrlError::InMemory),
            ("sqlite:file:x?mode=memory", DatabaseUrlError::InMemory),
            ("sqlite:", DatabaseUrlError::SqlitePath),
            ("sqlite:file:x", DatabaseUrlError::SqlitePath),
            ("sqlite:a.db?mode=ro", DatabaseUrlError::SqlitePath),
        ] {
            assert_eq!(text.parse::<DatabaseUrl>().err(), Some(why), "{text}");
        }
    }

    #[test]
    fn printing_a_url_shows_where_but_never_how_to_get_in() {
        for (text, shown) in [
            (
                "postgres://shop:hunter2@db.example.cn:5432/orders?password=hunter2",
                "postgres://db.example.cn:5432/orders",
            ),
            ("postgres://shop:hunter2@[::1]/orders", "postgres://[::1]/orders"),
            ("postgres://db/orders", "postgres://db/orders"),
            ("postgres://u:hunter2@x@db/orders", "postgres://db/orders"),
            // A password with a slash or a question mark that should have been escaped.
            ("postgres://shop:hunter2/x@db/orders", "postgres://…"),
            ("postgres://shop:hunter2?x@db/orders", "postgres://…"),
            ("postgres:///orders?password=hunter2@x", "postgres://…"),
        ] {
            assert_eq!(url(text).to_string(), shown);
            assert!(!format!("{:?}", url(text)).contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn the_same_database_is_known_however_it_is_written() {
        assert!(url("sqlite:data/./a.db").same_as(&url("sqlite://data/a.db")));
        assert!(url("sqlite:./data/../data/a.db").same_as(&url("sqlite:data/a.db")));
        assert!(url("postgres://u:p@h/d").same_as(&url("postgresql://v@h/d?sslmode=require")));
        assert!(!url("postgres://h/orders").same_as(&url("postgres://h/vault")));
        assert!(!url("sqlite:a.db").same_as(&url("sqlite:b.db")));
        assert_eq!(url("postgres://u:p@[::1]:5432/d").host(), Some("::1"));
        assert_eq!(url("postgres://u:p@db:5432/d").host(), Some("db"));
    }
}
