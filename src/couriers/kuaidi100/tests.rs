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

use super::{Kuaidi100, Kuaidi100Config, Kuaidi100Error};
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

fn config(imitation: &Imitation) -> Kuaidi100Config {
    Kuaidi100Config {
        order_url: imitation.url("order"),
        query_url: imitation.url("query"),
        subscribe_url: imitation.url("poll"),
        public_url: "https://orders.example.cn".to_owned(),
        key: secret(KEY),
        customer: CUSTOMER.to_owned(),
        secret: secret(SECRET),
        salt: secret(SALT),
        courier_code: "yuantong".to_owned(),
        timeout: Duration::from_secs(10),
    }
}

fn clock() -> Clock {
    Clock::manual(at::<WallTime>("2026-11-23T08:00:00Z"))
}

fn adapter(imitation: &Imitation) -> Kuaidi100 {
    Kuaidi100::new(config(imitation), clock()).unwrap()
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
    let with = |change: fn(&mut Kuaidi100Config)| {
        let mut config = config(&imitation);
        change(&mut config);
        Kuaidi100::new(config, clock())
    };
    let longest = |config: &mut Kuaidi100Config| config.public_url = format!("https://{}", "a".repeat(142));
    assert!(with(longest).is_ok());
    let courier = with(longest).unwrap();
    assert_eq!(courier.callback_url(&a_reference()).len(), 200);
    assert!(matches!(
        with(|config| config.public_url.push_str(&"a".repeat(150))),
        Err(Kuaidi100Error::PublicUrl)
    ));
    assert!(matches!(
        with(|config| config.query_url = "ftp://a".to_owned()),
        Err(Kuaidi100Error::Url("query_url"))
    ));
    assert!(matches!(
        with(|config| config.courier_code = "圆通".to_owned()),
        Err(Kuaidi100Error::CourierCode)
    ));
    let shown = format!("{:?}", with(|_| {}).unwrap());
    assert!(
        !shown.contains(SECRET) && !shown.contains(SALT) && !shown.contains(KEY),
        "{shown}"
    );
}
