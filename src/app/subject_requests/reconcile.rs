//! Recurring work on data subjects' requests: whatever a crash, a hold, a vault that was down or a courier that did not
//! answer left undone is gone on with.

use crate::app::subject_requests::{journalled, restrict};
use crate::app::{App, AppError};
use crate::domain::actor::Actor;
use crate::store::{subject_orders, subject_requests};

/// Requests journalled, or orders looked at, in one go.
const BATCH: i64 = 100;

/// Goes on with every restricted order that can go on, and with every request that is not settled. Returns how many orders
/// were looked at.
///
/// # Errors
/// Store or vault. What fails with one order is logged and tried again next time.
pub async fn pursue_all(app: &App) -> Result<usize, AppError> {
    while journal_all(app).await? > 0 {}
    let mut looked_at = 0;
    let mut after = None;
    loop {
        let now = app.clock.business_now();
        let page = app
            .orders
            .read(move |conn| subject_orders::restricted(conn, now, after, BATCH))
            .await?;
        let Some(last) = page.last() else { return Ok(looked_at) };
        after = Some(*last);
        looked_at += page.len();
        for id in page {
            if let Err(error) = restrict::pursue(app, id, &Actor::System).await {
                tracing::warn!(%error, order = %id, "Failed to continue with a restricted order; will retry");
            }
        }
    }
}

/// Settles every request that is not: what a crash, or a vault that was down, left behind. Returns how many.
///
/// # Errors
/// Store or vault.
pub async fn journal_all(app: &App) -> Result<usize, AppError> {
    let waiting = app.orders.read(|conn| subject_requests::unsettled(conn, BATCH)).await?;
    for id in &waiting {
        journalled::journal_one(app, *id).await?;
    }
    Ok(waiting.len())
}
