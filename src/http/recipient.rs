//! A recipient as checkout sends it: the shape, and its way into the domain, which checks the values.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::contact::{Recipient, RecipientParts};
use crate::domain::invalid::FieldErrors;
use crate::http::errors::app_error;
use crate::http::errors::problem::Problem;
use crate::privacy::Pii;

/// Recipient and address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Recipient)]
pub struct RecipientBody {
    /// 1 to 50 characters.
    #[schema(value_type = String, example = "张三", max_length = 50)]
    name: Pii<String>,
    /// As people write it; without `+` a number of `country`.
    #[schema(value_type = String, example = "13800138000")]
    phone: Pii<String>,
    /// Province to street have at most 100 characters together.
    #[schema(value_type = String, example = "广东省")]
    province: Pii<String>,
    #[schema(value_type = String, example = "深圳市")]
    city: Pii<String>,
    #[schema(value_type = Option<String>, example = "南山区")]
    district: Option<Pii<String>>,
    #[schema(value_type = String, example = "科技中二路软件园一期7-305")]
    street: Pii<String>,
    #[schema(value_type = Option<String>, example = "518057")]
    postal_code: Option<Pii<String>>,
    /// ISO 3166-1 alpha-2; `CN` when it is left out.
    #[schema(value_type = Option<String>, example = "CN")]
    country: Option<Pii<String>>,
}

fn text(value: &Option<Pii<String>>) -> Option<&str> {
    value.as_ref().map(|value| value.expose().as_str())
}

impl RecipientBody {
    /// The values, for the domain to check.
    pub(super) fn parts(&self) -> RecipientParts<'_> {
        RecipientParts {
            name: self.name.expose(),
            phone: self.phone.expose(),
            province: self.province.expose(),
            city: self.city.expose(),
            district: text(&self.district),
            street: self.street.expose(),
            postal_code: text(&self.postal_code),
            country: text(&self.country),
        }
    }

    /// The recipient, where the body is nothing else.
    ///
    /// # Errors
    /// 422 with everything that is wrong.
    pub(super) fn read(&self) -> Result<Recipient, Problem> {
        let mut errors = FieldErrors::new();
        Recipient::parse(&self.parts(), "", &mut errors).ok_or_else(|| app_error::invalid(errors.into_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::json;

    #[test]
    fn every_wrong_value_of_a_recipient_is_named_at_once() {
        let body = r#"{"name":"","phone":"1","province":"广东省","city":"深圳市","street":"路1号","country":"CN"}"#;
        let refused = json::parse::<RecipientBody>(body.as_bytes())
            .unwrap()
            .read()
            .unwrap_err();
        let pointers: Vec<&str> = refused.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/name", "/phone"]);
    }

    #[test]
    fn a_recipient_is_read_whole() {
        let body = r#"{"name":"张三","phone":"138 0013 8000","province":"广东省","city":"深圳市","street":"路1号"}"#;
        let read = json::parse::<RecipientBody>(body.as_bytes()).unwrap().read().unwrap();
        assert_eq!((read.name.expose(), read.phone.e164()), ("张三", "+8613800138000"));
    }
}
