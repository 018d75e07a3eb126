//! Small recurring work that keeps the stores tidy.

use crate::app::{App, AppError};
use crate::store::{idempotency, parked};

/// Makes keys ahead, so that a new epoch never waits for the vault.
///
/// # Errors
/// Vault or store.
pub async fn make_keys_ahead(app: &App) -> Result<(), AppError> {
    let (vault, orders) = (app.vault.clone(), app.orders.clone());
    app.blocking(move || Ok(vault.make_ahead(&orders)?)).await
}

/// Destroys idempotency keys older than yesterday's and the records made under them, and drops parked events that nobody
/// claimed.
///
/// # Errors
/// Vault or store.
pub async fn forget(app: &App) -> Result<(), AppError> {
    let vault = app.vault.clone();
    let now = app.clock.business_now();
    let oldest = app.blocking(move || Ok(vault.forget_old_days()?)).await?;
    let dropped = app
        .orders
        .write(move |conn| {
            idempotency::forget_before(conn, oldest)?;
            parked::forget_expired(conn, now)
        })
        .await?;
    if dropped > 0 {
        tracing::warn!(
            dropped,
            "courier events that matched no booking within 72 hours were dropped"
        );
    }
    Ok(())
}
