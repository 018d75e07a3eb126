//! Which attempt is meant: by our reference, the courier's own id or a tracking number, which must not contradict each
//! other.

use crate::app::records::personal_record;
use crate::app::{App, AppError};
use crate::couriers::{Booked, CourierEvent};
use crate::domain::shipment::Attempt;
use crate::privacy::Pii;
use crate::store::shipments::{self, TrackingRow};
use crate::store::{AnyConn, StoreError, orders};
use crate::vault::keyring::{Keyring, Kind};

/// The attempt that an event is about: by our reference, else by the courier's id of the booking, else by courier and
/// tracking number (of several the newest whose order has not ended, for numbers repeat). A reference that the rest of
/// the event contradicts does not count: with some couriers nobody signed it.
///
/// # Errors
/// Keys or store, or a corrupt row.
pub(crate) fn find_attempt(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    courier: &str,
    event: &CourierEvent,
) -> Result<Option<Attempt>, AppError> {
    if let Some(reference) = &event.reference {
        match shipments::by_reference(conn, reference)?.filter(|attempt| attempt.courier == courier) {
            None => return Ok(None),
            Some(attempt) if agrees(conn, ring, app, &attempt, event)? => return Ok(Some(attempt)),
            Some(attempt) => tracing::warn!(
                order = %attempt.order_id,
                courier,
                code = event.code,
                "Booking reference contradicts the tracking number; reference ignored"
            ),
        }
    }
    if let Some(provider_ref) = &event.provider_ref
        && let Some(attempt) = shipments::by_provider_ref(conn, courier, provider_ref)?
    {
        if holder(conn, ring, &attempt, event.tracking_no.as_ref())? != Holder::Another {
            return Ok(Some(attempt));
        }
        tracing::error!(
            order = %attempt.order_id,
            courier,
            code = event.code,
            "Courier event names the booking of one parcel and the tracking number of another; event ignored"
        );
        return Ok(None);
    }
    let Some(number) = &event.tracking_no else {
        return Ok(None);
    };
    let fingerprints = ring.fingerprints(
        &personal_record::living_epochs(conn, ring)?,
        Kind::Tracking,
        number.expose(),
    );
    let mut ended = None;
    for row in shipments::by_tracking(conn, &fingerprints, Some(courier))? {
        let corrupt = || StoreError::corrupt("order_tracking", &row.id);
        let order_id = row.order_id.parse().map_err(|_| corrupt())?;
        let number = u8::try_from(row.attempt).map_err(|_| corrupt())?;
        let Some(attempt) = shipments::of_order(conn, order_id, number)? else {
            continue;
        };
        match orders::find(conn, order_id)? {
            Some(order) if !order.status.is_ended() => return Ok(Some(attempt)),
            Some(_) if ended.is_none() => ended = Some(attempt),
            _ => {}
        }
    }
    Ok(ended)
}

/// Whether an event under an attempt's reference can be about that attempt: where it names the booking or the parcel a
/// second time, both must be the same. A number decides where it is known at all, then the courier's own id; another
/// number than the attempt's is another parcel.
fn agrees(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    attempt: &Attempt,
    event: &CourierEvent,
) -> Result<bool, AppError> {
    match holder(conn, ring, attempt, event.tracking_no.as_ref())? {
        Holder::This => {
            return match &event.provider_ref {
                Some(named) => Ok(!is_anothers(conn, attempt, named)?),
                None => Ok(true),
            };
        }
        Holder::Another => return Ok(false),
        Holder::Nobody => {}
    }
    if let Some(named) = &event.provider_ref {
        if let Some(known) = &attempt.provider_ref {
            let same = app.couriers.get(&attempt.courier);
            return Ok(same.map_or(known == named, |courier| courier.same_booking(known, named)));
        }
        if is_anothers(conn, attempt, named)? {
            return Ok(false);
        }
    }
    Ok(event.tracking_no.is_none() || !shipments::has_tracking(conn, attempt)?)
}

/// Whose a tracking number is, as far as it is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The attempt that was asked for.
    This,
    /// Another attempt with the same courier.
    Another,
    /// Not known, or there is no number.
    Nobody,
}

/// Who has a tracking number: this attempt, or another one with its courier.
pub(crate) fn holder(
    conn: &mut AnyConn,
    ring: &Keyring,
    attempt: &Attempt,
    number: Option<&Pii<String>>,
) -> Result<Holder, AppError> {
    let Some(number) = number else {
        return Ok(Holder::Nobody);
    };
    let fingerprints = ring.fingerprints(
        &personal_record::living_epochs(conn, ring)?,
        Kind::Tracking,
        number.expose(),
    );
    let rows = shipments::by_tracking(conn, &fingerprints, Some(&attempt.courier))?;
    let order = attempt.order_id.to_string();
    let is_this = |row: &TrackingRow| row.order_id == order && row.attempt == i16::from(attempt.number);
    Ok(match rows.iter().any(is_this) {
        true => Holder::This,
        false if rows.is_empty() => Holder::Nobody,
        false => Holder::Another,
    })
}

/// Whether the courier's own id of a booking is that of another attempt.
fn is_anothers(conn: &mut AnyConn, attempt: &Attempt, provider_ref: &str) -> Result<bool, AppError> {
    let known = shipments::by_provider_ref(conn, &attempt.courier, provider_ref)?;
    Ok(known.is_some_and(|known| known.id != attempt.id))
}

/// Whether an answer names a parcel that is another attempt's: the courier mixed its answers up.
///
/// # Errors
/// Keys or store.
pub(crate) fn is_foreign(
    conn: &mut AnyConn,
    ring: &Keyring,
    attempt: &Attempt,
    booked: &Booked,
) -> Result<bool, AppError> {
    if holder(conn, ring, attempt, booked.tracking_no.as_ref())? == Holder::Another {
        return Ok(true);
    }
    match &booked.provider_ref {
        Some(provider_ref) => is_anothers(conn, attempt, provider_ref),
        None => Ok(false),
    }
}
