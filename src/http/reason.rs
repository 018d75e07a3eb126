//! Why somebody does something to an order: free text, hence personal, and asked for wherever it must be answered for.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::invalid::{FieldErrors, bounded_text};
use crate::http::errors::app_error::invalid;
use crate::http::errors::problem::Problem;
use crate::privacy::Pii;

/// The most characters of a reason.
const MAX: usize = 500;

/// A body that gives nothing but a reason.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// Why; kept sealed with the order's person and destroyed with it.
    #[schema(value_type = String, min_length = 1, max_length = 500)]
    reason: Pii<String>,
}

impl ReasonBody {
    /// The reason, checked.
    ///
    /// # Errors
    /// 422 at `/reason`.
    pub fn read(self) -> Result<Pii<String>, Problem> {
        let mut errors = FieldErrors::new();
        match parse(&self.reason, &mut errors) {
            Some(reason) => Ok(reason),
            None => Err(invalid(errors.into_vec())),
        }
    }
}

/// Checks a reason among other fields: 1 to 500 characters, no control characters.
pub(super) fn parse(reason: &Pii<String>, errors: &mut FieldErrors) -> Option<Pii<String>> {
    errors
        .take("/reason", bounded_text(reason.expose(), 1, MAX))
        .map(Pii::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reason: &str) -> Result<Pii<String>, Problem> {
        ReasonBody {
            reason: Pii::new(reason.to_owned()),
        }
        .read()
    }

    #[test]
    fn a_reason_has_one_to_five_hundred_characters() {
        assert_eq!(read(" 客户要求 ").unwrap().expose(), "客户要求");
        assert!(read(&"字".repeat(500)).is_ok());
        for bad in ["", "   ", "a\u{0}b", &"字".repeat(501)] {
            let refused = read(bad).unwrap_err();
            assert_eq!(refused.errors()[0].pointer, "/reason");
        }
    }
}
