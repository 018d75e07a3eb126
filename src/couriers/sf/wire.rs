//! What SF's gateway speaks, translated to and from this service's words.
//!
//! Nothing here does I/O. What SF writes is read liberally (see [`loose`](super::loose)); what counts as booked is not:
//! a parcel is ours only where the answer says so, in SF's own words for success, and names our order id.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::loose;
use crate::couriers::client::safe_code;
use crate::couriers::{BookingRequest, CancelAnswer, ParcelRef};
use crate::domain::contact::{Address, Phone};
use crate::domain::ids::BookingReference;
use crate::privacy::Pii;

const CHINESE: &str = "zh-CN";

/// `EXP_RECE_CREATE_ORDER`: what SF needs to carry a parcel, and no more. The client's own reference is not among it
/// (`custReferenceNo`): it would show on the waybill. Nothing asks for a masked waybill either, for SF masks every one it
/// prints and has withdrawn the flag (`encryptFlag`). Holds a person: made for one request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateOrder<'a> {
    language: &'static str,
    order_id: &'a str,
    cargo_details: [Cargo<'a>; 1],
    contact_info_list: [Contact<'a>; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    monthly_card: Option<&'a str>,
    /// 1: the sender pays.
    pay_method: u8,
    express_type_id: u32,
    /// 1: allocate a waybill number.
    is_gen_waybill_no: u8,
    /// 1: SF asks for it to be said.
    is_return_routelabel: u8,
    /// Kilogrammes; three decimals are what SF keeps.
    total_weight: f64,
    /// Centimetres.
    total_length: f64,
    total_width: f64,
    total_height: f64,
}

#[derive(Serialize)]
struct Cargo<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Contact<'a> {
    /// 1 sends, 2 receives.
    contact_type: u8,
    contact: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mobile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tel: Option<String>,
    country: String,
    province: &'a str,
    city: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    county: Option<&'a str>,
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_code: Option<&'a str>,
}

impl<'a> CreateOrder<'a> {
    pub(super) fn new(request: &'a BookingRequest, monthly_card: Option<&'a str>, express_type_id: u32) -> Self {
        let (length, width, height) = request.parcel.size_mm;
        let centimetres = |millimetres: u32| f64::from(millimetres) / 10.0;
        let (sender, consignee) = (&*request.sender, &request.consignee);
        Self {
            language: CHINESE,
            order_id: request.reference.as_str(),
            cargo_details: [Cargo {
                name: &request.parcel.contents,
            }],
            contact_info_list: [
                contact(
                    1,
                    &sender.name,
                    sender.company.as_deref(),
                    &sender.phone,
                    &sender.address,
                ),
                contact(2, consignee.name.expose(), None, &consignee.phone, &consignee.address),
            ],
            monthly_card,
            pay_method: 1,
            express_type_id,
            is_gen_waybill_no: 1,
            is_return_routelabel: 1,
            total_weight: f64::from(request.parcel.weight_g) / 1000.0,
            total_length: centimetres(length),
            total_width: centimetres(width),
            total_height: centimetres(height),
        }
    }
}

fn contact<'a>(
    contact_type: u8,
    name: &'a str,
    company: Option<&'a str>,
    phone: &Phone,
    address: &'a Address,
) -> Contact<'a> {
    let number = phone.national();
    // A mobile number of the mainland has eleven digits and begins with 1; landlines there begin with 0.
    let is_mobile = number.len() == 11 && number.starts_with('1') && phone.e164().starts_with("+86");
    let (mobile, tel) = if is_mobile {
        (Some(number), None)
    } else {
        (None, Some(number))
    };
    Contact {
        contact_type,
        contact: name,
        company,
        mobile,
        tel,
        // SF names its other Chinese regions by their calling codes.
        country: match address.country().as_str() {
            "HK" => "852".to_owned(),
            "MO" => "853".to_owned(),
            "TW" => "886".to_owned(),
            other => other.to_owned(),
        },
        province: address.province(),
        city: address.city(),
        county: address.district(),
        address: address.street(),
        post_code: address.postal_code(),
    }
}

/// `EXP_RECE_SEARCH_ORDER_RESP`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchOrder<'a> {
    /// 1: outgoing orders, not returns.
    search_type: &'static str,
    order_id: &'a str,
    language: &'static str,
}

impl<'a> SearchOrder<'a> {
    pub(super) fn of(order_id: &'a str) -> Self {
        Self {
            search_type: "1",
            order_id,
            language: CHINESE,
        }
    }
}

/// `EXP_RECE_UPDATE_ORDER`, to call an order off.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CancelOrder<'a> {
    /// 2: call off.
    deal_type: u8,
    language: &'static str,
    order_id: &'a str,
}

impl<'a> CancelOrder<'a> {
    pub(super) fn of(reference: &'a BookingReference) -> Self {
        Self {
            deal_type: 2,
            language: CHINESE,
            order_id: reference.as_str(),
        }
    }
}

/// `EXP_RECE_SEARCH_ROUTES`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchRoutes<'a> {
    language: &'static str,
    /// 1: by waybill; 2: by our order id.
    tracking_type: &'static str,
    tracking_number: Vec<&'a str>,
    method_type: &'static str,
    /// Last four digits of the phone numbers, without which SF says nothing of parcels that no bound card paid for.
    #[serde(skip_serializing_if = "Option::is_none")]
    check_phone_no: Option<String>,
}

impl<'a> SearchRoutes<'a> {
    /// For parcels that are all known by waybill, or all by reference alone.
    pub(super) fn of(parcels: &[&'a ParcelRef]) -> Self {
        let by_waybill = parcels.iter().all(|parcel| parcel.tracking_no.is_some());
        let number = |parcel: &&'a ParcelRef| match &parcel.tracking_no {
            Some(number) if by_waybill => number.expose().as_str(),
            _ => parcel.reference.as_str(),
        };
        let mut digits: Vec<String> = Vec::new();
        for phone in parcels.iter().filter_map(|parcel| parcel.consignee_phone.as_ref()) {
            let last = phone.last4();
            if !digits.contains(&last) {
                digits.push(last);
            }
        }
        Self {
            language: CHINESE,
            tracking_type: if by_waybill { "1" } else { "2" },
            tracking_number: parcels.iter().map(number).collect(),
            method_type: "1",
            check_phone_no: (!digits.is_empty()).then(|| digits.join(",")),
        }
    }
}

/// `COM_RECE_CLOUD_PRINT_WAYBILLS`, for one waybill as a PDF in the answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrintWaybill<'a> {
    template_code: String,
    version: &'static str,
    file_type: &'static str,
    sync: bool,
    documents: [PrintDocument<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrintDocument<'a> {
    master_waybill_no: &'a str,
}

impl<'a> PrintWaybill<'a> {
    /// On 76 x 130 mm, the size that every label printer takes.
    pub(super) fn of(waybill: &'a str, partner_id: &str) -> Self {
        Self {
            template_code: format!("fm_76130_standard_{partner_id}"),
            version: "2.0",
            file_type: "pdf",
            sync: true,
            documents: [PrintDocument {
                master_waybill_no: waybill,
            }],
        }
    }
}

/// What an answer says.
pub(super) enum Said {
    /// Yes, and this: the service's own object, `Null` where there is none.
    Yes(Value),
    /// No, with a code that may be logged.
    No(String),
}

/// Reads the envelope of an answer.
///
/// # Errors
/// A code: it is no answer, or it contradicts itself.
pub(super) fn envelope(bytes: &[u8]) -> Result<Said, &'static str> {
    let outer: Value = serde_json::from_slice(bytes).map_err(|_| "unreadable_answer")?;
    let outer = loose::opened(&outer);
    match loose::text(&outer, "apiResultCode") {
        // Taken in by the gateway, no more: the service's own answer is inside.
        Some(code) if code.eq_ignore_ascii_case("A1000") => {
            let inner = loose::member(&outer, "apiResultData").map(loose::opened);
            service_answer(&inner.unwrap_or(Cow::Owned(Value::Null)))
        }
        Some(code) => Ok(Said::No(loggable(&code))),
        None => service_answer(&outer),
    }
}

fn service_answer(inner: &Value) -> Result<Said, &'static str> {
    let code = loose::text(inner, "errorCode");
    match (loose::truth(inner, "success"), code.as_deref()) {
        (Some(true), None | Some("S0000")) => {
            let payload = ["msgData", "obj"]
                .into_iter()
                .find_map(|name| loose::member(inner, name));
            Ok(Said::Yes(
                payload.map_or(Value::Null, |value| loose::opened(value).into_owned()),
            ))
        }
        (Some(false), Some(code)) if code != "S0000" => Ok(Said::No(loggable(code))),
        (Some(_), _) => Err("contradictory_answer"),
        (None, _) => Err("unreadable_answer"),
    }
}

fn loggable(code: &str) -> String {
    safe_code(code).unwrap_or("unknown").to_owned()
}

/// What SF holds under an order id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It carries it, or will once a person has looked at the address; the number may come later.
    Carried(Option<Pii<String>>),
    /// It does not go there.
    OutOfRange(&'static str),
    /// It holds the order, and says neither that it carries it nor that it does not.
    Unsaid,
}

/// Reads an order, as booking and searching answer it.
///
/// # Errors
/// A code: it is another's order, or cannot be read.
pub(super) fn held(order: &Value, reference: &BookingReference) -> Result<Held, &'static str> {
    belongs(order, reference)?;
    let verdict = loose::text(order, "filterResult");
    if verdict.as_deref() == Some("3") {
        return Ok(Held::OutOfRange(out_of_range(loose::text(order, "remark"))));
    }
    let waybill = waybill(order)?;
    Ok(match verdict.as_deref() {
        // 2: goes there. 1: a person looks at it. 4: cannot be told yet.
        Some("1" | "2" | "4") => Held::Carried(waybill),
        _ if waybill.is_some() => Held::Carried(waybill),
        _ => Held::Unsaid,
    })
}

/// Whether an answer is about this order of ours.
///
/// # Errors
/// It names another, or none.
pub(super) fn belongs(order: &Value, reference: &BookingReference) -> Result<(), &'static str> {
    match loose::text(order, "orderId") {
        Some(id) if id == reference.as_str() => Ok(()),
        Some(_) => Err("foreign_answer"),
        None => Err("unreadable_answer"),
    }
}

/// Reads the answer to calling an order off.
///
/// # Errors
/// A code: it is about another's order, or says nothing.
pub(super) fn cancelled(answer: &Value, reference: &BookingReference) -> Result<CancelAnswer, &'static str> {
    match loose::text(answer, "resStatus").as_deref() {
        Some("2") => belongs(answer, reference).map(|()| CancelAnswer::Cancelled),
        // Order and waybill do not belong together: nothing was called off.
        Some("1") => Ok(CancelAnswer::Refused {
            code: "mismatch".to_owned(),
        }),
        _ => Err("unreadable_answer"),
    }
}

/// Why it does not go there. The digit speaks of collecting (收) and delivering (派).
fn out_of_range(remark: Option<String>) -> &'static str {
    let remark = remark.unwrap_or_default();
    let mut characters = remark.chars();
    let (first, second) = (characters.next(), characters.next());
    match first {
        _ if second.is_some_and(|c| c.is_ascii_digit()) => "out_of_range_other",
        Some('1') => "out_of_range_pickup",
        Some('2') => "out_of_range_delivery",
        _ => "out_of_range_other",
    }
}

/// The number of the parcel itself (type 1), not of a further piece or a returned receipt.
fn waybill(order: &Value) -> Result<Option<Pii<String>>, &'static str> {
    let all = loose::list(order, "waybillNoInfoList");
    let typed = |wanted: Option<&str>| {
        all.iter()
            .find(|one| loose::text(one, "waybillType").as_deref() == wanted)
    };
    let Some(main) = typed(Some("1")).or_else(|| typed(None)) else {
        return Ok(None);
    };
    match loose::text(main, "waybillNo") {
        Some(number) if is_waybill(&number) => Ok(Some(Pii::new(number))),
        Some(_) => Err("unreadable_answer"),
        None => Ok(None),
    }
}

/// Whether a text can be a waybill number.
pub(super) fn is_waybill(text: &str) -> bool {
    (6..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Where a printed waybill is.
pub(super) struct PrintedFile {
    pub(super) url: Pii<String>,
    pub(super) token: Pii<String>,
}

/// The file of that waybill: the first page, for the order of files is not kept.
pub(super) fn printed_file(answer: &Value, waybill: &str) -> Option<PrintedFile> {
    let mut files = loose::list(answer, "files");
    files.retain(|file| loose::text(file, "waybillNo").is_none_or(|number| number == waybill));
    files.sort_by_key(|file| {
        ["seqNo", "areaNo", "pageNo"].map(|name| loose::text(file, name).and_then(|number| number.parse::<u32>().ok()))
    });
    let file = files.first()?;
    Some(PrintedFile {
        url: Pii::new(loose::text(file, "url")?),
        token: Pii::new(loose::text(file, "token")?),
    })
}
