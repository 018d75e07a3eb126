//! What makes personal data and secrets hard to leak by accident. A leaf: knows nothing of orders or stores.
//!
//! A value of a person is a [`Pii`], a credential a [`Secret`]. Neither can be printed, compared with a
//! literal in a log line or serialised; both are read with `.expose()`, which is easy to grep for.

pub mod classes;
pub mod fingerprint;
pub mod mask;

use std::fmt;

use zeroize::Zeroize;

/// A value that identifies a person. `Debug` prints a placeholder; there is no `Display`, `Deref` or `Serialize`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    /// Marks a value as personal.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Reads it. Every use is a place where the person could leak: keep them few.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Reads it by value.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pii(…)")
    }
}

/// Personal values may come in from outside, never go out by themselves.
impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for Pii<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

/// A credential: wiped when dropped, never printed, compared in constant time.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Marks a value as a credential.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Reads it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Whether `candidate` is this secret, in time that does not depend on where they differ.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        use subtle::ConstantTimeEq;
        self.0.as_ref().ct_eq(candidate).into()
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de, T: Zeroize + serde::Deserialize<'de>> serde::Deserialize<'de> for Secret<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_persons_nor_secrets() {
        let shown = format!("{:?} {:?}", Pii::new("张三"), Secret::new(String::from("hunter2")));
        assert!(!shown.contains('张') && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_secret_matches_itself_and_nothing_else() {
        let secret = Secret::new(String::from("abc"));
        assert!(secret.matches(b"abc") && !secret.matches(b"abd") && !secret.matches(b"ab"));
    }
}
