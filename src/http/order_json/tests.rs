use chrono::TimeDelta;
use serde_json::{Value, json};

use super::*;
use crate::clock::BusinessTime;
use crate::domain::contact::RecipientParts;
use crate::domain::ids::{AttemptId, BookingReference, OrderId};
use crate::domain::invalid::FieldErrors;
use crate::domain::money::Money;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::personal_record::{PersonalRecord, TrackingNumber};
use crate::domain::shipment::{Progress, ShipmentState, TrackingStatus};
use crate::privacy::Pii;

const NUMBER: &str = "SF1234560001";
const PHOTO: &str = "oss://id-photos/a.jpg";

fn at(minute: i64) -> BusinessTime {
    let start: BusinessTime = "2026-11-23T08:00:00Z".parse().unwrap();
    start + TimeDelta::minutes(minute)
}

fn person() -> PersonalRecord {
    let parts = RecipientParts {
        name: "张三",
        phone: "13800138000",
        province: "广东省",
        city: "深圳市",
        district: Some("南山区"),
        street: "科技中二路软件园一期7-305",
        postal_code: None,
        country: None,
    };
    PersonalRecord {
        recipient: Recipient::parse(&parts, "", &mut FieldErrors::new()).unwrap(),
        photos: vec![Some(Pii::new(PHOTO.to_owned()))],
        tracking: vec![TrackingNumber {
            attempt: 1,
            number: Pii::new(NUMBER.to_owned()),
        }],
        notes: Vec::new(),
    }
}

fn booked(person: PersonalRecordView) -> OrderView {
    let id = OrderId::generate();
    let amount = Money::parse("12.9", "CNY", "", "", &mut FieldErrors::new()).unwrap();
    OrderView {
        order: Order {
            id,
            client: "shop".to_owned(),
            reference: "KD1".to_owned(),
            status: OrderStatus::Printed,
            amount,
            courier: "simulated".to_owned(),
            minor: false,
            cross_border: false,
            created_at: at(0),
            updated_at: at(1),
            moved_at: at(1),
            attempt: 1,
            print_lessee: None,
            print_lease_until: None,
            ended_at: None,
            first_ended_at: None,
            purge_due_at: None,
            hold_until: None,
            first_held_at: None,
            purge_decided_at: None,
            purge_reason: None,
            purged_at: None,
            restricted_at: None,
            restriction: None,
        },
        items: vec![ItemRow {
            order_id: id.to_string(),
            line: 0,
            photo_size: "cn-1in".to_owned(),
            copies: 8,
            sheets: 1,
        }],
        person,
        shipment: Some(Attempt {
            id: AttemptId::generate(),
            order_id: id,
            number: 1,
            courier: "simulated".to_owned(),
            reference: BookingReference::new(id, 1),
            state: ShipmentState::Booked,
            provider_ref: None,
            tries: 1,
            first_sent_at: None,
            network_deadline: None,
            booked_at: Some(at(2)),
            progress: Some(Progress {
                status: TrackingStatus::Accepted,
                at: at(2),
            }),
            last_error: None,
            service: None,
            poll_at: None,
            polled_at: None,
            end_reported: None,
            calling_off: None,
        }),
        held: false,
    }
}

fn known() -> OrderView {
    booked(PersonalRecordView::Known(Box::new(person())))
}

fn json_for(view: &OrderView, audience: Audience) -> Value {
    serde_json::to_value(OrderBody::of(view, audience)).unwrap()
}

#[test]
fn an_order_is_answered_with_the_contracts_fields_in_their_order() {
    let view = known();
    let text = serde_json::to_string(&OrderBody::of(&view, Audience::Client)).unwrap();
    let expected = concat!(
        r#""reference":"KD1","status":"printed","#,
        r#""recipient":{"name":"张*","phone":"138******00","region":"广东省深圳市南山区"},"#,
        r#""items":[{"photo_size":"cn-1in","copies":8,"sheets":1}],"amount":"12.90","currency":"CNY","#,
        r#""courier":"simulated","shipment":{"state":"booked","courier":"simulated","tracking_no":"SF****0001","#,
        r#""tracking_status":"accepted","booked_at":"2026-11-23T08:02:00Z","attempts":1,"last_error":null},"#,
        r#""minor":false,"created_at":"2026-11-23T08:00:00Z","updated_at":"2026-11-23T08:01:00Z","ended_at":null,"#,
        r#""purge_due_at":null,"purged_at":null,"held":false}"#,
    );
    assert_eq!(text, format!(r#"{{"id":"{}",{expected}"#, view.order.id));
}

#[test]
fn each_pair_of_eyes_sees_what_it_may_and_nobody_the_whole_recipient() {
    let view = known();
    let reference = view.shipment.as_ref().unwrap().reference.to_string();
    for (audience, number, booking_reference, photo) in [
        (Audience::Client, "SF****0001", Value::Null, Value::Null),
        (Audience::Ops, NUMBER, json!(reference), Value::Null),
        (Audience::Floor, NUMBER, Value::Null, json!(PHOTO)),
    ] {
        let order = json_for(&view, audience);
        assert_eq!(order["shipment"]["tracking_no"], number, "{audience:?}");
        assert_eq!(
            order["shipment"]["booking_reference"], booking_reference,
            "{audience:?}"
        );
        assert_eq!(order["items"][0]["photo"], photo, "{audience:?}");
        let text = order.to_string();
        assert!(
            !["张三", "13800138000", "科技"].iter().any(|whole| text.contains(whole)),
            "{audience:?}"
        );
    }
}

#[test]
fn without_the_person_the_facts_stay() {
    for gone in [
        PersonalRecordView::Purged,
        PersonalRecordView::Unreadable,
        PersonalRecordView::Unavailable,
    ] {
        for audience in [Audience::Client, Audience::Ops, Audience::Floor] {
            let order = json_for(&booked(gone.clone()), audience);
            assert_eq!(order["recipient"], Value::Null);
            assert_eq!(order["shipment"]["tracking_no"], Value::Null);
            assert_eq!(
                order["items"],
                json!([{"photo_size": "cn-1in", "copies": 8, "sheets": 1}])
            );
            assert_eq!(
                (&order["amount"], &order["status"]),
                (&json!("12.90"), &json!("printed"))
            );
        }
    }
}
