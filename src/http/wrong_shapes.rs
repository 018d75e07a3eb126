//! Bodies with many fields of the wrong shape: every one is named at once, nothing that was sent is repeated, and the schema
//! in the document refuses whatever serde does.

use std::borrow::Cow;
use std::collections::BTreeSet;

use actix_web::ResponseError as _;
use actix_web::body::MessageBody as _;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::{OpenApi as _, ToSchema};

use crate::http::admin::{
    breach, by_hand, holds, keys, orders as all_orders, print_queue, purges, shipment, subject_requests,
};
use crate::http::docs::openapi::ApiDoc;
use crate::http::errors::problem::Problem;
use crate::http::extract::json::parse;
use crate::http::extract::shape::MAX_ERRORS;
use crate::http::orders::NewOrderBody;
use crate::http::reason::ReasonBody;
use crate::http::recipient::RecipientBody;

/// What is planted in wrong fields, and never answered.
const PLANTED: [&str; 2] = ["张三", "13800138000"];

/// The pointers and codes that a body is refused with, sorted; none where its shape is right.
fn wrong<T: DeserializeOwned + ToSchema>(body: &Value) -> Vec<(String, &'static str)> {
    let Err(problem) = parse::<T>(body.to_string().as_bytes()) else {
        return Vec::new();
    };
    let text = answer(&problem);
    assert!(PLANTED.iter().all(|planted| !text.contains(planted)), "{text}");
    assert_eq!(problem.code(), "invalid_body");
    let errors = problem.errors().iter();
    let mut errors: Vec<_> = errors
        .map(|error| (error.pointer.clone(), error.invalid.code))
        .collect();
    errors.sort_unstable();
    errors
}

fn answer(problem: &Problem) -> String {
    let body = problem.error_response().into_body().try_into_bytes().unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

fn order() -> Value {
    let item = json!({"photo_size": "cn-1in", "copies": 8, "sheets": 1, "photo": "oss://a.jpg"});
    json!({
        "reference": "KD20261123000187",
        "recipient": {
            "name": "王五", "phone": "13900139000", "province": "广东省", "city": "深圳市", "district": "南山区",
            "street": "路1号", "postal_code": "518057", "country": "CN",
        },
        "items": [item, item, item],
        "amount": "12.90", "currency": "CNY", "courier": "simulated", "confirm": true,
        "consent": {
            "policy_version": "2024-06", "accepted_at": "2026-11-23T08:00:00Z", "courier_sharing": true,
            "legal_basis": "contract", "cross_border": false, "minor": false, "guardian_consent": false,
        },
    })
}

#[test]
fn every_field_of_the_wrong_shape_is_named_at_once() {
    let mut body = order();
    body["reference"] = json!(13_800_138_000_u64);
    body["recipient"]["phone"] = json!(13_800_138_000_u64);
    body["recipient"]["张三"] = json!(1);
    body["recipient"]["13800138000"] = json!(1);
    body["recipient"].as_object_mut().unwrap().remove("city");
    body["items"][0]["copies"] = json!("张三");
    body["items"][1] = json!(["cn-1in", 8]);
    body["items"][2]["copies"] = json!(u64::MAX);
    body["amount"] = json!(12.9);
    body["consent"] = Value::Null;
    body["nots"] = json!("张三");
    let expected = [
        ("/reference", "wrong_type"),
        ("/recipient/phone", "wrong_type"),
        ("/recipient", "unknown_field"),
        ("/recipient/city", "required"),
        ("/items/0/copies", "wrong_type"),
        ("/items/1", "wrong_type"),
        ("/items/2/copies", "out_of_range"),
        ("/amount", "wrong_type"),
        ("/consent", "wrong_type"),
        ("/nots", "unknown_field"),
    ];
    let mut expected = expected.map(|(pointer, code)| (pointer.to_owned(), code));
    expected.sort_unstable();
    assert_eq!(wrong::<NewOrderBody>(&body), expected);
}

#[test]
fn details_say_what_is_expected() {
    let body = r#"{"reference":1,"reference":2,"items":[{"copies":0,"sheets":"1"}],"confirm":1,"nots":1}"#;
    let problem = parse::<NewOrderBody>(body.as_bytes()).unwrap_err();
    let details: Vec<String> = problem
        .errors()
        .iter()
        .map(|error| format!("{} {}", error.pointer, error.invalid.detail))
        .collect();
    let members = "`reference`, `recipient`, `items`, `amount`, `currency`, `courier`, `confirm`, `consent`";
    let expected = [
        "/reference must be a string",
        "/reference must be given once",
        "/items/0/copies must be from 1 to 999",
        "/items/0/sheets must be a whole number",
        "/items/0/photo_size is required",
        "/confirm must be a boolean",
        &format!("/nots is not known; expected one of {members}"),
        "/recipient is required",
        "/amount is required",
        "/currency is required",
        "/consent is required",
    ];
    assert_eq!(details, expected);
}

#[test]
fn a_body_full_of_wrong_fields_has_an_answer_of_bounded_size() {
    let mut body = order();
    body["items"] = json!(vec![1; 10_000]);
    let errors = wrong::<NewOrderBody>(&body);
    assert_eq!((errors.len(), errors[0].0.as_str()), (21, "/items"));
    let letters = |n: u32| {
        n.to_string()
            .bytes()
            .map(|digit| char::from(digit + 49))
            .collect::<String>()
    };
    let many: Map<String, Value> = (0..8_000).map(|n| (letters(n), json!(1))).collect();
    assert_eq!(wrong::<NewOrderBody>(&Value::Object(many)).len(), MAX_ERRORS);
}

/// Every place of a body that holds a value and nothing inside it.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| leaves(value, &format!("{at}/{name}"), found)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(n, value)| leaves(value, &format!("{at}/{n}"), found)),
        _ => found.push(at.to_owned()),
    }
}

fn order_leaves() -> Vec<String> {
    let mut found = Vec::new();
    leaves(&order(), "", &mut found);
    found
}

/// What is done to a member, and the error that it must lead to.
fn spoil(body: &mut Value, pointer: &str, how: u8) -> Option<(String, &'static str)> {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let required = ![
        "district",
        "postal_code",
        "country",
        "sheets",
        "photo",
        "courier",
        "confirm",
        "legal_basis",
        "cross_border",
        "minor",
        "guardian_consent",
    ]
    .contains(&name);
    let object = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    let text = object[name].is_string();
    match how {
        0 => {
            object.remove(name);
            required.then(|| (pointer.to_owned(), "required"))
        }
        1 => {
            object[name] = Value::Null;
            required.then(|| (pointer.to_owned(), "wrong_type"))
        }
        2 => {
            object[name] = if text {
                json!(13_800_138_000_u64)
            } else {
                json!("张三13800138000")
            };
            Some((pointer.to_owned(), "wrong_type"))
        }
        3 => {
            object[name] = json!({"张三": ["13800138000"]});
            Some((pointer.to_owned(), "wrong_type"))
        }
        _ => {
            object.insert(format!("{name}_x"), json!("张三13800138000"));
            Some((format!("{pointer}_x"), "unknown_field"))
        }
    }
}

proptest! {
    #[test]
    fn a_body_that_is_wrong_in_some_places_is_answered_with_exactly_these(
        spoilt in proptest::sample::subsequence(order_leaves(), 0..=order_leaves().len()),
        hows in proptest::collection::vec(0_u8..5, order_leaves().len()),
    ) {
        let mut body = order();
        let mut expected: Vec<_> = spoilt.iter().zip(hows).filter_map(|(pointer, how)| spoil(&mut body, pointer, how)).collect();
        expected.sort_unstable();
        prop_assert_eq!(wrong::<NewOrderBody>(&body), expected);
    }
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The least that a schema takes.
fn least(schema: &Value, document: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return least(&document[reference.rsplit('/').next().unwrap()], document);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind.expect("a type, or a reference") {
        "string" => json!("x"),
        "integer" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(true),
        "array" => json!([least(&schema["items"], document)]),
        "object" => {
            assert_eq!(schema["additionalProperties"], false, "{schema}");
            let required = strings(&schema["required"]).into_iter();
            required
                .map(|name| (name.to_owned(), least(&schema["properties"][name], document)))
                .collect()
        }
        other => panic!("{other}"),
    }
}

/// Serde takes what the schema takes, and what it refuses the schema finds, at the same place.
fn agrees<T: DeserializeOwned + ToSchema>() -> Cow<'static, str> {
    let mut named = Vec::new();
    T::schemas(&mut named);
    let named: Map<String, Value> = named.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    let named = Value::Object(named);
    let schema = json!(T::schema());
    let least_body = least(&schema, &named);
    assert_eq!(wrong::<T>(&least_body), [], "{}: {least_body}", T::name());
    let required = strings(&schema["required"]);
    for (name, member) in schema["properties"].as_object().unwrap() {
        let at = format!("/{name}");
        let with = |value: Option<Value>| {
            let mut body = least_body.clone();
            body.as_object_mut().unwrap().remove(name);
            body.as_object_mut()
                .unwrap()
                .extend(value.map(|value| (name.clone(), value)));
            wrong::<T>(&body)
        };
        let only = |code| vec![(at.clone(), code)];
        let if_needed = |code| {
            if required.contains(&name.as_str()) {
                only(code)
            } else {
                vec![]
            }
        };
        assert_eq!(with(None), if_needed("required"), "{at}");
        assert_eq!(with(Some(Value::Null)), if_needed("wrong_type"), "{at}");
        assert_eq!(with(Some(least(member, &named))), [], "{at}");
        assert_eq!(with(Some(json!(1.5))), only("wrong_type"), "{at}");
        assert_eq!(
            with(Some(json!([[["张三"]]]))).first().map(|(_, code)| *code),
            Some("wrong_type"),
            "{at}"
        );
    }
    T::name()
}

#[test]
fn the_schema_of_every_body_is_as_strict_as_the_code() {
    let checked = BTreeSet::from([
        agrees::<NewOrderBody>(),
        agrees::<RecipientBody>(),
        agrees::<ReasonBody>(),
        agrees::<print_queue::ClaimBody>(),
        agrees::<print_queue::OperatorBody>(),
        agrees::<print_queue::ReprintBody>(),
        agrees::<all_orders::SearchBody>(),
        agrees::<shipment::ResolutionBody>(),
        agrees::<by_hand::ShippedBody>(),
        agrees::<by_hand::MarkBody>(),
        agrees::<by_hand::CourierBody>(),
        agrees::<holds::HoldBody>(),
        agrees::<purges::PurgeBody>(),
        agrees::<subject_requests::NewRequestBody>(),
        agrees::<breach::BreachBody>(),
        agrees::<keys::NewKeyBody>(),
    ]);
    let document = json!(ApiDoc::openapi());
    let operations = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values());
    let bodies = operations
        .filter_map(|operation| operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str());
    let documented: BTreeSet<&str> = bodies.map(|reference| reference.rsplit('/').next().unwrap()).collect();
    let checked: BTreeSet<&str> = checked.iter().map(|name| &**name).collect();
    assert_eq!(checked, documented);
}
