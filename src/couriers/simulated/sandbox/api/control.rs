//! What only a sandbox has: its faults, where its webhooks go, and whether it is there.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Shared;
use super::super::faults::{self, FaultError, Faults};
use super::super::journal::lock;
use super::{Reply, read};

pub(super) async fn faults_now(shared: Data<Shared>) -> Reply {
    Reply::ok(json!({ "faults": *lock(&shared.faults), "known": faults::known() }))
}

pub(super) async fn faults_set(shared: Data<Shared>, body: Bytes) -> Reply {
    let given: Value = match read(&body) {
        Ok(given) => given,
        Err(reply) => return reply,
    };
    match Faults::from_json(&given) {
        Ok(faults) => replace_faults(&shared, faults).await,
        Err(error) => {
            let code = match error {
                FaultError::Unknown => "unknown_fault",
                FaultError::Invalid => "invalid_fault",
            };
            let body = json!({ "code": code, "message": error.to_string(), "known": faults::known() });
            Reply::Answer {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                body,
                retry_after: None,
            }
        }
    }
}

pub(super) async fn faults_cleared(shared: Data<Shared>) -> Reply {
    replace_faults(&shared, Faults::default()).await
}

async fn replace_faults(shared: &Shared, faults: Faults) -> Reply {
    match shared.set_faults(faults).await {
        Ok(()) => Reply::ok(json!({ "faults": *lock(&shared.faults), "known": faults::known() })),
        Err(_) => Reply::not_stored(),
    }
}

pub(super) async fn webhook_now(shared: Data<Shared>) -> Reply {
    Reply::ok(json!({ "url": *shared.webhook_url.borrow() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookRequest {
    url: Option<String>,
}

pub(super) async fn webhook_set(shared: Data<Shared>, body: Bytes) -> Reply {
    match read::<WebhookRequest>(&body).map(|request| shared.set_webhook_url(request.url)) {
        Ok(Ok(())) => Reply::ok(json!({ "url": *shared.webhook_url.borrow() })),
        Ok(Err(_)) => Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "invalid_url"),
        Err(reply) => reply,
    }
}

pub(super) async fn health(shared: Data<Shared>) -> Reply {
    Reply::ok(json!({ "ok": true, "parcels": lock(&shared.store).count() }))
}
