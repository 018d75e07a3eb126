//! The courier's waybill: fetched once, kept sealed with the order's other personal data, and gone with it.
//!
//! The floor prints one for every parcel, every day: that is its work and no disclosure to anybody new, so it is not
//! audited as a reveal is; the audit log would drown in it.

use crate::app::conflict::Conflict;
use crate::app::parcels::booking_attempts;
use crate::app::parcels::circuit_breaker::{self, Permit};
use crate::app::records::personal_record;
use crate::app::{App, AppError};
use crate::couriers::{Label, ParcelRef};
use crate::domain::circuit_breaker::Call;
use crate::domain::ids::OrderId;
use crate::domain::shipment::{Attempt, ShipmentState};
use crate::privacy::Pii;
use crate::store::labels::{self, LabelRow};
use crate::store::{AnyConn, orders};
use crate::vault::VaultError;
use crate::vault::keyring::{Keyring, Table};

/// The largest label that is kept, in bytes: sealed and opened whole, in memory.
pub const LARGEST: usize = 10 * 1024 * 1024;

/// Where a label's sealed value belongs.
pub(crate) fn place(order: &str, attempt: i16) -> String {
    format!("{order}/{attempt}")
}

/// What the first look found.
enum Found {
    Kept(Label),
    Ask(Box<(Attempt, ParcelRef)>),
}

/// The label of an order's booked parcel.
///
/// # Errors
/// Not found, 410 where the person is gone, 409 `not_booked`, 404 `no_label` where the courier gives none, the courier
/// gives no answer; store or vault.
pub async fn label(app: &App, id: OrderId) -> Result<Label, AppError> {
    let found = app.read_sealed(move |conn, ring| look(conn, ring, id)).await?;
    let (attempt, parcel) = match found {
        Found::Kept(label) => return Ok(label),
        Found::Ask(ask) => *ask,
    };
    let trouble = |code: &str| AppError::Courier {
        courier: attempt.courier.clone(),
        code: code.to_owned(),
    };
    let courier = app
        .couriers
        .get(&attempt.courier)
        .ok_or_else(|| trouble(circuit_breaker::NOT_CONFIGURED))?;
    if let Permit::Wait { .. } = circuit_breaker::permit(app, courier, Call::Ask).await? {
        return Err(trouble("courier_paused"));
    }
    let label = match circuit_breaker::call_and_record(app, courier, courier.label(&parcel)).await {
        Ok(Some(label)) => label,
        Ok(None) => return Err(AppError::NoLabel),
        Err(error) => return Err(trouble(&error.code)),
    };
    if label.document.expose().len() > LARGEST {
        return Err(trouble("label_too_large"));
    }
    let label = Label {
        content_type: media_type(&label.content_type).to_owned(),
        ..label
    };
    keep(app, &attempt, label.clone()).await?;
    Ok(label)
}

fn look(conn: &mut AnyConn, ring: &Keyring, id: OrderId) -> Result<Found, AppError> {
    let order = orders::find(conn, id)?.ok_or(AppError::NotFound)?;
    if order.purge_decided_at.is_some() {
        return Err(AppError::Gone("purged"));
    }
    let attempt = booking_attempts::current(conn, &order)?.filter(|attempt| attempt.state == ShipmentState::Booked);
    let attempt = attempt.ok_or(AppError::Conflict(Conflict::NotBooked))?;
    if let Some(row) = labels::find(conn, id, attempt.number)? {
        let place = place(&row.order_id, row.attempt);
        let document = match ring.open(row.epoch, Table::OrderLabel, &place, &row.sealed) {
            Err(VaultError::KeyGone) if ring.is_older_than(row.epoch) => {
                return Err(AppError::NeedsEpoch(row.epoch));
            }
            Err(VaultError::KeyGone) => return Err(AppError::Gone("unreadable")),
            opened => opened?,
        };
        return Ok(Found::Kept(Label {
            content_type: row.content_type,
            document: Pii::new(document.to_vec()),
        }));
    }
    if order.is_withdrawn() {
        return Err(AppError::Conflict(Conflict::ConsentWithdrawn));
    }
    let person = personal_record::find(conn, ring, id)?;
    let parcel = booking_attempts::parcel_ref(
        &attempt,
        person.tracking_of(attempt.number).cloned(),
        Some(person.recipient.phone),
    );
    Ok(Found::Ask(Box::new((attempt, parcel))))
}

/// Keeps a label, unless the parcel it is for is not the order's any more.
async fn keep(app: &App, attempt: &Attempt, label: Label) -> Result<(), AppError> {
    let (clock, id, order, number) = (app.clock.clone(), attempt.id, attempt.order_id, attempt.number);
    app.write_sealed(move |conn, ring| {
        personal_record::lock(conn, order)?;
        match crate::store::shipments::find(conn, id)? {
            Some(attempt) if attempt.state == ShipmentState::Booked => {}
            _ => return Err(AppError::Conflict(Conflict::NotBooked)),
        }
        let epoch = personal_record::current_epoch(conn, ring, clock.business_now())?;
        let (order_id, attempt) = (order.to_string(), i16::from(number));
        let sealed = ring.seal(
            epoch,
            Table::OrderLabel,
            &place(&order_id, attempt),
            label.document.expose(),
        )?;
        let row = LabelRow {
            order_id,
            attempt,
            content_type: label.content_type.clone(),
            epoch,
            sealed,
        };
        labels::add_in_tx(conn, row)?;
        Ok(())
    })
    .await
}

/// The document's media type where it is one of those that labels come in; the courier's word does not choose how a
/// browser treats what it sent.
fn media_type(given: &str) -> &'static str {
    const KNOWN: [&str; 5] = [
        "application/pdf",
        "image/png",
        "image/jpeg",
        "application/zpl",
        "application/epl2",
    ];
    let given = given.split(';').next().unwrap_or_default().trim();
    KNOWN
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(given))
        .unwrap_or("application/octet-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_never_a_page() {
        assert_eq!(media_type("application/PDF; qs=0.1"), "application/pdf");
        assert_eq!(media_type("image/png"), "image/png");
        for other in ["text/html", "image/svg+xml", "", "application/pdf\r\nx: y"] {
            assert_eq!(media_type(other), "application/octet-stream", "{other}");
        }
    }
}
