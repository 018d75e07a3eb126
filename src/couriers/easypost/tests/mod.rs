//! The adapter against an imitation of EasyPost, over real sockets.

#[expect(dead_code, reason = "shared with tests/it, which uses the rest")]
mod imitation;
mod recorded;
mod speaking;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Easypost, Settings};
use crate::couriers::contract::server::{self, Reply, Request};
use crate::couriers::contract::{self, Again, Push, Subject};
use crate::couriers::{Booked, Courier};
use crate::domain::ids::BookingReference;
use crate::privacy::Secret;
use imitation::{Imitation, KEY, WEBHOOK_SECRET};

const TIMEOUT: Duration = Duration::from_secs(20);

fn settings(base_url: &str) -> Settings {
    Settings {
        base_url: base_url.to_owned(),
        api_key: Some(Secret::new(KEY.to_owned())),
        webhook_secret: Some(Secret::new(WEBHOOK_SECRET.to_owned())),
        carrier: None,
        service: None,
        carrier_account: None,
    }
}

fn adapter(base_url: &str) -> Easypost {
    Easypost::new(settings(base_url), TIMEOUT).unwrap()
}

#[async_trait]
impl Subject for Imitation {
    fn address(&self) -> SocketAddr {
        self.server.address
    }

    fn adapter(&self, base_url: &str, timeout: Duration) -> Arc<dyn Courier> {
        Arc::new(Easypost::new(settings(&format!("{base_url}/v2")), timeout).unwrap())
    }

    fn books(&self, request: &Request) -> bool {
        request.path.ends_with("/buy")
    }

    async fn parcels(&self) -> usize {
        self.purchases()
    }

    fn sent_again(&self) -> Again {
        Again::First
    }

    fn credentials_refused(&self) -> Option<Reply> {
        Some(imitation::error(403, "APIKEY.INACTIVE"))
    }

    fn webhook(&self, booked: &Booked, _reference: &BookingReference) -> Push {
        let id = booked.provider_ref.as_deref().unwrap();
        let (signature, body) = self.scan(id, "in_transit", None, "2026-11-23T09:00:00Z");
        Push {
            headers: vec![("x-hmac-signature".to_owned(), signature)],
            body,
            token: None,
        }
    }
}

contract::adapter_keeps_the_contract!(Imitation::start());
