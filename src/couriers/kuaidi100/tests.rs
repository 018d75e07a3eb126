//! The adapter against a server that imitates Kuaidi100 over real sockets, and against what it pushes.

mod bookings;
mod contract;
mod imitation;
mod questions;
mod recorded;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;

use super::{Kuaidi100, Kuaidi100Error, Settings};
use crate::clock::{Clock, Moment, WallTime};
use crate::couriers::{BookingRequest, Courier, CourierEvent, Parcel, ParcelRef, Sender, WebhookError, WebhookRequest};
use crate::domain::contact::{Recipient, RecipientParts};
use crate::domain::ids::{BookingReference, OrderId};
use crate::domain::invalid::FieldErrors;
use crate::privacy::{Pii, Secret};
use imitation::{CUSTOMER, Imitation, KEY, SALT, SECRET};

fn at<T: Moment>(text: &str) -> T {
    T::from_utc(DateTime::parse_from_rfc3339(text).unwrap().to_utc())
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

const PUBLIC_URL: &str = "https://orders.example.cn";
const TIMEOUT: Duration = Duration::from_secs(10);

fn settings(imitation: &Imitation) -> Settings {
    Settings {
        order_url: imitation.url("order"),
        query_url: imitation.url("query"),
        subscribe_url: imitation.url("poll"),
        key: Some(secret(KEY)),
        customer: Some(CUSTOMER.to_owned()),
        secret: Some(secret(SECRET)),
        salt: Some(secret(SALT)),
        courier_code: Some("yuantong".to_owned()),
    }
}

fn clock() -> Clock {
    Clock::manual(at::<WallTime>("2026-11-23T08:00:00Z"))
}

fn made(settings: Settings) -> Kuaidi100 {
    Kuaidi100::new(settings, PUBLIC_URL, TIMEOUT, clock()).unwrap()
}

fn adapter(imitation: &Imitation) -> Kuaidi100 {
    made(settings(imitation))
}

fn a_recipient(name: &str, phone: &str, street: &str) -> Recipient {
    let parts = RecipientParts {
        name,
        phone,
        province: "广东省",
        city: "深圳市",
        district: Some("南山区"),
        street,
        postal_code: Some("518057"),
        country: None,
    };
    Recipient::parse(&parts, "/recipient", &mut FieldErrors::new()).unwrap()
}

fn a_reference() -> BookingReference {
    BookingReference::new(OrderId::generate(), 1)
}

fn booking(reference: &BookingReference) -> BookingRequest {
    let shop = a_recipient("照相馆", "0755-86013388", "红灯路1号");
    BookingRequest {
        reference: reference.clone(),
        consignee: a_recipient("张三", "13800138000", "科技中二路软件园一期7-305"),
        sender: Arc::new(Sender {
            name: "照相馆".into(),
            company: None,
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

fn parcel(reference: &BookingReference) -> ParcelRef {
    ParcelRef {
        reference: reference.clone(),
        provider_ref: None,
        tracking_no: None,
        consignee_phone: Some(a_recipient("张三", "13800138000", "科技中二路").phone),
        first_sent_at: None,
    }
}

fn number(text: &str) -> Option<Pii<String>> {
    Some(Pii::new(text.to_owned()))
}

fn read(
    courier: &Kuaidi100,
    body: impl AsRef<[u8]>,
    token: Option<&BookingReference>,
) -> Result<Vec<CourierEvent>, WebhookError> {
    courier.read_webhook(&WebhookRequest {
        headers: &[],
        body: body.as_ref(),
        token: token.map(BookingReference::as_str),
        peer: None,
        now: at("2026-11-23T08:00:00Z"),
        received_at: at("2026-11-23T08:00:00Z"),
    })
}

#[test]
fn an_adapter_that_could_not_be_called_back_is_not_made() {
    let imitation = Imitation::start();
    let at = |public_url: &str| Kuaidi100::new(settings(&imitation), public_url, TIMEOUT, clock());
    let with = |change: fn(&mut Settings)| {
        let mut settings = settings(&imitation);
        change(&mut settings);
        Kuaidi100::new(settings, PUBLIC_URL, TIMEOUT, clock())
    };
    let courier = at(&format!("https://{}", "a".repeat(142))).unwrap();
    assert_eq!(courier.callback_url(&a_reference()).len(), 200);
    assert!(matches!(
        at(&format!("{PUBLIC_URL}{}", "a".repeat(150))),
        Err(Kuaidi100Error::PublicUrl)
    ));
    assert!(matches!(
        with(|settings| settings.query_url = "ftp://a".to_owned()),
        Err(Kuaidi100Error::Url("query_url"))
    ));
    assert!(matches!(
        with(|settings| settings.courier_code = Some("圆通".to_owned())),
        Err(Kuaidi100Error::CourierCode)
    ));
    let shown = format!("{:?}", with(|_| {}).unwrap());
    assert!(
        !shown.contains(SECRET) && !shown.contains(SALT) && !shown.contains(KEY),
        "{shown}"
    );
}
