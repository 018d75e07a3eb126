//! A courier's webhook: authenticated and read by its adapter, its events queued, the answer in the courier's own format.

use std::net::IpAddr;

use crate::app::parcels::events::apply::{Arrival, Trust};
use crate::app::parcels::events::inbox::Inbox;
use crate::app::{App, AppError};
use crate::couriers::{WebhookAnswer, WebhookError, WebhookOutcome, WebhookRequest};

/// What to tell whoever called a webhook.
#[derive(Debug)]
pub enum Received {
    /// An answer in the courier's own format.
    Answer(WebhookAnswer),
    /// Signature or token is missing or wrong: 401, and nothing changed.
    NotAuthentic,
    /// There is no such courier here.
    UnknownCourier,
}

/// Takes a courier's webhook in. A store or vault that is down is answered with the courier's own "send it again".
///
/// # Errors
/// None in practice: what fails is answered to the courier.
pub async fn receive(
    app: &App,
    inbox: &Inbox,
    courier: &str,
    headers: &[(String, String)],
    body: &[u8],
    token: Option<&str>,
    peer: Option<IpAddr>,
) -> Result<Received, AppError> {
    let Some(adapter) = app.couriers.get(courier) else {
        return Ok(Received::UnknownCourier);
    };
    let request = WebhookRequest {
        headers,
        body,
        token,
        peer,
        now: app.clock.wall_now(),
        received_at: app.clock.business_now(),
    };
    let events = match adapter.read_webhook(&request) {
        Ok(events) => events,
        Err(WebhookError::NotAuthentic) => return Ok(Received::NotAuthentic),
        Err(WebhookError::Malformed) => {
            // Authentic but not understood: sending it again would not help. Counted by the log line.
            tracing::warn!(
                courier,
                "Authentic webhook could not be parsed; acknowledged and dropped"
            );
            return Ok(Received::Answer(
                adapter.acknowledge(&request, WebhookOutcome::Accepted),
            ));
        }
    };
    let mut outcome = WebhookOutcome::Accepted;
    let trust = Trust::in_pushes_of(app, adapter.name());
    let taken = events.into_iter().map(|event| {
        inbox.ingest(Arrival {
            courier: adapter.name(),
            event,
            trust,
        })
    });
    for taken in futures_util::future::join_all(taken).await {
        if let Err(error) = taken {
            tracing::error!(%error, courier, "Failed to store a courier event; the courier is asked to send it again");
            outcome = WebhookOutcome::Failed;
        }
    }
    Ok(Received::Answer(adapter.acknowledge(&request, outcome)))
}
