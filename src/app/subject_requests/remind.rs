//! The answers that are due: said in the log, by the requests' ids alone, before and after they are late.

use crate::app::{App, AppError};
use crate::domain::workdays;
use crate::store::subject_requests;

/// Requests named in one reminder.
const NAMED: i64 = 20;

/// Reminds of what is late or due soon; returns how many requests that are.
///
/// # Errors
/// Store.
pub async fn remind(app: &App) -> Result<usize, AppError> {
    let (today, soon) = workdays::today_and_soon(app.clock.business_now());
    let due = app
        .orders
        .read(move |conn| subject_requests::due_until(conn, soon, NAMED))
        .await?;
    for request in &due {
        let (kind, due_on) = (request.kind.as_str(), request.due_on);
        if due_on < today {
            tracing::error!(request = %request.id, kind, %due_on, "Answer to a data subject is overdue");
        } else {
            tracing::warn!(request = %request.id, kind, %due_on, "Answer to a data subject is due soon");
        }
    }
    Ok(due.len())
}
