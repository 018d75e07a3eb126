//! An order as it is stored: its facts, without the person.

use crate::clock::{BusinessTime, WallTime};
use crate::domain::ids::OrderId;
use crate::domain::money::Money;
use crate::domain::order::OrderStatus;
use crate::domain::retention::PurgeReason;
use crate::domain::subject_request::Restriction;

/// The facts of an order, read and checked.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of migrations/orders, where each is explained")]
pub struct Order {
    pub id: OrderId,
    pub client: String,
    pub reference: String,
    pub status: OrderStatus,
    pub amount: Money,
    pub courier: String,
    pub minor: bool,
    pub cross_border: bool,
    pub created_at: BusinessTime,
    pub updated_at: BusinessTime,
    pub moved_at: BusinessTime,
    pub attempt: u8,
    pub print_lessee: Option<String>,
    pub print_lease_until: Option<WallTime>,
    pub ended_at: Option<BusinessTime>,
    pub first_ended_at: Option<BusinessTime>,
    pub purge_due_at: Option<BusinessTime>,
    pub hold_until: Option<BusinessTime>,
    pub first_held_at: Option<BusinessTime>,
    pub purge_decided_at: Option<BusinessTime>,
    pub purge_reason: Option<PurgeReason>,
    pub purged_at: Option<BusinessTime>,
    pub restricted_at: Option<BusinessTime>,
    pub restriction: Option<Restriction>,
}

impl Order {
    /// Whether a hold stops everything but storage, now.
    pub fn is_held(&self, now: BusinessTime) -> bool {
        self.hold_until.is_some_and(|until| until > now)
    }

    /// Whether consent was withdrawn: nothing of the person is handed on or changed any more.
    pub fn is_withdrawn(&self) -> bool {
        self.restriction == Some(Restriction::ConsentWithdrawn)
    }
}
