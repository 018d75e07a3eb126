//! The one place where a verb's refusal becomes an answer. Must not tell a caller what a 5xx was caused by, but which part
//! of the service it should wait for.

use std::time::Duration;

use actix_web::http::StatusCode;

use crate::app::AppError;
use crate::domain::invalid::FieldError;
use crate::http::errors::problem::Problem;
use crate::store::StoreError;
use crate::vault::VaultError;

/// Field codes that clients act upon and that are therefore the problem's own where nothing else is wrong.
const NAMED: [&str; 5] = [
    "consent_required",
    "cross_border_consent_required",
    "guardian_consent_required",
    "unknown_photo_size",
    "unknown_courier",
];

/// What is full is empty again at once: a batch takes milliseconds.
const SOON: Duration = Duration::from_secs(1);

/// What is down is not hammered while it comes up.
const LATER: Duration = Duration::from_secs(5);

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        match error {
            AppError::NotFound => Self::not_found(),
            AppError::Conflict(conflict) => Self::conflict(conflict.code(), conflict.detail()),
            AppError::ReferenceTaken { order_id } => Self::conflict(
                "reference_taken",
                "The reference is already used by another order; see `order_id`.",
            )
            .with("order_id", order_id.to_string()),
            AppError::IdempotencyReused => Self::unprocessable(
                "idempotency_key_reused",
                "The Idempotency-Key was already used with a different request body.",
            ),
            AppError::Invalid(errors) => invalid(errors),
            AppError::Gone(code) => Self::gone(code),
            AppError::NoLabel => Self::new(
                StatusCode::NOT_FOUND,
                "no_label",
                "The courier provides no label for this parcel.",
            ),
            AppError::Overloaded { part } => Self::unavailable(part, SOON).with("part", part),
            AppError::Courier { ref courier, .. } => {
                let part = courier.clone();
                Self::unavailable("a courier", LATER)
                    .with("part", part)
                    .caused_by(error)
            }
            AppError::Store(StoreError::Unavailable(_) | StoreError::CommitUnknown(_))
            | AppError::Vault(VaultError::Store(StoreError::Unavailable(_) | StoreError::CommitUnknown(_))) => {
                Self::unavailable("database", LATER)
                    .with("part", "database")
                    .caused_by(error)
            }
            AppError::Vault(VaultError::Unavailable(_)) => {
                Self::unavailable("vault", LATER).with("part", "vault").caused_by(error)
            }
            AppError::NeedsEpoch(_) | AppError::Store(_) | AppError::Vault(_) | AppError::Internal(_) => {
                Self::internal(error)
            }
        }
    }
}

/// 422: where every field is wrong for one reason that has a name, that is the problem's code; else `invalid_body`.
pub(in crate::http) fn invalid(errors: Vec<FieldError>) -> Problem {
    let first = errors.first().map(|error| error.invalid.code);
    let only = first.filter(|code| NAMED.contains(code) && errors.iter().all(|error| error.invalid.code == *code));
    Problem::invalid_body(errors).named(only)
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError as _;
    use actix_web::body::to_bytes;
    use serde_json::Value;

    use super::*;
    use crate::app::conflict::Conflict;
    use crate::domain::ids::OrderId;
    use crate::domain::invalid::Invalid;

    async fn answered(error: AppError) -> (u16, Option<String>, Value) {
        let response = Problem::from(error).error_response();
        let retry = response
            .headers()
            .get("retry-after")
            .map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body()).await.unwrap();
        (status, retry, serde_json::from_slice(&body).unwrap())
    }

    fn field(code: &'static str) -> FieldError {
        FieldError {
            pointer: "/x".to_owned(),
            invalid: Invalid::new(code, "must be another"),
        }
    }

    #[actix_web::test]
    async fn every_refusal_has_its_status_and_code() {
        let id = OrderId::generate();
        for (error, status, code) in [
            (AppError::NotFound, 404, "not_found"),
            (AppError::Conflict(Conflict::LeaseLost), 409, "lease_lost"),
            (AppError::ReferenceTaken { order_id: id }, 409, "reference_taken"),
            (AppError::IdempotencyReused, 422, "idempotency_key_reused"),
            (AppError::Invalid(vec![field("too_long")]), 422, "invalid_body"),
            (AppError::Gone("purged"), 410, "purged"),
            (AppError::NoLabel, 404, "no_label"),
            (AppError::Overloaded { part: "intake" }, 503, "unavailable"),
            (AppError::NeedsEpoch(7), 500, "internal"),
            (AppError::Store(StoreError::corrupt("orders", id)), 500, "internal"),
            (AppError::Vault(VaultError::WrongMaster), 500, "internal"),
            (AppError::Internal("x".to_owned()), 500, "internal"),
        ] {
            let (answered_status, _, body) = answered(error).await;
            assert_eq!((answered_status, body["code"].as_str()), (status, Some(code)));
            assert!(body["detail"].as_str().unwrap().ends_with('.'), "{body}");
        }
        let (_, _, body) = answered(AppError::ReferenceTaken { order_id: id }).await;
        assert_eq!(body["order_id"], id.to_string());
    }

    #[actix_web::test]
    async fn what_is_down_is_named_with_when_to_come_back_and_without_its_message() {
        let secret = || "password=hunter2".to_owned();
        let courier = AppError::Courier {
            courier: "simulated".to_owned(),
            code: secret(),
        };
        for (error, part) in [
            (AppError::Overloaded { part: "intake" }, "intake"),
            (AppError::Store(StoreError::Unavailable(secret())), "database"),
            (AppError::Store(StoreError::CommitUnknown(secret())), "database"),
            (AppError::Vault(VaultError::Unavailable(secret())), "vault"),
            (
                AppError::Vault(VaultError::Store(StoreError::Unavailable(secret()))),
                "database",
            ),
            (courier, "simulated"),
        ] {
            let (status, retry, body) = answered(error).await;
            assert_eq!((status, body["part"].as_str()), (503, Some(part)));
            assert!(retry.is_some() && !body.to_string().contains("hunter2"), "{body}");
        }
    }

    #[test]
    fn a_named_field_code_is_the_problems_own_only_where_nothing_else_is_wrong() {
        for named in NAMED {
            assert_eq!(invalid(vec![field(named), field(named)]).code(), named);
            assert_eq!(invalid(vec![field(named), field("too_long")]).code(), "invalid_body");
        }
        assert_eq!(invalid(vec![field("too_long")]).code(), "invalid_body");
    }
}
