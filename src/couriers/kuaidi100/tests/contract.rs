//! Kuaidi100 as a subject of what all adapters must do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::imitation::{Imitation, callback};
use super::{PUBLIC_URL, settings};
use crate::clock::{Clock, WallTime};
use crate::couriers::contract::server::{Reply, Request};
use crate::couriers::contract::{self, Again, Push, Subject};
use crate::couriers::kuaidi100::{Kuaidi100, Settings};
use crate::couriers::{Booked, Courier};
use crate::domain::ids::BookingReference;

/// A refusal in its own shape: it has status 200.
fn refusal(code: &str, seconds: Option<u64>) -> Reply {
    let body = json!({"result": false, "returnCode": code, "message": "made up"});
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    headers.extend(seconds.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
    Reply::Answer {
        status: 200,
        headers,
        body: body.to_string().into_bytes(),
    }
}

fn form(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).into_owned().collect()
}

/// The first field of that name.
fn field(body: &[u8], wanted: &str) -> Option<String> {
    let found = form(body).into_iter().find(|(name, _)| name == wanted);
    found.map(|(_, value)| value)
}

#[async_trait]
impl Subject for Imitation {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn adapter(&self, base_url: &str, timeout: Duration) -> Arc<dyn Courier> {
        let settings = Settings {
            order_url: format!("{base_url}/order"),
            query_url: format!("{base_url}/query"),
            subscribe_url: format!("{base_url}/poll"),
            ..settings(self)
        };
        Arc::new(
            Kuaidi100::new(
                settings,
                PUBLIC_URL,
                timeout,
                Clock::manual(contract::now::<WallTime>()),
            )
            .unwrap(),
        )
    }

    fn books(&self, request: &Request) -> bool {
        field(&request.body, "method").as_deref() == Some("bOrder")
    }

    async fn parcels(&self) -> usize {
        self.orders().len()
    }

    fn sent_again(&self) -> Again {
        Again::First
    }

    /// It has no query by our reference.
    fn can_be_asked(&self) -> bool {
        false
    }

    fn credentials_refused(&self) -> Option<Reply> {
        Some(refusal("503", None))
    }

    fn too_often(&self, seconds: Option<u64>) -> Reply {
        refusal("502", seconds)
    }

    fn webhook(&self, _booked: &Booked, reference: &BookingReference) -> Push {
        Push {
            headers: Vec::new(),
            body: callback(&self.order(reference.as_str()), "10").into_bytes(),
            token: Some(reference.as_str().to_owned()),
        }
    }

    /// The signature is a field of the body; the path has our reference, which proves nothing.
    fn without_authenticity(&self, push: &Push) -> [Push; 3] {
        let with = |sign: &dyn Fn(&str) -> Option<String>| {
            let mut body = form_urlencoded::Serializer::new(String::new());
            for (name, value) in form(&push.body) {
                let value = if name == "sign" { sign(&value) } else { Some(value) };
                if let Some(value) = value {
                    body.append_pair(&name, &value);
                }
            }
            Push {
                body: body.finish().into_bytes(),
                ..push.clone()
            }
        };
        [
            with(&|_| None),
            with(&|sign| Some(sign.chars().rev().collect())),
            with(&|_| Some(String::new())),
        ]
    }

    /// `param` is signed as it is before the form is encoded; the signature may be in either case; the rest of the form,
    /// `taskId` among it, is not signed.
    fn signed_alike(&self, one: &[u8], other: &[u8]) -> bool {
        let signed = |body: &[u8]| {
            let sign = field(body, "sign").map(|sign| sign.trim().to_ascii_uppercase());
            (field(body, "param"), sign)
        };
        signed(one) == signed(other)
    }
}

contract::adapter_keeps_the_contract!(Imitation::start());
