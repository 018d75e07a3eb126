//! Orders as checkout sends them, full of planted values.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::planted;

/// A reference that no other order of this run has. A fact: nothing is planted in it.
pub(crate) fn reference() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("KD20261123{:06}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The recipient that most tests use.
pub(crate) fn recipient() -> Value {
    json!({
        "name": planted::NAME, "phone": planted::PHONE, "province": "广东省", "city": "深圳市", "district": "南山区",
        "street": planted::STREET, "postal_code": "518057", "country": "CN",
    })
}

/// A corrected one.
pub(crate) fn other_recipient() -> Value {
    json!({
        "name": planted::OTHER_NAME, "phone": planted::OTHER_PHONE, "province": "浙江省", "city": "杭州市",
        "district": "西湖区", "street": planted::OTHER_STREET, "postal_code": "310000", "country": "CN",
    })
}

/// The contract's own example.
pub(crate) fn order() -> Value {
    json!({
        "reference": reference(),
        "recipient": recipient(),
        "items": [{"photo_size": "cn-1in", "copies": 8, "sheets": 1, "photo": planted::PHOTO}],
        "amount": "12.90",
        "currency": "CNY",
        "courier": "simulated",
        "confirm": true,
        "consent": {
            "policy_version": "2024-06", "accepted_at": "2026-11-23T07:59:00Z", "courier_sharing": true,
            "minor": false, "guardian_consent": false,
        },
    })
}

/// The same with some members changed: `order_with("/amount", json!("1.00"))`.
pub(crate) fn order_with(pointer: &str, value: Value) -> Value {
    let mut order = order();
    set(&mut order, pointer, value);
    order
}

/// A draft.
pub(crate) fn draft() -> Value {
    order_with("/confirm", json!(false))
}

/// Sets what a JSON pointer names; the last segment may be new.
pub(crate) fn set(body: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).expect("a pointer into the body");
    match parent {
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = value,
        other => other[last] = value,
    }
}
