//! What SF pushes: believed by its token, read in three styles, acknowledged in the same.

use proptest::prelude::*;
use serde_json::json;

use super::{NEXT_TOKEN, TOKEN, a_reference, made, now, settings};
use crate::couriers::sf::{Settings, Sf};
use crate::couriers::{Courier, CourierEvent, News, WebhookAnswer, WebhookError, WebhookOutcome, WebhookRequest};
use crate::domain::shipment::TrackingStatus;
use crate::privacy::Pii;

fn request<'a>(body: &'a [u8], token: Option<&'a str>) -> WebhookRequest<'a> {
    WebhookRequest {
        headers: &[],
        body,
        token,
        peer: None,
        now: now(),
        received_at: now(),
    }
}

fn sf() -> Sf {
    made(settings("http://127.0.0.1:9"))
}

fn read(body: &str) -> Result<Vec<CourierEvent>, WebhookError> {
    sf().read_webhook(&request(body.as_bytes(), Some(TOKEN)))
}

fn answer(body: &str, outcome: WebhookOutcome) -> WebhookAnswer {
    sf().acknowledge(&request(body.as_bytes(), Some(TOKEN)), outcome)
}

fn route_json(reference: &str) -> String {
    json!({"Body": {"WaybillRoute": [
        {"mailno": "SF7444400031887", "acceptAddress": "郑州市", "reasonName": "", "orderid": reference,
         "acceptTime": "2020-05-11 17:56:54", "remark": "快件到达 【郑州园博中转场】", "opCode": "31", "id": "158918741457126",
         "reasonCode": ""},
        {"mailno": "SF7444400031887", "acceptAddress": "深圳市", "reasonName": "", "orderid": reference,
         "acceptTime": "2020-05-11 16:56:54", "remark": "顺丰速运 已收取快件", "opCode": "50", "id": 158918741444476_u64,
         "reasonCode": null},
    ]}})
    .to_string()
}

fn route_xml(reference: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Request service=\"RoutePushService\" lang=\"zh-CN\"><Body>\
         <WaybillRoute id=\"1\" mailno=\"SF7444400031887\" acceptTime=\"2020-05-11 16:56:54\" acceptAddress=\"深圳市\" \
         remark=\"已签收 &amp; 感谢 &#24352;\" opCode=\"80\" orderid=\"{reference}\" firstStatusCode=\"4\"/>\
         <WaybillRoute id='2' mailno='SF7444400031887' acceptTime='2020-05-11 15:56:54' opCode='44' orderid='{reference}'>\
         </WaybillRoute></Body></Request>"
    )
}

fn form(xml: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("content", xml)
        .finish()
}

fn moved(events: &[CourierEvent]) -> Vec<TrackingStatus> {
    let status = |event: &CourierEvent| match event.news {
        News::Moved(status) => status,
        other => panic!("{other:?}"),
    };
    events.iter().map(status).collect()
}

#[test]
fn routes_are_read_from_json_oldest_first_in_beijing_time() {
    let reference = a_reference();
    let events = read(&route_json(reference.as_str())).unwrap();
    assert_eq!(moved(&events), [TrackingStatus::PickedUp, TrackingStatus::InTransit]);
    let event = &events[0];
    assert_eq!((event.reference.as_ref(), &*event.code), (Some(&reference), "50"));
    assert_eq!(event.tracking_no, Some(Pii::new("SF7444400031887".to_owned())));
    assert_eq!(event.at, "2020-05-11T08:56:54Z".parse().unwrap());
    assert_eq!(event.remark, Some(Pii::new("顺丰速运 已收取快件".to_owned())));
    // One element alone, a foreign order id, members in other cases.
    let one = json!({"body": {"waybillRoute": {"mailNo": 100_000_000_001_u64, "orderId": "OTHER", "opCode": 80,
        "acceptTime": "soon"}}});
    let events = read(&one.to_string()).unwrap();
    assert_eq!((events[0].reference.as_ref(), events[0].at), (None, now()));
    assert_eq!(moved(&events), [TrackingStatus::Delivered]);
}

#[test]
fn routes_are_read_from_xml_by_itself_or_in_a_form_however_often_encoded() {
    let reference = a_reference();
    let xml = route_xml(reference.as_str());
    let once = form(&xml);
    let twice = form(once.strip_prefix("content=").unwrap());
    for body in [
        xml.clone(),
        once,
        twice,
        format!("content={xml}"),
        format!("\u{feff}{xml}"),
    ] {
        let events = read(&body).unwrap();
        assert_eq!(
            moved(&events),
            [TrackingStatus::OutForDelivery, TrackingStatus::Delivered]
        );
        assert_eq!(events[1].reference.as_ref(), Some(&reference));
        assert_eq!(events[1].remark, Some(Pii::new("已签收 & 感谢 张".to_owned())));
    }
}

#[test]
fn routes_are_read_from_xml_whose_members_are_elements() {
    let reference = a_reference();
    let xml = format!(
        "<Request service=\"RoutePushService\" lang=\"zh-CN\"><Body>\
         <WaybillRoute id=\"7\">\n<mailno>SF1000000000000</mailno><orderid> {reference} </orderid>\
         <acceptTime>2026-11-23 17:00:00</acceptTime><remark>已签收 &amp; <![CDATA[感谢]]>&#32;张</remark><opCode>80</opCode>\
         <reasonCode/></WaybillRoute>\
         <WaybillRoute mailno=\"SF1000000000000\" orderid=\"{reference}\" acceptTime=\"2026-11-23 18:00:00\" opCode=\"44\"/>\
         <WaybillRoute><mailno>SF1000000000001</mailno><opCode>54</opCode><acceptTime>2026-11-23 19:00:00</acceptTime>\
         </WaybillRoute></Body></Request>"
    );
    let events = read(&xml).unwrap();
    let expected = [
        TrackingStatus::Delivered,
        TrackingStatus::OutForDelivery,
        TrackingStatus::PickedUp,
    ];
    assert_eq!(moved(&events), expected);
    assert_eq!(events[0].reference.as_ref(), Some(&reference));
    assert_eq!(events[0].remark, Some(Pii::new("已签收 & 感谢 张".to_owned())));
    assert_eq!((&events[2].reference, &events[2].remark), (&None, &None));
}

#[test]
fn a_push_is_read_though_a_byte_is_no_character_and_from_a_form_with_another_name() {
    let reference = a_reference();
    let whole = route_json(reference.as_str());
    let at = whole.find("快件到达").unwrap();
    let mut bytes = whole.clone().into_bytes();
    bytes[at] = 0xFF;
    let events = sf().read_webhook(&request(&bytes, Some(TOKEN))).unwrap();
    assert_eq!(moved(&events), [TrackingStatus::PickedUp, TrackingStatus::InTransit]);
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("partnerID", "X")
        .append_pair("msgData", &whole)
        .finish();
    assert_eq!(read(&form).unwrap(), read(&whole).unwrap());
}

#[test]
fn the_state_of_orders_is_read_and_calls_a_parcel_off() {
    let reference = a_reference();
    let push = |code: &str| {
        json!({"requestId": "1", "timestamp": 1_589_187_414_000_i64, "orderState": [
            {"orderNo": reference.as_str(), "waybillNo": "SF7444400031887", "orderStateCode": code,
             "orderStateDesc": "客户已取消", "empCode": "1", "empPhone": "13800138000", "netCode": "755A",
             "lastTime": "2020-05-11 16:56:54"}]})
        .to_string()
    };
    for (code, news) in [
        ("00", News::CalledOff),
        ("00-2000", News::CalledOff),
        ("00-40045-1000", News::CalledOff),
        ("04-40037", News::Moved(TrackingStatus::Accepted)),
        ("05-40003", News::Moved(TrackingStatus::PickedUp)),
        ("04-40002-40021", News::Unchanged),
    ] {
        let events = read(&push(code)).unwrap();
        assert_eq!((events[0].news, &*events[0].code), (news, code));
        assert_eq!(events[0].reference.as_ref(), Some(&reference));
        assert_eq!(events[0].at, "2020-05-11T08:56:54Z".parse().unwrap());
    }
}

#[test]
fn a_parcel_goes_on_under_a_number_that_only_the_remark_names() {
    let body = json!({"Body": {"WaybillRoute": [{"mailno": "SF7444400031887", "orderid": a_reference().as_str(),
        "acceptTime": "2020-05-11 16:56:54", "remark": "快件已退回/转寄,新单号为: SF7444400031999", "opCode": "648"}]}});
    let events = read(&body.to_string()).unwrap();
    assert_eq!(moved(&events), [TrackingStatus::Returning]);
    assert_eq!(events[0].new_tracking_no, Some(Pii::new("SF7444400031999".to_owned())));
}

#[test]
fn a_push_is_believed_by_any_of_the_tokens_and_by_nothing_else() {
    let body = route_json(a_reference().as_str());
    let judged = |courier: &Sf, token| courier.read_webhook(&request(body.as_bytes(), token)).map(drop);
    for token in [TOKEN, NEXT_TOKEN] {
        assert_eq!(judged(&sf(), Some(token)), Ok(()));
    }
    for wrong in [
        None,
        Some(""),
        Some("first"),
        Some("first-push-token-0123456780"),
        Some("FIRST-PUSH-TOKEN-0123456789"),
    ] {
        assert_eq!(judged(&sf(), wrong), Err(WebhookError::NotAuthentic), "{wrong:?}");
    }
    for tokens in [vec![], vec![crate::privacy::Secret::new(String::new())]] {
        let none = made(Settings {
            push_tokens: tokens,
            ..settings("http://127.0.0.1:9")
        });
        for token in [None, Some(""), Some(TOKEN)] {
            assert_eq!(judged(&none, token), Err(WebhookError::NotAuthentic));
        }
    }
    assert!(!sf().signs_webhooks());
}

#[test]
fn where_addresses_are_set_a_push_must_come_from_one_of_them_besides() {
    let courier = made(Settings {
        push_addresses: vec!["203.0.113.0/24".parse().unwrap()],
        ..settings("http://127.0.0.1:9")
    });
    let body = route_json(a_reference().as_str());
    for (peer, believed) in [
        (Some("203.0.113.9"), true),
        (Some("::ffff:203.0.113.9"), true),
        (Some("203.0.114.9"), false),
        (None, false),
    ] {
        let by = |token| WebhookRequest {
            peer: peer.map(|peer: &str| peer.parse().unwrap()),
            ..request(body.as_bytes(), Some(token))
        };
        assert_eq!(courier.read_webhook(&by(TOKEN)).is_ok(), believed, "{peer:?}");
        assert_eq!(courier.read_webhook(&by("wrong")), Err(WebhookError::NotAuthentic));
    }
}

#[test]
fn a_push_is_acknowledged_in_its_own_style_as_taken_or_as_failed() {
    let (json, xml) = (route_json("x"), route_xml("x"));
    let state = r#"{"orderState":[]}"#;
    let ok_xml = r#"<Response service="RoutePushService"><Head>OK</Head></Response>"#;
    for (body, taken, failed) in [
        (
            json.as_str(),
            r#"{"return_code":"0000","return_msg":"成功"}"#,
            r#"{"return_code":"1000","return_msg":"系统异常"}"#,
        ),
        (
            "nonsense",
            r#"{"return_code":"0000","return_msg":"成功"}"#,
            r#"{"return_code":"1000","return_msg":"系统异常"}"#,
        ),
        (&xml, ok_xml, "<Head>ERR</Head><ERROR code=\"4001\">"),
        (&form(&xml), ok_xml, "<Head>ERR</Head><ERROR code=\"4001\">"),
        (state, r#""return_code":"0000""#, r#""return_code":"1000""#),
    ] {
        let (accepted, refused) = (
            answer(body, WebhookOutcome::Accepted),
            answer(body, WebhookOutcome::Failed),
        );
        assert!(accepted.body.contains(taken), "{}", accepted.body);
        assert!(refused.body.contains(failed), "{}", refused.body);
        assert_eq!((accepted.status, refused.status), (200, 200));
        assert_eq!(
            accepted.content_type.contains("xml"),
            body.contains("WaybillRoute") && !body.starts_with('{')
        );
    }
    let state = answer(state, WebhookOutcome::Accepted).body;
    assert!(
        serde_json::from_str::<serde_json::Value>(&state).is_ok_and(|ack| ack["code"] == "OK" && ack["status"] == "OK")
    );
}

#[test]
fn what_is_no_push_is_authentic_and_not_understood() {
    let xml = route_xml("x");
    for body in [
        "",
        "x",
        "{}",
        "[",
        "<Request>",
        "content=",
        "a=b",
        r#"{"Body":{}}"#,
        &xml[..xml.len() - 30],
    ] {
        assert_eq!(read(body), Err(WebhookError::Malformed), "{body}");
    }
    // Nobody's news.
    assert_eq!(
        read(r#"{"Body":{"WaybillRoute":[{"opCode":"80"},7,null]}}"#),
        Ok(Vec::new())
    );
    assert_eq!(read(r#"{"Body":{"WaybillRoute":[]}}"#), Ok(Vec::new()));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_none_are_read_without_a_token(
        which in 0..4_usize, cut in 0..600_usize, flips in prop::collection::vec((0..600_usize, any::<u8>()), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let reference = a_reference();
        let xml = route_xml(reference.as_str());
        let state = json!({"orderState": [{"orderNo": reference.as_str(), "orderStateCode": "00", "lastTime": 1}]});
        let mut body = match which {
            0 => route_json(reference.as_str()).into_bytes(),
            1 => form(&xml).into_bytes(),
            2 => xml.into_bytes(),
            _ => state.to_string().into_bytes(),
        };
        for (at, byte) in flips {
            if let Some(known) = body.get_mut(at) {
                *known = byte;
            }
        }
        body.truncate(cut.max(1));
        body.extend(noise);
        let courier = sf();
        let read = courier.read_webhook(&request(&body, Some(TOKEN)));
        prop_assert!(read != Err(WebhookError::NotAuthentic));
        let unread = courier.read_webhook(&request(&body, Some("guess")));
        prop_assert!(unread == Err(WebhookError::NotAuthentic));
        for outcome in [WebhookOutcome::Accepted, WebhookOutcome::Failed] {
            prop_assert!(courier.acknowledge(&request(&body, None), outcome).status == 200);
        }
    }
}
