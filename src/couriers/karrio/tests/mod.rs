//! The adapter against an imitation of Karrio, over real sockets.

#[expect(dead_code, reason = "shared with tests/it, which uses the rest")]
mod imitation;
mod recorded;
mod speaking;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Karrio, Settings};
use crate::couriers::contract::server::{self, Reply, Request};
use crate::couriers::contract::{self, Again, Push, Subject};
use crate::couriers::{Booked, Courier};
use crate::domain::ids::BookingReference;
use crate::privacy::Secret;
use imitation::{Imitation, TOKEN, WEBHOOK_SECRET};

const TIMEOUT: Duration = Duration::from_secs(20);

fn settings(base_url: &str) -> Settings {
    Settings {
        base_url: Some(base_url.to_owned()),
        token: Some(Secret::new(TOKEN.to_owned())),
        webhook_secret: Some(Secret::new(WEBHOOK_SECRET.to_owned())),
        service: None,
        carrier_ids: Vec::new(),
    }
}

fn adapter(base_url: &str) -> Karrio {
    Karrio::new(settings(base_url), TIMEOUT).unwrap()
}

#[async_trait]
impl Subject for Imitation {
    fn address(&self) -> SocketAddr {
        self.server.address
    }

    fn adapter(&self, base_url: &str, timeout: Duration) -> Arc<dyn Courier> {
        Arc::new(Karrio::new(settings(base_url), timeout).unwrap())
    }

    fn books(&self, request: &Request) -> bool {
        request.path.ends_with("/purchase")
    }

    async fn parcels(&self) -> usize {
        self.purchases()
    }

    fn sent_again(&self) -> Again {
        Again::First
    }

    fn credentials_refused(&self) -> Option<Reply> {
        Some(imitation::error(401, "invalid_token"))
    }

    fn webhook(&self, booked: &Booked, _reference: &BookingReference) -> Push {
        let id = booked.provider_ref.as_deref().unwrap();
        Push {
            headers: vec![("x-event-id".to_owned(), WEBHOOK_SECRET.to_owned())],
            body: self.report(id, "picked_up", "10:00 AM"),
            token: None,
        }
    }

    /// The secret itself is sent: it says who, and nothing of what.
    fn signs_the_body(&self) -> bool {
        false
    }
}

contract::adapter_keeps_the_contract!(Imitation::start());
