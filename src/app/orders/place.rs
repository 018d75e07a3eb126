//! Placing an order: checked, keyed, and handed to the writers; answered only after its commit.

use crate::app::orders::write_new::{Intake, Submission, Written};
use crate::app::parcels::fallback;
use crate::app::records::order_view::OrderView;
use crate::app::{App, AppError, Caller};
use crate::domain::checkout::NewOrder;
use crate::domain::ids::OrderId;
use crate::privacy::Pii;

/// What became of a request to place an order.
#[derive(Debug)]
pub enum Placed {
    /// A new order.
    New(Box<OrderView>),
    /// The same request was answered before: this is its order, as it is now.
    Replayed(Box<OrderView>),
}

/// Places an order. `key` is the idempotency key as sent.
///
/// # Errors
/// Unknown courier, or one abroad without consent (422), reference taken or key reused (409, 422), too many waiting (503), store or vault.
pub async fn place(
    app: &App,
    intake: &Intake,
    caller: &Caller,
    key: Pii<String>,
    order: NewOrder,
) -> Result<Placed, AppError> {
    let courier = order
        .courier
        .clone()
        .unwrap_or_else(|| app.couriers.default_name().to_owned());
    fallback::check_configured(app, &courier)?;
    let (to, consent) = (&order.recipient.address, order.consent.cross_border);
    fallback::check_consent(app, &courier, to, consent, "/courier")?;
    let submission = Submission {
        id: OrderId::generate(),
        client: caller.client.clone(),
        actor: caller.actor(),
        key,
        courier,
        order,
        now: app.clock.business_now(),
    };
    match intake.submit(submission).await? {
        Written::New(view) => Ok(Placed::New(view)),
        Written::Known(id) => Ok(Placed::Replayed(Box::new(app.order(None, id).await?))),
    }
}
