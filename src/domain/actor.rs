//! Who did something, as timelines and the audit log name it.

use std::fmt;

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The service itself: recurring work, or what follows from something else.
    System,
    /// Whoever typed a command on the machine.
    CommandLine,
    /// `safelight demo`.
    Demo,
    /// The service at its first start.
    FirstStart,
    /// An API key, by its id.
    Key(String),
    /// A courier, by its name.
    Courier(String),
}

impl Actor {
    /// A courier.
    pub fn courier(name: &str) -> Self {
        Self::Courier(name.to_owned())
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("key", id)) => Some(Self::Key(id.to_owned())),
            Some(("courier", name)) => Some(Self::courier(name)),
            Some(_) => None,
            None => [Self::System, Self::CommandLine, Self::Demo, Self::FirstStart]
                .into_iter()
                .find(|actor| actor.to_string() == text),
        }
    }
}

/// As it is stored: `system`, `cli`, `first-start`, `key:<id>`, `courier:<name>`.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::CommandLine => f.write_str("cli"),
            Self::Demo => f.write_str("demo"),
            Self::FirstStart => f.write_str("first-start"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Courier(name) => write!(f, "courier:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_of_an_actor_is_read_again() {
        for (text, actor) in [
            ("system", Actor::System),
            ("cli", Actor::CommandLine),
            ("demo", Actor::Demo),
            ("first-start", Actor::FirstStart),
            ("key:00112233", Actor::Key("00112233".to_owned())),
            ("courier:sf", Actor::courier("sf")),
        ] {
            assert_eq!((actor.to_string().as_str(), Actor::parse(text)), (text, Some(actor)));
        }
        assert_eq!(Actor::parse("person:li"), None);
        assert_eq!(Actor::parse(""), None);
    }
}
