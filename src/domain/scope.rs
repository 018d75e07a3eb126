//! What an API key may do.

use std::fmt;

/// A right that a key carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Place, read, cancel, confirm the client's own orders.
    Orders,
    /// The print queue.
    Floor,
    /// Query and act on all orders.
    Ops,
    /// Reveal, holds, subject requests, purge.
    Privacy,
    /// Keys, endpoints, audit; implies all others.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Orders, Self::Floor, Self::Ops, Self::Privacy, Self::Admin];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Floor => "floor",
            Self::Ops => "ops",
            Self::Privacy => "privacy",
            Self::Admin => "admin",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// The scopes of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Those scopes, sorted, each once.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }

    /// Reads `orders,ops`; `None` where a word is no scope or there is none.
    pub fn parse(text: &str) -> Option<Self> {
        let scopes: Option<Vec<Scope>> = text.split(',').map(|word| Scope::parse(word.trim())).collect();
        scopes.filter(|s| !s.is_empty()).map(Self::new)
    }

    /// Whether orders of all clients are seen.
    pub fn see_all(&self) -> bool {
        [Scope::Ops, Scope::Floor, Scope::Privacy]
            .iter()
            .any(|scope| self.allow(*scope))
    }

    /// Whether `scope` is carried; `admin` implies all.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope) || self.0.contains(&Scope::Admin)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_implies_every_scope_and_others_only_themselves() {
        let admin = Scopes::parse("admin").unwrap();
        assert!(Scope::ALL.into_iter().all(|scope| admin.allow(scope)));
        let floor = Scopes::parse("floor").unwrap();
        assert!(floor.allow(Scope::Floor) && !floor.allow(Scope::Orders));
    }

    #[test]
    fn scopes_read_back_as_written_and_unknown_ones_do_not() {
        assert_eq!(Scopes::parse(" ops, orders,ops").unwrap().to_string(), "orders,ops");
        assert!(Scopes::parse("root").is_none() && Scopes::parse("").is_none());
    }
}
