//! Small recurring work that keeps the stores tidy.

use crate::app::{App, AppError};
use crate::clock::delta;
use crate::store::{idempotency, parked, subject_texts};

/// Makes keys ahead, so that a new epoch never waits for the vault.
///
/// # Errors
/// Vault or store.
pub async fn make_keys_ahead(app: &App) -> Result<(), AppError> {
    let (vault, orders) = (app.vault.clone(), app.orders.clone());
    app.blocking(move || Ok(vault.make_ahead(&orders)?)).await
}

/// Destroys idempotency keys older than yesterday's and the records made under them, what was written about requests that
/// ended a retention window ago and have no order left, and drops parked events that nobody claimed.
///
/// # Errors
/// Vault or store.
pub async fn forget(app: &App) -> Result<(), AppError> {
    let vault = app.vault.clone();
    let now = app.clock.business_now();
    let oldest = app.blocking(move || Ok(vault.forget_old_days()?)).await?;
    let cutoff = now - delta(app.settings.window);
    let dropped = app
        .orders
        .write(move |conn| {
            idempotency::forget_before(conn, oldest)?;
            subject_texts::forget_before(conn, cutoff)?;
            parked::forget_expired(conn, now)
        })
        .await?;
    if dropped > 0 {
        tracing::warn!(
            dropped,
            "Courier events that matched no booking within 72 hours were dropped"
        );
    }
    Ok(())
}
