//! How typed values are made of what was written. A section is declared once, as a struct; its keys are its fields and
//! the kind of each value follows from the field's type.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value;
use ipnet::IpNet;

use super::keys::{Key, Kind};
use super::layers::Layers;
use super::{DatabaseUrl, Problem, Rate, TrustedProxies, duration, proxies};
use crate::privacy::Secret;

/// A value of the configuration, or a section of such values.
pub trait Setting: Sized {
    /// Adds the keys that are read under this name.
    fn keys(name: &str, into: &mut Vec<Key>);

    /// Reads it; `None` once what is wrong has been reported.
    fn read(name: &str, from: &mut Reader<'_>) -> Option<Self>;
}

/// What sections are read from: the values in force. Keeps every problem that it meets.
#[derive(Debug)]
pub struct Reader<'a> {
    layers: &'a Layers,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(layers: &'a Layers, problems: &'a mut Vec<Problem>) -> Self {
        Self { layers, problems }
    }

    /// `Some(None)` where nothing is written; `None` once what is wrong has been reported.
    fn value<T: Single>(&mut self, key: &str) -> Option<Option<T>> {
        let Some((value, origin)) = self.layers.in_force(key) else {
            return Some(None);
        };
        match T::parse(value) {
            Ok(parsed) => Some(Some(parsed)),
            Err(message) => {
                self.problems.push(Problem::new(key, message).at(origin));
                None
            }
        }
    }
}

/// What one key can hold.
pub trait Single: Sized {
    /// How it is written.
    const KIND: Kind;

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, without repeating the value.
    fn parse(value: &Value) -> Result<Self, String>;
}

/// A key that must have a value: its default is in the example file.
impl<T: Single> Setting for T {
    fn keys(name: &str, into: &mut Vec<Key>) {
        into.push(Key {
            name: name.to_owned(),
            kind: T::KIND,
        });
    }

    fn read(name: &str, from: &mut Reader<'_>) -> Option<Self> {
        let value = from.value(name)?;
        if value.is_none() {
            from.problems.push(Problem::new(name, "is needed: it has no default"));
        }
        value
    }
}

/// A key that may be absent.
impl<T: Single> Setting for Option<T> {
    fn keys(name: &str, into: &mut Vec<Key>) {
        <T as Setting>::keys(name, into);
    }

    fn read(name: &str, from: &mut Reader<'_>) -> Option<Self> {
        from.value(name)
    }
}

/// Declares how each type is written and read; `None` is a value that does not fit.
macro_rules! single {
    ($($type:ty: $kind:ident by $parse:expr;)*) => {$(
        impl $crate::config::setting::Single for $type {
            const KIND: $crate::config::Kind = $crate::config::Kind::$kind;

            fn parse(value: &figment::value::Value) -> Result<Self, String> {
                let parse: fn(&figment::value::Value) -> Option<Self> = $parse;
                parse(value).ok_or_else(|| format!("expected {}", Self::KIND.expected()))
            }
        }
    )*};
}

single! {
    String: Text by text;
    Secret<String>: Secret by |value| text(value).map(Secret::new);
    Vec<Secret<String>>: Secrets by |value| Some(texts(value)?.into_iter().map(Secret::new).collect());
    PathBuf: Path by |value| text(value).map(PathBuf::from);
    bool: Flag by |value| value.deserialize().ok();
    u32: Number by |value| value.deserialize().ok();
    Duration: Duration by |value| duration::parse(value.as_str()?);
    Rate: Rate by |value| value.as_str()?.parse().ok();
    SocketAddr: Listen by |value| value.as_str()?.parse().ok();
    TrustedProxies: Networks by |value| TrustedProxies::parse(&texts(value)?);
    Vec<IpNet>: Networks by |value| proxies::networks(&texts(value)?);
    Vec<String>: Names by texts;
}

/// Says in its own words what is wrong, without repeating the value.
impl Single for DatabaseUrl {
    const KIND: Kind = Kind::Database;

    fn parse(value: &Value) -> Result<Self, String> {
        let text = value
            .as_str()
            .ok_or_else(|| format!("expected {}", Self::KIND.expected()))?;
        text.parse().map_err(|error: super::DatabaseUrlError| error.to_string())
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(text).collect()
}

/// Declares a section: its fields are its keys. Fields behind `beside` are no keys and begin with their default.
macro_rules! section {
    (
        $(#[$attribute:meta])*
        $visible:vis struct $name:ident {
            $($(#[$field_attribute:meta])* $field_visible:vis $field:ident: $type:ty,)*
        }
        $(beside { $($own:ident: $own_type:ty,)* })?
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone)]
        $visible struct $name {
            $($(#[$field_attribute])* $field_visible $field: $type,)*
            $($($own: $own_type,)*)?
        }

        impl $crate::config::Setting for $name {
            fn keys(name: &str, into: &mut Vec<$crate::config::Key>) {
                $(<$type as $crate::config::Setting>::keys(&$crate::config::dotted(name, stringify!($field)), into);)*
            }

            fn read(name: &str, from: &mut $crate::config::Reader<'_>) -> Option<Self> {
                // All are read before the first that is wrong ends it: all that is wrong is reported.
                $(let $field = <$type as $crate::config::Setting>::read(
                    &$crate::config::dotted(name, stringify!($field)),
                    from,
                );)*
                Some(Self {
                    $($field: $field?,)*
                    $($($own: Default::default(),)*)?
                })
            }
        }
    };
}
pub(crate) use section;
pub(super) use single;
