//! The adapter against a running sandbox, over real sockets: each fault, and what it must mean for the next step.

mod answers;
mod bookings;
mod contract;
mod restarts;
mod webhooks;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use chrono::DateTime;
use serde_json::Value;
use tempfile::TempDir;

use super::Simulated;
use super::sandbox::{Faults, RunningSandbox, SandboxConfig, start};
use crate::clock::Clock;
use crate::couriers::adapter::Endpoint;
use crate::couriers::{
    BookingRequest, Courier, CourierEvent, News, Parcel, ParcelRef, Sender, WebhookError, WebhookRequest, client,
};
use crate::domain::contact::{Recipient, RecipientParts};
use crate::domain::ids::{BookingReference, OrderId};
use crate::domain::invalid::FieldErrors;
use crate::domain::shipment::TrackingStatus;
use crate::privacy::Secret;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn secret() -> Secret<String> {
    Secret::new(SECRET.to_owned())
}

fn adapter(base_url: &str, timeout: Duration) -> Simulated {
    let endpoint = Endpoint {
        base_url: base_url.to_owned(),
        webhook_secret: secret(),
    };
    Simulated::new(&endpoint, timeout).unwrap()
}

fn a_recipient(name: &str, phone: &str) -> Recipient {
    let parts = RecipientParts {
        name,
        phone,
        province: "广东省",
        city: "深圳市",
        district: Some("南山区"),
        street: "科技中二路软件园一期7-305",
        postal_code: Some("518057"),
        country: None,
    };
    Recipient::parse(&parts, "/recipient", &mut FieldErrors::new()).unwrap()
}

fn a_reference() -> BookingReference {
    BookingReference::new(OrderId::generate(), 1)
}

fn booking(reference: &BookingReference) -> BookingRequest {
    let shop = a_recipient("照相馆", "0755-86013388");
    BookingRequest {
        reference: reference.clone(),
        consignee: a_recipient("张三", "13800138000"),
        sender: Arc::new(Sender {
            name: "照相馆".into(),
            company: Some("安全灯照相馆".into()),
            phone: shop.phone,
            address: shop.address,
        }),
        parcel: Arc::new(Parcel {
            weight_g: 50,
            size_mm: (240, 160, 5),
            contents: "照片".into(),
        }),
    }
}

fn attempt(reference: &BookingReference) -> ParcelRef {
    ParcelRef {
        reference: reference.clone(),
        provider_ref: None,
        tracking_no: None,
        consignee_phone: None,
        first_sent_at: None,
    }
}

/// A sandbox, its adapter, and a clock that stands still until it is moved.
struct World {
    folder: TempDir,
    clock: Clock,
    sandbox: RunningSandbox,
    courier: Simulated,
}

impl World {
    fn with(faults: &[&str]) -> Self {
        Self::posting_to(faults, None)
    }

    fn posting_to(faults: &[&str], receiver: Option<&Receiver>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(DateTime::from_timestamp(1_795_000_000, 0).unwrap());
        let sandbox = open(&folder, &clock, faults, receiver);
        let courier = adapter(&sandbox.base_url(), Duration::from_secs(10));
        Self {
            folder,
            clock,
            sandbox,
            courier,
        }
    }

    async fn book(&self) -> BookingReference {
        let reference = a_reference();
        self.courier.commit(&booking(&reference), None).await.unwrap();
        reference
    }

    async fn get(&self, path: &str) -> Value {
        let client = client::build(Duration::from_secs(10)).unwrap();
        client
            .get(format!("{}{path}", self.sandbox.base_url()))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: &str) -> (u16, String) {
        let client = client::build(Duration::from_secs(10)).unwrap();
        let url = format!("{}{path}", self.sandbox.base_url());
        let answer = client.request(method, url).body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn count(&self) -> u64 {
        self.get("/parcels").await["count"].as_u64().unwrap()
    }

    /// Stops the sandbox and starts it again on the same file.
    async fn restarted(self, receiver: Option<&Receiver>) -> Self {
        let Self {
            folder, clock, sandbox, ..
        } = self;
        sandbox.stop().await;
        let sandbox = open(&folder, &clock, &[], receiver);
        let courier = adapter(&sandbox.base_url(), Duration::from_secs(10));
        Self {
            folder,
            clock,
            sandbox,
            courier,
        }
    }
}

fn open(folder: &TempDir, clock: &Clock, faults: &[&str], receiver: Option<&Receiver>) -> RunningSandbox {
    let config = SandboxConfig {
        listen: LOOPBACK,
        state_file: folder.path().join("sandbox/state.jsonl"),
        webhook_url: receiver.map(Receiver::url),
        webhook_secret: secret(),
        faults: Faults::from_flags(faults).unwrap(),
    };
    start(config, clock.clone()).unwrap()
}

/// Waits until `holds`; gives up after a time that only a hang can take.
async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..3000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never happened");
}

/// Where the parcel is, as an event that moves it says.
fn moved(event: &CourierEvent) -> TrackingStatus {
    match event.news {
        News::Moved(status) => status,
        other => panic!("moves nothing: {other:?}"),
    }
}

/// A webhook as it arrived.
#[derive(Clone)]
struct Received {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Received {
    fn read(&self, courier: &Simulated, clock: &Clock) -> Result<CourierEvent, WebhookError> {
        let request = WebhookRequest {
            headers: &self.headers,
            body: &self.body,
            token: None,
            peer: None,
            now: clock.wall_now(),
            received_at: clock.business_now(),
        };
        courier.read_webhook(&request).map(|mut events| events.remove(0))
    }

    fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(known, _)| known == name).unwrap().1
    }
}

/// A tiny service that takes webhooks in, after answering the first few with 503.
struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    server: ServerHandle,
}

impl Receiver {
    fn start(refuse_first: usize) -> Self {
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let seen = Arc::clone(&received);
        let listener = std::net::TcpListener::bind(LOOPBACK).unwrap();
        let address = listener.local_addr().unwrap();
        let server = HttpServer::new(move || {
            let seen = Arc::clone(&seen);
            App::new().default_service(web::to(move |request: HttpRequest, body: Bytes| {
                let headers = request
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
                    .collect();
                let mut seen = seen.lock().unwrap();
                seen.push(Received {
                    headers,
                    body: body.to_vec(),
                });
                let refuse = seen.len() <= refuse_first;
                async move {
                    if refuse {
                        HttpResponse::ServiceUnavailable()
                    } else {
                        HttpResponse::Ok()
                    }
                    .finish()
                }
            }))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            address,
            received,
            server: handle,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/webhooks/simulated", self.address)
    }

    fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    async fn wait_for(&self, count: usize) -> Vec<Received> {
        eventually(async || self.all().len() >= count).await;
        self.all()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.server.stop(false));
    }
}
