//! The name of a person who gets a parcel, as it is printed on the label.

use crate::domain::contact::stored_text;
use crate::domain::invalid::{Invalid, bounded_text};
use crate::privacy::{Pii, mask};

/// Characters a name has at most; what every supported courier prints.
const MAX: usize = 50;

/// A recipient's name: 1 to 50 characters, no control characters, no white space around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(Pii<String>);

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// `required`, `too_long`, `control_character`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        bounded_text(text, 1, MAX).map(|name| Self(Pii::new(name)))
    }

    /// Takes a name that was parsed before it was sealed.
    ///
    /// # Errors
    /// `corrupt` when it cannot have been.
    pub fn restore(text: String) -> Result<Self, Invalid> {
        stored_text(text).map(Self)
    }

    /// The whole name.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The first character and stars: `张*`.
    pub fn masked(&self) -> String {
        mask::name(self.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_counted_in_characters_and_trimmed() {
        assert_eq!(Name::parse(" 张三　").unwrap().expose(), "张三");
        assert_eq!(Name::parse(&"娜".repeat(50)).unwrap().masked().chars().count(), 50);
        assert_eq!(Name::parse(&"娜".repeat(51)).unwrap_err().code, "too_long");
        assert_eq!(Name::parse(" \n ").unwrap_err().code, "required");
        assert_eq!(Name::parse("张\0三").unwrap_err().code, "control_character");
    }

    #[test]
    fn a_stored_name_comes_back_and_a_broken_one_does_not() {
        let name = Name::parse("张三").unwrap();
        assert_eq!(Name::restore(name.expose().to_owned()), Ok(name));
        assert_eq!(Name::restore(String::new()).unwrap_err().code, "corrupt");
        assert_eq!(Name::restore("张\n三".into()).unwrap_err().code, "corrupt");
    }

    #[test]
    fn debug_shows_nothing_of_the_name() {
        assert!(!format!("{:?}", Name::parse("张三").unwrap()).contains(['张', '三']));
    }
}
