//! An erasure as the vault's journal tells it: why, and how the order had ended. A copy of the orders that is put back
//! knows neither, and learns both here.

use crate::app::AppError;
use crate::app::parcels::booking_attempts::ending;
use crate::clock::BusinessTime;
use crate::domain::actor::Actor;
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::domain::retention::PurgeReason;
use crate::domain::timeline::TimelineKind;
use crate::store::AnyConn;
use crate::store::orders::{self, change_in_tx};
use crate::store::purges::{self, Decided};
use crate::store::timeline::{self, EventRow};

/// What a journal entry says of an order that was erased: `reason`, or `reason status micros` (UTC, since 1970).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Erasure {
    reason: Option<PurgeReason>,
    /// None where the order was still alive: its key was destroyed under it.
    end: Option<(OrderStatus, BusinessTime)>,
}

impl Erasure {
    /// What there is to say of an order whose purge is decided.
    pub(crate) fn of(decided: &Decided) -> Self {
        Self {
            reason: Some(decided.reason),
            end: decided.ended_at.map(|at| (decided.status, at)),
        }
    }

    /// As the journal keeps it: facts alone.
    pub(crate) fn detail(self) -> String {
        let reason = self.reason().as_str();
        match self.end {
            Some((status, at)) => format!("{reason} {} {}", status.as_str(), at.timestamp_micros()),
            None => reason.to_owned(),
        }
    }

    /// From the journal; what it does not say, or says in words that this program does not know, is not there.
    pub(crate) fn parse(detail: &str) -> Self {
        let mut words = detail.split(' ');
        let reason = words.next().and_then(PurgeReason::parse);
        let status = words
            .next()
            .and_then(OrderStatus::parse)
            .filter(|status| status.is_ended());
        let at = words.next().and_then(|micros| micros.parse().ok());
        let at = at.and_then(BusinessTime::from_timestamp_micros);
        Self {
            reason,
            end: status.zip(at),
        }
    }

    /// Why it was erased.
    pub(crate) fn reason(self) -> PurgeReason {
        self.reason.unwrap_or(PurgeReason::Operator)
    }

    /// Whether a receipt of that reason is this erasure's.
    pub(crate) fn is_for(self, reason: &str) -> bool {
        self.reason.is_some_and(|known| known.as_str() == reason)
    }
}

/// Decides again what was erased and is there, and lets the order end as it had; returns whether it was still open.
///
/// # Errors
/// Store.
pub(crate) fn decide_again_in_tx(
    conn: &mut AnyConn,
    id: OrderId,
    erasure: Erasure,
    now: BusinessTime,
) -> Result<bool, AppError> {
    let open = orders::lock_in_tx(conn, id)?.filter(|order| order.purge_decided_at.is_none());
    let Some(mut order) = open else { return Ok(false) };
    if let Some((status, at)) = erasure.end.filter(|(status, _)| *status != order.status) {
        let change = ending(&order, now);
        order.status = status;
        order.updated_at = now;
        order.ended_at = Some(at);
        order.first_ended_at.get_or_insert(at);
        order.purge_due_at = Some(now);
        change_in_tx(conn, id, &change.progress(&order))?;
        let entry = EventRow::new(
            id,
            at,
            TimelineKind::Reached(status),
            status,
            &Actor::System,
            Some("restored"),
        );
        timeline::add_in_tx(conn, &entry)?;
    }
    purges::decide_in_tx(conn, &[id], erasure.reason(), now)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_gives_back_what_it_was_told() {
        let at = BusinessTime::from_timestamp_micros(1_769_000_000_123_456).unwrap();
        for end in [
            None,
            Some((OrderStatus::Delivered, at)),
            Some((OrderStatus::Cancelled, at)),
        ] {
            let told = Erasure {
                reason: Some(PurgeReason::Retention),
                end,
            };
            assert_eq!(Erasure::parse(&told.detail()), told);
            assert!(told.is_for("retention") && !told.is_for("operator"));
        }
    }

    #[test]
    fn what_the_journal_does_not_say_is_not_made_up() {
        for detail in [
            "retention",
            "retention placed 1",
            "retention delivered",
            "retention delivered soon",
        ] {
            assert_eq!(Erasure::parse(detail).end, None, "{detail}");
            assert!(Erasure::parse(detail).is_for("retention"));
        }
        assert!(!Erasure::parse("").is_for(""));
    }
}
