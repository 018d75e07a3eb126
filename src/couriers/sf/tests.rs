//! The adapter against an imitation of SF, over real sockets: each way to fail, and what it must mean for the next step.

mod answers;
mod bookings;
mod contract;
mod imitation;
mod parcels;
mod pushes;
mod samples;

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;

use super::{Settings, Sf};
use crate::clock::{Clock, Moment, WallTime};
use crate::couriers::{BookingRequest, Parcel, ParcelRef, Sender};
use crate::domain::contact::{Recipient, RecipientParts};
use crate::domain::ids::{BookingReference, OrderId};
use crate::domain::invalid::FieldErrors;
use crate::privacy::{Pii, Secret};
use imitation::{Act, Call, Imitation};

const TOKEN: &str = "first-push-token-0123456789";
const NEXT_TOKEN: &str = "second-push-token-987654321";

fn now<T: Moment>() -> T {
    T::from_utc(DateTime::from_timestamp(1_795_000_000, 0).unwrap())
}

const TIMEOUT: Duration = Duration::from_secs(10);

fn settings(base_url: &str) -> Settings {
    Settings {
        base_url: base_url.to_owned(),
        partner_id: Some(imitation::PARTNER.to_owned()),
        checkword: Some(Secret::new(imitation::CHECKWORD.to_owned())),
        monthly_card: Some(Secret::new("7551234567".to_owned())),
        express_type_id: 1,
        push_tokens: [TOKEN, NEXT_TOKEN].map(|token| Secret::new(token.to_owned())).into(),
        push_addresses: Vec::new(),
    }
}

fn made(settings: Settings) -> Sf {
    made_with(settings, TIMEOUT)
}

fn made_with(settings: Settings, timeout: Duration) -> Sf {
    Sf::new(settings, timeout, Clock::manual(now::<WallTime>())).unwrap()
}

/// An imitation that does what the script says, and the adapter that speaks to it.
fn world(script: impl Fn(&Call) -> Act + Send + Sync + 'static) -> (Imitation, Sf) {
    let sf = Imitation::start(script);
    let courier = made(settings(&sf.url()));
    (sf, courier)
}

/// Honest but for the first booking.
fn first_booking(act: impl Fn() -> Act + Send + Sync + 'static) -> (Imitation, Sf) {
    world(move |call| {
        if call.service == "EXP_RECE_CREATE_ORDER" && call.nth == 0 {
            act()
        } else {
            Act::honestly()
        }
    })
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
    booking_to(reference, "科技中二路软件园(一期)7-305 *~!'+")
}

fn booking_to(reference: &BookingReference, street: &str) -> BookingRequest {
    let shop = a_recipient("照相馆", "0755-86013388", "红灯路1号");
    BookingRequest {
        reference: reference.clone(),
        consignee: a_recipient("张三", "13800138000", street),
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
        consignee_phone: Some(a_recipient("张三", "13800138000", "1号").phone),
        first_sent_at: Some(now()),
    }
}

fn with_waybill(reference: &BookingReference, waybill: &str) -> ParcelRef {
    ParcelRef {
        tracking_no: Some(Pii::new(waybill.to_owned())),
        ..attempt(reference)
    }
}
