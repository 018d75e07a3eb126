//! The sandbox as a subject of what all adapters must do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use serde_json::json;
use standardwebhooks::Webhook;

use super::{SECRET, World, adapter};
use crate::clock::WallTime;
use crate::couriers::contract::server::{Reply, Request};
use crate::couriers::contract::{self, Again, Push, Subject};
use crate::couriers::{Booked, Courier};
use crate::domain::ids::BookingReference;

#[async_trait]
impl Subject for World {
    fn address(&self) -> SocketAddr {
        self.sandbox.address
    }

    fn adapter(&self, base_url: &str, timeout: Duration) -> Arc<dyn Courier> {
        Arc::new(adapter(base_url, timeout))
    }

    fn books(&self, request: &Request) -> bool {
        request.method == "POST" && request.path == "/parcels"
    }

    async fn parcels(&self) -> usize {
        usize::try_from(self.count().await).unwrap()
    }

    /// It does not deduplicate, so that a double booking shows.
    fn sent_again(&self) -> Again {
        Again::Another
    }

    /// It has no credentials.
    fn credentials_refused(&self) -> Option<Reply> {
        None
    }

    fn webhook(&self, booked: &Booked, reference: &BookingReference) -> Push {
        let number = booked.tracking_no.as_ref().unwrap().expose();
        let at: WallTime = contract::now();
        let body = json!({"type": "parcel.updated", "timestamp": at, "data": {"reference": reference.as_str(),
            "tracking_no": number, "status": "picked_up", "code": "S20", "occurred_at": at, "remark": null}})
        .to_string();
        let key = base64::engine::general_purpose::STANDARD
            .decode(SECRET.trim_start_matches("whsec_"))
            .unwrap();
        let signature = Webhook::from_bytes(key)
            .unwrap()
            .sign("msg_1", at.timestamp(), body.as_bytes())
            .unwrap();
        let header = |name: &str, value: String| (name.to_owned(), value);
        Push {
            headers: vec![
                header("webhook-id", "msg_1".to_owned()),
                header("webhook-timestamp", at.timestamp().to_string()),
                header("webhook-signature", signature),
            ],
            body: body.into_bytes(),
            token: None,
        }
    }
}

contract::adapter_keeps_the_contract!(World::with(&[]));
