//! What the vault's journal tells: what must be done again after an old copy of the orders is put back.

/// What an entry of the journal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalKind {
    /// This order's person was destroyed; the detail is the reason, and how the order had ended.
    Erase,
    /// This key was revoked.
    RevokeKey,
    /// This order is held until the moment in the detail (microseconds), or no longer (empty).
    Hold,
    /// Nothing but the delivery of this order may go on; the detail is why.
    Restrict,
    /// A data subject's request as it stood then; the detail is its facts.
    SubjectRequest,
    /// An old copy of the orders was put back here; what the audit chain lost is in the detail.
    Restored,
    /// A person took an audit chain that does not fit the vault; what it lost is in the detail.
    ChainAccepted,
    /// The entries `from..to` of this journal, in the detail, are lost for good.
    Lost,
}

impl JournalKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Erase,
        Self::RevokeKey,
        Self::Hold,
        Self::Restrict,
        Self::SubjectRequest,
        Self::Restored,
        Self::ChainAccepted,
        Self::Lost,
    ];

    /// As it is written in rows and in the mirror; forever.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Erase => "erase",
            Self::RevokeKey => "revoke_key",
            Self::Hold => "hold",
            Self::Restrict => "restrict",
            Self::SubjectRequest => "subject_request",
            Self::Restored => "restored",
            Self::ChainAccepted => "chain_accepted",
            Self::Lost => "lost",
        }
    }

    /// Reads the spelling of [`as_str`](Self::as_str); `None` for a kind that a newer program wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}
