//! An order as it is answered: the contract's object, and who may see how much of it. The recipient is masked for
//! everybody. These shapes hold what was exposed for one answer: they have no `Debug`, and must not be kept or logged.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::records::order_view::{OrderView, PersonalRecordView};
use crate::domain::contact::Recipient;
use crate::domain::shipment::Attempt;
use crate::privacy::mask;
use crate::store::orders::ItemRow;

/// Who an answer is for; decides how much of an order it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The client whose order it is: the tracking number is masked.
    Client,
    /// Operators: the whole tracking number and our booking reference.
    Ops,
    /// The print floor: the whole tracking number and the photo references.
    Floor,
}

/// An order.
#[derive(Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderBody {
    /// Made by this service; sorts by the time of placing.
    id: String,
    /// The client's own.
    reference: String,
    /// `draft`, `placed`, `printing`, `printed`, `shipped`, `delivered`, `returned`, `lost` or `cancelled`.
    status: &'static str,
    /// Masked; `null` once purged, and while the keys cannot be had.
    #[schema(required)]
    recipient: Option<MaskedBody>,
    items: Vec<ItemBody>,
    /// A decimal, never a float.
    #[schema(example = "12.90")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "CNY")]
    currency: &'static str,
    courier: String,
    /// The current parcel; `null` before the order is printed.
    #[schema(required)]
    shipment: Option<ShipmentBody>,
    /// Whether the recipient is under 18.
    minor: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    #[schema(required)]
    ended_at: Option<DateTime<Utc>>,
    /// When the recipient is destroyed.
    #[schema(required)]
    purge_due_at: Option<DateTime<Utc>>,
    /// When the recipient was destroyed.
    #[schema(required)]
    purged_at: Option<DateTime<Utc>>,
    /// Whether a hold stops the purge.
    held: bool,
    /// Only where the person asked to be forgotten, or withdrew consent: since when nothing but the delivery goes on. The
    /// order is purged as soon as it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    restricted_at: Option<DateTime<Utc>>,
}

/// A recipient as everybody may see it.
#[derive(Serialize, ToSchema)]
#[schema(as = MaskedRecipient)]
struct MaskedBody {
    #[schema(example = "张*")]
    name: String,
    #[schema(example = "138******00")]
    phone: String,
    #[schema(example = "广东省深圳市南山区")]
    region: String,
}

/// One line of an order.
#[derive(Serialize, ToSchema)]
#[schema(as = Item)]
struct ItemBody {
    /// A code of the catalogue.
    #[schema(example = "cn-1in")]
    photo_size: String,
    copies: i16,
    sheets: i16,
    /// The photo's reference, for the print floor alone, where the order came with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    photo: Option<String>,
}

/// The current booking attempt of an order's parcel.
#[derive(Serialize, ToSchema)]
#[schema(as = Shipment)]
struct ShipmentBody {
    /// `pending`, `booking`, `unknown`, `booked`, `failed` or `cancelled`.
    state: &'static str,
    courier: String,
    /// Masked for clients; whole for operators and the floor; `null` while there is none, and once purged.
    #[schema(required)]
    tracking_no: Option<String>,
    /// Our own name for the parcel at the courier; for operators alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    booking_reference: Option<String>,
    /// `accepted`, `picked_up`, `in_transit`, `out_for_delivery`, `delivered`, `exception`, `returning`, `returned`,
    /// `rejected` or `lost`.
    #[schema(required)]
    tracking_status: Option<&'static str>,
    /// An end that only an unsigned push reported and that the courier has yet to confirm; for operators alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reported: Option<EndReportedBody>,
    #[schema(required)]
    booked_at: Option<DateTime<Utc>>,
    /// How many bookings were begun for this order.
    attempts: u8,
    /// Carrier, service and price, where the courier offers a choice; for operators alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// A code, where the last try failed.
    #[schema(required)]
    last_error: Option<String>,
}

/// An end that waits to be confirmed.
#[derive(Serialize, ToSchema)]
#[schema(as = EndReported)]
struct EndReportedBody {
    /// `delivered`, `returned` or `lost`.
    status: &'static str,
    at: DateTime<Utc>,
}

impl OrderBody {
    /// The order as `audience` may see it.
    pub fn of(view: &OrderView, audience: Audience) -> Self {
        let order = &view.order;
        Self {
            id: order.id.to_string(),
            reference: order.reference.clone(),
            status: order.status.as_str(),
            recipient: recipient_of(view).map(MaskedBody::from),
            items: view
                .items
                .iter()
                .map(|item| ItemBody::of(view, item, audience))
                .collect(),
            amount: order.amount.amount(),
            currency: order.amount.currency().code(),
            courier: order.courier.clone(),
            shipment: view
                .shipment
                .as_ref()
                .map(|attempt| ShipmentBody::of(view, attempt, audience)),
            minor: order.minor,
            created_at: order.created_at.into(),
            updated_at: order.updated_at.into(),
            ended_at: order.ended_at.map(Into::into),
            purge_due_at: order.purge_due_at.map(Into::into),
            purged_at: order.purged_at.map(Into::into),
            held: view.held,
            restricted_at: order.restricted_at.map(Into::into),
        }
    }

    /// Where the order is found.
    pub fn location(&self) -> String {
        format!("/v1/orders/{}", self.id)
    }
}

fn recipient_of(view: &OrderView) -> Option<&Recipient> {
    match &view.person {
        PersonalRecordView::Known(person) => Some(&person.recipient),
        PersonalRecordView::Purged | PersonalRecordView::Unreadable | PersonalRecordView::Unavailable => None,
    }
}

impl From<&Recipient> for MaskedBody {
    fn from(recipient: &Recipient) -> Self {
        let masked = recipient.masked();
        Self {
            name: masked.name,
            phone: masked.phone,
            region: masked.region,
        }
    }
}

impl ItemBody {
    fn of(view: &OrderView, item: &ItemRow, audience: Audience) -> Self {
        let photo = match audience {
            Audience::Floor => view.photo(item.line).map(|photo| photo.expose().clone()),
            Audience::Client | Audience::Ops => None,
        };
        Self {
            photo_size: item.photo_size.clone(),
            copies: item.copies,
            sheets: item.sheets,
            photo,
        }
    }
}

impl ShipmentBody {
    fn of(view: &OrderView, attempt: &Attempt, audience: Audience) -> Self {
        let tracking_no = view.tracking_no().map(|number| match audience {
            Audience::Client => mask::tracking(number.expose()),
            Audience::Ops | Audience::Floor => number.expose().clone(),
        });
        Self {
            state: attempt.state.as_str(),
            courier: attempt.courier.clone(),
            tracking_no,
            booking_reference: (audience == Audience::Ops).then(|| attempt.reference.to_string()),
            tracking_status: attempt.progress.map(|progress| progress.status.as_str()),
            end_reported: attempt
                .end_reported
                .filter(|_| audience == Audience::Ops)
                .map(|end| EndReportedBody {
                    status: end.status.as_str(),
                    at: end.at.into(),
                }),
            booked_at: attempt.booked_at.map(Into::into),
            attempts: attempt.number,
            service: attempt.service.clone().filter(|_| audience == Audience::Ops),
            last_error: attempt.last_error.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
