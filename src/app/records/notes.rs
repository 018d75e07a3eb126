//! Reasons and notes that people write: sealed with the order's person, never in the timeline or the audit log.

use crate::app::AppError;
use crate::app::records::personal_record;
use crate::clock::BusinessTime;
use crate::domain::ids::OrderId;
use crate::domain::personal_record::Note;
use crate::privacy::Pii;
use crate::store::AnyConn;
use crate::vault::keyring::Keyring;

/// Seals a text with the person of an order that is locked for it. Where the person can no longer be opened the text is
/// not kept: there is nowhere it could be kept safely.
///
/// # Errors
/// Keys or store.
pub(crate) fn add(
    conn: &mut AnyConn,
    ring: &Keyring,
    order: OrderId,
    note: Note,
    now: BusinessTime,
) -> Result<(), AppError> {
    match personal_record::find(conn, ring, order) {
        Ok(mut person) => {
            person.notes.push(note);
            personal_record::replace(conn, ring, order, &person, now)
        }
        Err(AppError::Gone(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A note of that kind about a row.
pub(crate) fn note(kind: &str, about: impl ToString, text: &Pii<String>) -> Note {
    Note {
        kind: kind.to_owned(),
        about: about.to_string(),
        text: text.clone(),
    }
}
