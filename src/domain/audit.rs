//! What the audit log records: privileged acts.

/// A privileged act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAction {
    /// The list of orders that a breach touched was read.
    BreachExport,
    /// A chain that does not fit the vault was taken as it is.
    ChainAccepted,
    /// What is held on a person was read, order by order.
    Export,
    /// A hold was set.
    Hold,
    /// A hold was lifted.
    HoldLifted,
    /// An API key was made.
    KeyCreate,
    /// An API key was revoked.
    KeyRevoke,
    /// Orders were purged.
    Purge,
    /// An order that was purged before and put back was purged again.
    PurgeAgain,
    /// What was left of a purged order, or of none, was destroyed.
    PurgeLeftover,
    /// Somebody asked for a purge.
    PurgeRequest,
    /// An old copy of the orders was put back.
    Restored,
    /// An order was restricted to its delivery.
    Restrict,
    /// A recipient was seen whole.
    Reveal,
    /// A second key approved that a recipient is seen whole.
    RevealApprove,
    /// A recipient was to be seen whole that takes two keys.
    RevealRequest,
    /// A data subject's request was taken in.
    SubjectRequest,
    /// A data subject's request was completed.
    SubjectRequestComplete,
    /// What a data subject's request is about was exported.
    SubjectRequestExport,
    /// A data subject's request was refused.
    SubjectRequestRefuse,
}

impl AuditAction {
    /// As it is written in the chain; forever.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BreachExport => "breach_export",
            Self::ChainAccepted => "chain_accepted",
            Self::Export => "export",
            Self::Hold => "hold",
            Self::HoldLifted => "hold_lifted",
            Self::KeyCreate => "key_create",
            Self::KeyRevoke => "key_revoke",
            Self::Purge => "purge",
            Self::PurgeAgain => "purge_again",
            Self::PurgeLeftover => "purge_leftover",
            Self::PurgeRequest => "purge_request",
            Self::Restored => "restored",
            Self::Restrict => "restrict",
            Self::Reveal => "reveal",
            Self::RevealApprove => "reveal_approve",
            Self::RevealRequest => "reveal_request",
            Self::SubjectRequest => "subject_request",
            Self::SubjectRequestComplete => "subject_request_complete",
            Self::SubjectRequestExport => "subject_request_export",
            Self::SubjectRequestRefuse => "subject_request_refuse",
        }
    }
}
