//! A draft becomes an order.

use crate::app::conflict::Conflict;
use crate::app::orders::query::lock_visible;
use crate::app::parcels::booking_attempts::{By, refuse_held, step};
use crate::app::records::order_view::{self, OrderView};
use crate::app::{App, AppError, Caller};
use crate::domain::ids::OrderId;
use crate::domain::order::Step;
use crate::store::orders::Change;

/// Confirms a draft.
///
/// # Errors
/// Not found, held, not a draft, store or vault.
pub async fn confirm(app: &App, caller: &Caller, id: OrderId) -> Result<OrderView, AppError> {
    let (now, window, caller) = (app.clock.business_now(), app.settings.window, caller.clone());
    app.write_sealed(move |conn, ring| {
        let mut order = lock_visible(conn, id, Some(&caller))?;
        if order.restriction.is_some() {
            return Err(AppError::Conflict(Conflict::Restricted));
        }
        refuse_held(&order, now)?;
        step(
            conn,
            &mut order,
            Step::Confirm,
            Change::at(now),
            &By {
                actor: &caller.actor(),
                code: None,
                now,
                window,
            },
        )?;
        order_view::one(conn, Some(ring), order, now)
    })
    .await
}
