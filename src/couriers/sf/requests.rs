//! What this service asks of SF's gateway, in SF's words. Holds persons: made for one request each.

use serde::Serialize;

use crate::couriers::{BookingRequest, ParcelRef};
use crate::domain::contact::{Address, Phone};
use crate::domain::ids::BookingReference;

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

/// Asks for the order of that id.
impl<'a> From<&'a str> for SearchOrder<'a> {
    fn from(order_id: &'a str) -> Self {
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

impl<'a> From<&'a BookingReference> for CancelOrder<'a> {
    fn from(reference: &'a BookingReference) -> Self {
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

/// Asks for parcels that are all known by waybill, or all by reference alone.
impl<'a> From<&[&'a ParcelRef]> for SearchRoutes<'a> {
    fn from(parcels: &[&'a ParcelRef]) -> Self {
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
    pub(super) fn new(waybill: &'a str, partner_id: &str) -> Self {
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
