//! The order's life: the one transition table. Whatever changes an order's status asks [`OrderStatus::after`].

mod facts;

use crate::domain::shipment::TrackingStatus;

pub use facts::Order;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderStatus {
    /// Sent without `confirm`; expires.
    Draft,
    /// Waiting for the print floor.
    Placed,
    /// Leased to an operator of the print floor.
    Printing,
    /// Printed; the parcel is being booked or waits for the courier.
    Printed,
    /// The courier has it.
    Shipped,
    /// Ended: handed over.
    Delivered,
    /// Ended: came back.
    Returned,
    /// Ended: nobody has it.
    Lost,
    /// Ended before it was shipped.
    Cancelled,
}

/// What can happen to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A draft is confirmed.
    Confirm,
    /// The floor takes it.
    Claim,
    /// The floor gives it back, or its lease lapsed.
    Release,
    /// The floor has printed it.
    Print,
    /// The courier picked the parcel up.
    Ship,
    /// The courier handed it over.
    Deliver,
    /// It came back.
    Return,
    /// It is lost.
    Lose,
    /// It is called off.
    Cancel,
    /// It came back and is sent once more.
    Reship,
}

/// Why a step is impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IllegalStep {
    /// Only a draft is confirmed.
    NotADraft,
    /// The print is recorded.
    AlreadyPrinted,
    /// The order is shipped, or has ended.
    NotCancellable,
    /// Only what came back is sent once more.
    NotReturned,
    /// The status does not have this step.
    NotFromHere,
}

impl OrderStatus {
    /// Every status, in the order of an order's life.
    pub const ALL: [Self; 9] = [
        Self::Draft,
        Self::Placed,
        Self::Printing,
        Self::Printed,
        Self::Shipped,
        Self::Delivered,
        Self::Returned,
        Self::Lost,
        Self::Cancelled,
    ];

    /// The status after `step`.
    ///
    /// # Errors
    /// Why the step is impossible here.
    pub const fn after(self, step: Step) -> Result<Self, IllegalStep> {
        use OrderStatus::{Cancelled, Delivered, Draft, Lost, Placed, Printed, Printing, Returned, Shipped};
        match (self, step) {
            (Draft, Step::Confirm) => Ok(Placed),
            (_, Step::Confirm) => Err(IllegalStep::NotADraft),

            // A lease that lapsed may be claimed again before anyone put the order back.
            (Placed | Printing, Step::Claim) => Ok(Printing),
            (Printing, Step::Release) => Ok(Placed),
            // From `placed`: the lease lapsed and nobody else took the order.
            (Placed | Printing, Step::Print) => Ok(Printed),
            (Printed | Shipped | Delivered | Returned | Lost, Step::Print) => Err(IllegalStep::AlreadyPrinted),

            (Printed, Step::Ship) => Ok(Shipped),
            // The first news of a parcel can be its last.
            (Printed | Shipped | Lost, Step::Deliver) => Ok(Delivered),
            (Printed | Shipped | Delivered | Lost, Step::Return) => Ok(Returned),
            (Printed | Shipped, Step::Lose) => Ok(Lost),

            (Draft | Placed | Printing | Printed, Step::Cancel) => Ok(Cancelled),
            (_, Step::Cancel) => Err(IllegalStep::NotCancellable),

            // The print is there: it waits for a courier again.
            (Returned, Step::Reship) => Ok(Printed),
            (_, Step::Reship) => Err(IllegalStep::NotReturned),
            _ => Err(IllegalStep::NotFromHere),
        }
    }

    /// Whether the retention clock runs.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Delivered | Self::Returned | Self::Lost | Self::Cancelled)
    }

    /// Whether the parcel has left the house.
    pub const fn is_shipped(self) -> bool {
        matches!(self, Self::Shipped | Self::Delivered | Self::Returned | Self::Lost)
    }

    /// As it is written in answers and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Placed => "placed",
            Self::Printing => "printing",
            Self::Printed => "printed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Returned => "returned",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// The step that a tracking status asks of an order, if any.
    pub const fn step_for(tracking: TrackingStatus) -> Option<Step> {
        match tracking {
            TrackingStatus::Accepted => None,
            TrackingStatus::Delivered => Some(Step::Deliver),
            TrackingStatus::Returned => Some(Step::Return),
            TrackingStatus::Lost => Some(Step::Lose),
            TrackingStatus::PickedUp
            | TrackingStatus::InTransit
            | TrackingStatus::OutForDelivery
            | TrackingStatus::Exception
            | TrackingStatus::Returning
            | TrackingStatus::Rejected => Some(Step::Ship),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 10] = [
        Step::Confirm,
        Step::Claim,
        Step::Release,
        Step::Print,
        Step::Ship,
        Step::Deliver,
        Step::Return,
        Step::Lose,
        Step::Cancel,
        Step::Reship,
    ];

    /// The whole table, every status by every step: a dash is impossible.
    #[test]
    fn the_whole_transition_table_is_as_written_here() {
        let table = "
            draft     | placed | -        | -      | -       | -       | -         | -        | -    | cancelled | -
            placed    | -      | printing | -      | printed | -       | -         | -        | -    | cancelled | -
            printing  | -      | printing | placed | printed | -       | -         | -        | -    | cancelled | -
            printed   | -      | -        | -      | -       | shipped | delivered | returned | lost | cancelled | -
            shipped   | -      | -        | -      | -       | -       | delivered | returned | lost | -         | -
            delivered | -      | -        | -      | -       | -       | -         | returned | -    | -         | -
            returned  | -      | -        | -      | -       | -       | -         | -        | -    | -         | printed
            lost      | -      | -        | -      | -       | -       | delivered | returned | -    | -         | -
            cancelled | -      | -        | -      | -       | -       | -         | -        | -    | -         | -";
        let rows: Vec<Vec<&str>> = table
            .lines()
            .filter(|l| l.contains('|'))
            .map(|l| l.split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), OrderStatus::ALL.len());
        for row in rows {
            let from = OrderStatus::parse(row[0]).unwrap();
            for (step, expected) in STEPS.into_iter().zip(&row[1..]) {
                let got = from.after(step).map_or("-", OrderStatus::as_str);
                assert_eq!(got, *expected, "{from:?} after {step:?}");
            }
        }
    }

    #[test]
    fn impossible_steps_name_their_reason() {
        assert_eq!(
            OrderStatus::Shipped.after(Step::Cancel),
            Err(IllegalStep::NotCancellable)
        );
        assert_eq!(OrderStatus::Placed.after(Step::Confirm), Err(IllegalStep::NotADraft));
        assert_eq!(
            OrderStatus::Printed.after(Step::Print),
            Err(IllegalStep::AlreadyPrinted)
        );
        assert_eq!(
            OrderStatus::Delivered.after(Step::Reship),
            Err(IllegalStep::NotReturned)
        );
        assert_eq!(
            OrderStatus::Cancelled.after(Step::Deliver),
            Err(IllegalStep::NotFromHere)
        );
    }
}
