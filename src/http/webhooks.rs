//! `/webhooks/{courier}`: news of parcels, in each courier's own format. The body is handed on byte by byte, since
//! signatures are over bytes; the answer is the courier's own acknowledgement. Must not log the token in the path.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, WWW_AUTHENTICATE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use crate::app::App;
use crate::app::parcels::events::inbox::Inbox;
use crate::app::parcels::events::webhook::{self, Received};
use crate::http::docs::documented::{OfOne, ProblemSchema, WithoutKey};
use crate::http::errors::problem::Problem;
use crate::http::extract::auth;
use crate::http::extract::body::RawBody;
use crate::http::extract::path::segment;

/// Receive a courier's webhook
#[utoipa::path(post, path = "/webhooks/{courier}", operation_id = "receive_webhook", tag = "Couriers", security(()),
    params(("courier" = String, Path, description = "The courier's name.")),
    request_body(content = String, description = "The courier's own format, signed.", content_type = "*/*"),
    responses(
        (status = 200, description = "The courier's own acknowledgement.", body = String, content_type = "*/*"),
        (status = 401, description = "`unauthorized`: the signature or token is missing or wrong; nothing changed.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 413, description = "`payload_too_large`: more than 1 MiB.",
            body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, WithoutKey))]
pub(super) async fn receive(
    app: Data<App>,
    inbox: Data<Inbox>,
    request: HttpRequest,
    body: RawBody,
) -> Result<HttpResponse, Problem> {
    ingest(&app, &inbox, &request, &body, None).await
}

/// Receive a webhook of a courier that does not sign
#[utoipa::path(post, path = "/webhooks/{courier}/{token}", operation_id = "receive_webhook_with_token", tag = "Couriers", security(()),
    params(
        ("courier" = String, Path, description = "The courier's name."),
        ("token" = String, Path, description = "The secret that stands for a signature.")),
    request_body(content = String, description = "The courier's own format.", content_type = "*/*"),
    responses(
        (status = 200, description = "The courier's own acknowledgement.", body = String, content_type = "*/*"),
        (status = 401, description = "`unauthorized`: the signature or token is missing or wrong; nothing changed.",
            body = ProblemSchema, content_type = "application/problem+json"),
        (status = 413, description = "`payload_too_large`: more than 1 MiB.",
            body = ProblemSchema, content_type = "application/problem+json"),
        OfOne, WithoutKey))]
pub(super) async fn receive_with_token(
    app: Data<App>,
    inbox: Data<Inbox>,
    request: HttpRequest,
    body: RawBody,
) -> Result<HttpResponse, Problem> {
    let token: String = segment(&request, "token")?;
    ingest(&app, &inbox, &request, &body, Some(&token)).await
}

async fn ingest(
    app: &App,
    inbox: &Inbox,
    request: &HttpRequest,
    RawBody(body): &RawBody,
    token: Option<&str>,
) -> Result<HttpResponse, Problem> {
    let courier: String = segment(request, "courier")?;
    let headers = readable_headers(request);
    let peer = Some(auth::client_address_of(request));
    match webhook::receive(app, inbox, &courier, &headers, body, token, peer).await? {
        Received::Answer(answer) => {
            let status = StatusCode::from_u16(answer.status)
                .map_err(|_| Problem::internal("courier acknowledgement has an invalid HTTP status"))?;
            Ok(HttpResponse::build(status)
                .content_type(answer.content_type)
                .body(answer.body))
        }
        Received::NotAuthentic => {
            auth::check_address(request)?;
            let detail = "The webhook signature or token is missing or invalid.";
            Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
                .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Signature")))
        }
        Received::UnknownCourier => {
            auth::check_address(request)?;
            Err(Problem::not_found())
        }
    }
}

/// Names in lower case, as the HTTP library keeps them. What is no text is no header of a signature.
fn readable_headers(request: &HttpRequest) -> Vec<(String, String)> {
    request
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}
