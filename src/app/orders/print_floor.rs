//! The print floor: leased work, printed orders, and the push to the courier that follows from them.

use crate::app::conflict::Conflict;
use crate::app::parcels::booking_attempts::{By, Now, new_attempt, note_event, refuse_held, step};
use crate::app::records::order_view::{self, OrderView};
use crate::app::records::{notes, personal_record};
use crate::app::{App, AppError, Caller};
use crate::clock::{BusinessTime, WallTime, delta};
use crate::domain::actor::Actor;
use crate::domain::ids::{OrderId, RowId};
use crate::domain::order::{Order, OrderStatus, Step};
use crate::domain::timeline::TimelineKind;
use crate::privacy::Pii;
use crate::store::orders::{self, Change};
use crate::store::prints::{self, PrintRow};
use crate::store::{AnyConn, timeline, to_row};

/// Who works at which machine.
#[derive(Debug, Clone)]
pub struct Operator {
    /// As the floor calls them.
    pub name: String,
    /// The machine, where the floor names it.
    pub station: Option<String>,
}

impl Operator {
    /// A lease belongs to key, operator and station together.
    fn lessee(&self, caller: &Caller) -> String {
        format!(
            "{}|{}|{}",
            caller.key_id,
            self.name,
            self.station.as_deref().unwrap_or("")
        )
    }
}

/// Orders leased to an operator.
#[derive(Debug)]
pub struct Claimed {
    /// The orders, oldest first.
    pub orders: Vec<OrderView>,
    /// When the lease ends, wall time.
    pub lease_expires_at: WallTime,
}

/// Leases the oldest waiting orders to an operator.
///
/// # Errors
/// Store or vault.
pub async fn claim(app: &App, caller: &Caller, operator: Operator, limit: i64) -> Result<Claimed, AppError> {
    let (now, window) = (Now::of(&app.clock), app.settings.window);
    let until = now.wall + delta(app.settings.print_lease);
    let (actor, lessee) = (caller.actor(), operator.lessee(caller));
    app.write_sealed(move |conn, ring| {
        let mut claimed = Vec::new();
        for id in orders::pick_printable_in_tx(conn, now.business, now.wall, limit)? {
            let mut order = orders::find(conn, id)?.ok_or(AppError::NotFound)?;
            let change = Change::at(now.business).lease(&lessee, until);
            step(
                conn,
                &mut order,
                Step::Claim,
                change,
                &By {
                    actor: &actor,
                    code: None,
                    now: now.business,
                    window,
                },
            )?;
            claimed.push(order);
        }
        let orders = order_view::of(conn, Some(ring), claimed, now.business)?;
        Ok(Claimed {
            orders,
            lease_expires_at: until,
        })
    })
    .await
}

/// Records that an order is printed and queues its parcel, in one transaction.
///
/// # Errors
/// Not found, held, `lease_lost` where another holds it, an impossible step, store or vault.
pub async fn printed(app: &App, caller: &Caller, operator: Operator, id: OrderId) -> Result<OrderView, AppError> {
    let (now, window) = (Now::of(&app.clock), app.settings.window);
    let (actor, lessee) = (caller.actor(), operator.lessee(caller));
    app.write_sealed(move |conn, ring| {
        let mut order = personal_record::lock(conn, id)?;
        refuse_held(&order, now.business)?;
        order.status.after(Step::Print)?;
        let leased = order.print_lessee.as_deref() == Some(lessee.as_str());
        // A lapsed lease that nobody took is still its key's work; who the operator was is forgotten.
        if !leased && !timeline::lapsed_from(conn, id, &actor)? {
            return Err(lease_lost());
        }
        let change = Change::at(now.business).end_lease();
        step(
            conn,
            &mut order,
            Step::Print,
            change,
            &By {
                actor: &actor,
                code: None,
                now: now.business,
                window,
            },
        )?;
        record_print(conn, id, &operator, false, now.business)?;
        let courier = order.courier.clone();
        new_attempt(conn, &mut order, &courier, now)?;
        order_view::one(conn, Some(ring), order, now.business)
    })
    .await
}

fn lease_lost() -> AppError {
    AppError::Conflict(Conflict::LeaseLost)
}

fn record_print(
    conn: &mut AnyConn,
    id: OrderId,
    operator: &Operator,
    reprint: bool,
    now: BusinessTime,
) -> Result<(), AppError> {
    let row = PrintRow {
        id: RowId::generate().to_string(),
        order_id: id.to_string(),
        at: to_row(now),
        operator: operator.name.clone(),
        station: operator.station.clone(),
        reprint,
    };
    Ok(prints::add_in_tx(conn, &row)?)
}

/// Records another print of a printed order; changes no status.
///
/// # Errors
/// Not found, held, not in `printed`, store or vault.
pub async fn reprint(
    app: &App,
    caller: &Caller,
    operator: Operator,
    id: OrderId,
    reason: Pii<String>,
) -> Result<OrderView, AppError> {
    let (now, actor) = (app.clock.business_now(), caller.actor());
    app.write_sealed(move |conn, ring| {
        let order = personal_record::lock(conn, id)?;
        refuse_held(&order, now)?;
        if order.status != OrderStatus::Printed {
            return Err(AppError::Conflict(Conflict::NotPrinted));
        }
        record_print(conn, id, &operator, true, now)?;
        notes::add(conn, ring, id, notes::note("reprint_reason", id, &reason), now)?;
        note_event(conn, &order, TimelineKind::Reprinted, &actor, None, now)?;
        order_view::one(conn, Some(ring), order, now)
    })
    .await
}

/// Gives a leased order back to the queue.
///
/// # Errors
/// Not found, `lease_lost`, an impossible step, store or vault.
pub async fn release(app: &App, caller: &Caller, operator: Operator, id: OrderId) -> Result<OrderView, AppError> {
    let (now, window) = (app.clock.business_now(), app.settings.window);
    let (actor, lessee) = (caller.actor(), operator.lessee(caller));
    app.write_sealed(move |conn, ring| {
        let mut order = personal_record::lock(conn, id)?;
        if order.status == OrderStatus::Printing && order.print_lessee.as_deref() != Some(lessee.as_str()) {
            return Err(lease_lost());
        }
        let change = Change::at(now).end_lease();
        step(
            conn,
            &mut order,
            Step::Release,
            change,
            &By {
                actor: &actor,
                code: None,
                now,
                window,
            },
        )?;
        order_view::one(conn, Some(ring), order, now)
    })
    .await
}

/// Puts orders whose lease is over back into the queue; returns how many. What is printed late is accepted from the same
/// key unless somebody else took the order.
///
/// # Errors
/// The store.
pub async fn return_lapsed(app: &App) -> Result<usize, AppError> {
    let (now, window) = (Now::of(&app.clock), app.settings.window);
    app.orders
        .write(move |conn| {
            let lapsed = orders::pick_lapsed_in_tx(conn, now.wall, 100)?;
            for id in &lapsed {
                let mut order: Order = orders::find(conn, *id)?.ok_or(AppError::NotFound)?;
                let change = Change::at(now.business).end_lease();
                step(
                    conn,
                    &mut order,
                    Step::Release,
                    change,
                    &By {
                        actor: &Actor::System,
                        code: Some(timeline::LEASE_LAPSED),
                        now: now.business,
                        window,
                    },
                )?;
            }
            Ok(lapsed.len())
        })
        .await
}
