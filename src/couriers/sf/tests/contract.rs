//! SF as a subject of what all adapters must do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::imitation::{Act, Imitation};
use super::{TOKEN, made_with, settings};
use crate::couriers::contract::server::{Reply, Request};
use crate::couriers::contract::{self, Again, Push, Subject};
use crate::couriers::{Booked, Courier};
use crate::domain::ids::BookingReference;

/// The gateway's own refusal: SF says it with status 200.
fn refusal(code: &str, seconds: Option<u64>) -> Reply {
    let body = json!({"apiErrorMsg": "", "apiResponseID": "1", "apiResultCode": code, "apiResultData": null});
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    headers.extend(seconds.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
    Reply::Answer {
        status: 200,
        headers,
        body: body.to_string().into_bytes(),
    }
}

#[async_trait]
impl Subject for Imitation {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn adapter(&self, base_url: &str, timeout: Duration) -> Arc<dyn Courier> {
        Arc::new(made_with(settings(base_url), timeout))
    }

    fn books(&self, request: &Request) -> bool {
        form_urlencoded::parse(&request.body)
            .any(|(name, value)| name == "serviceCode" && value == "EXP_RECE_CREATE_ORDER")
    }

    async fn parcels(&self) -> usize {
        Imitation::parcels(self)
    }

    /// 8016 "duplicate order": it does not say what became of the first.
    fn sent_again(&self) -> Again {
        Again::Taken
    }

    fn credentials_refused(&self) -> Option<Reply> {
        Some(refusal("A1006", None))
    }

    fn too_often(&self, seconds: Option<u64>) -> Reply {
        refusal("A1005", seconds)
    }

    fn webhook(&self, booked: &Booked, reference: &BookingReference) -> Push {
        let waybill = booked.tracking_no.as_ref().unwrap().expose();
        let route = json!({"mailno": waybill, "orderid": reference.as_str(), "acceptTime": "2026-11-23 09:00:00",
            "acceptAddress": "深圳市", "remark": "顺丰速运 已收取快件", "opCode": "50", "id": "1"});
        Push {
            headers: Vec::new(),
            body: json!({"Body": {"WaybillRoute": [route]}}).to_string().into_bytes(),
            token: Some(TOKEN.to_owned()),
        }
    }

    /// SF signs nothing that it pushes: the token of the path says who, and nothing of what.
    fn signs_the_body(&self) -> bool {
        false
    }
}

contract::adapter_keeps_the_contract!(Imitation::start(|_| Act::honestly()));
