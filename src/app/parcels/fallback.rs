//! Who else may carry an order: couriers that handle personal data outside the country need consent for it, and a courier
//! that refuses for good or stays paused hands its orders on, in the configured order. Never while an outcome is unknown.

use crate::app::parcels::booking_attempts::{Now, new_attempt, note_event};
use crate::app::records::personal_record;
use crate::app::{App, AppError};
use crate::domain::actor::Actor;
use crate::domain::circuit_breaker::State;
use crate::domain::contact::{Address, Country};
use crate::domain::invalid::{FieldError, Invalid};
use crate::domain::order::{Order, OrderStatus};
use crate::domain::shipment::Attempt;
use crate::domain::timeline::TimelineKind;
use crate::store::shipments::{self};
use crate::store::{AnyConn, courier_state};
use crate::vault::keyring::Keyring;

/// The code of a refusal for want of consent.
pub(crate) const CONSENT: &str = "cross_border_consent_required";

/// Whether a courier may be told who gets this parcel: data of recipients in mainland China leaves the country only with
/// their separate consent. A courier that is not configured is told nothing.
pub(crate) fn may_carry(app: &App, courier: &str, to: &Address, cross_border: bool) -> bool {
    let abroad = app
        .couriers
        .region(courier)
        .is_some_and(|region| region != Country::CN.as_str());
    !(abroad && to.country() == Country::CN) || cross_border
}

/// The same as a refusal of a body.
///
/// # Errors
/// 422 at `pointer`.
pub(crate) fn check_consent(
    app: &App,
    courier: &str,
    to: &Address,
    cross_border: bool,
    pointer: &str,
) -> Result<(), AppError> {
    if may_carry(app, courier, to, cross_border) {
        return Ok(());
    }
    let detail = "this courier handles data outside China: it needs consent.cross_border, given with the order";
    Err(AppError::Invalid(vec![FieldError {
        pointer: pointer.to_owned(),
        invalid: Invalid::new(CONSENT, detail),
    }]))
}

/// Refuses a courier that is not configured.
///
/// # Errors
/// 422 at `/courier`.
pub(crate) fn check_configured(app: &App, courier: &str) -> Result<(), AppError> {
    if app.couriers.get(courier).is_some() {
        return Ok(());
    }
    Err(AppError::Invalid(vec![FieldError {
        pointer: "/courier".to_owned(),
        invalid: Invalid::new("unknown_courier", "must be a courier that is configured"),
    }]))
}

/// Whether an order still waits for this attempt and may be handed to somebody else: not held, not withdrawn,
/// not about to be purged.
pub(crate) fn is_open(order: &Order, attempt: &Attempt, now: Now) -> bool {
    order.status == OrderStatus::Printed
        && order.attempt == attempt.number
        && order.purge_decided_at.is_none()
        && !order.is_held(now.business)
        && !order.is_withdrawn()
}

/// Starts the next attempt with the next fallback, where there is one that was not tried and may carry the parcel; a
/// courier that is well goes before one that is paused, and for one that is `only_well` none that is paused will do.
/// `attempt` is surely not booked and closed already. `false`: nobody is left.
///
/// # Errors
/// Keys or store.
pub(crate) fn fall_back(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    order: &mut Order,
    attempt: &Attempt,
    only_well: bool,
    now: Now,
) -> Result<bool, AppError> {
    let Some(next) = next(conn, ring, app, order, only_well)? else {
        return Ok(false);
    };
    new_attempt(conn, order, &next, now)?;
    note_event(
        conn,
        order,
        TimelineKind::Fallback,
        &Actor::System,
        Some(&next),
        now.business,
    )?;
    tracing::warn!(order = %order.id, from = attempt.courier, to = next, "Order handed to a fallback courier");
    Ok(true)
}

/// Whom [`fall_back`] would go to.
///
/// # Errors
/// Keys or store.
pub(crate) fn next(
    conn: &mut AnyConn,
    ring: &Keyring,
    app: &App,
    order: &Order,
    only_well: bool,
) -> Result<Option<String>, AppError> {
    if app.settings.fallbacks.is_empty() || order.attempt >= 99 {
        return Ok(None);
    }
    let to = match personal_record::find(conn, ring, order.id) {
        Ok(person) => person.recipient.address,
        // Nobody may carry what has no address.
        Err(AppError::Gone(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let tried: Vec<String> = shipments::of_orders(conn, &[order.id])?
        .into_iter()
        .map(|attempt| attempt.courier)
        .collect();
    let mut paused = None;
    for name in &app.settings.fallbacks {
        let fit = app.couriers.get(name).is_some() && may_carry(app, name, &to, order.cross_border);
        if !fit || tried.contains(name) {
            continue;
        }
        let well = courier_state::find(conn, name)?.is_none_or(|breaker| breaker.state == State::Closed);
        if well {
            return Ok(Some(name.clone()));
        }
        paused = paused.or(Some(name.clone()));
    }
    Ok(paused.filter(|_| !only_well))
}
