//! Why a verb was not done, in terms that both doors can answer with.

use crate::app::conflict::Conflict;
use crate::domain::ids::OrderId;
use crate::domain::invalid::FieldError;
use crate::domain::order::IllegalStep;
use crate::store::StoreError;
use crate::vault::VaultError;

/// Why a verb was not done. Nothing in it is personal.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppError {
    /// There is no such thing, or the caller may not know of it.
    #[error("not found")]
    NotFound,
    /// The thing is not in a state that allows this.
    #[error("conflict: {}", .0.code())]
    Conflict(Conflict),
    /// The client has an order with that reference already.
    #[error("the reference is taken")]
    ReferenceTaken {
        /// That order.
        order_id: OrderId,
    },
    /// The idempotency key was used for another body.
    #[error("the idempotency key was used for another request")]
    IdempotencyReused,
    /// Values that are not what they must be.
    #[error("invalid values")]
    Invalid(Vec<FieldError>),
    /// The personal data is gone: `purged` or `unreadable`.
    #[error("gone: {0}")]
    Gone(&'static str),
    /// The courier gives no label for this parcel.
    #[error("there is no label")]
    NoLabel,
    /// Too much to do: nothing was done, try again.
    #[error("{part} is overloaded")]
    Overloaded {
        /// The part that is.
        part: &'static str,
    },
    /// A courier gave no usable answer: nothing was changed here, try again.
    #[error("courier {courier} gave no usable answer ({code})")]
    Courier {
        /// Its name.
        courier: String,
        /// Stable code.
        code: String,
    },
    /// A key newer than the cached ones is needed; handled by `App::write_sealed`.
    #[error("a key of epoch {0} is needed")]
    NeedsEpoch(i64),
    /// The orders database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A fault of this program.
    #[error("{0}")]
    Internal(String),
}

impl From<IllegalStep> for AppError {
    fn from(step: IllegalStep) -> Self {
        Self::Conflict(match step {
            IllegalStep::NotADraft => Conflict::NotADraft,
            IllegalStep::AlreadyPrinted => Conflict::AlreadyPrinted,
            IllegalStep::NotCancellable => Conflict::PastCancelling,
            IllegalStep::NotReturned => Conflict::NotReturned,
            IllegalStep::NotFromHere => Conflict::StatusForbids,
        })
    }
}
