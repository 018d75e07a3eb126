//! Couriers' events on their way in: applied together, so that many share one commit (`group_commit`). The courier is told
//! only after COMMIT; what fails is told too, and it sends again.

use crate::app::group_commit::{self, BatchSettings, Batched, Queue, Writers};
use crate::app::parcels::booking_attempts::Now;
use crate::app::parcels::events::apply::{self, Arrival};
use crate::app::parcels::events::{batch, matching};
use crate::app::{App, AppError, with_keys};
use crate::store::AnyConn;
use crate::vault::keyring::Keyring;

/// The way to the writers. Dropping the last clone lets them finish what waits and end; nobody was told yet of what they
/// have not committed.
#[derive(Debug, Clone)]
pub struct Inbox(Queue<Events>);

impl Inbox {
    /// Starts the writers.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(app: &App, settings: BatchSettings) -> std::io::Result<(Self, Writers)> {
        let (queue, writers) = group_commit::start(&Events(app.clone()), settings)?;
        Ok((Self(queue), writers))
    }

    /// Takes an event in; returns when it is committed.
    ///
    /// # Errors
    /// Too many wait already; store or vault.
    pub(crate) async fn ingest(&self, arrival: Arrival) -> Result<(), AppError> {
        self.0.submit(arrival).await
    }
}

/// Couriers' events as they are applied together.
#[derive(Debug, Clone)]
struct Events(App);

impl Batched for Events {
    type Item = Arrival;
    type Written = ();

    const NAME: &'static str = "inbox";

    fn write(&self, items: &[&Arrival]) -> Result<Vec<Result<(), AppError>>, AppError> {
        apply(&self.0, items)?;
        Ok(items.iter().map(|_| Ok(())).collect())
    }
}

fn apply(app: &App, batch: &[&Arrival]) -> Result<(), AppError> {
    with_keys(&app.vault, |ring| {
        app.orders.write_blocking(|conn| apply_in_tx(conn, ring, app, batch))
    })
}

/// Orders are locked in the order of their ids, so that no two batches wait for each other; events of one order keep
/// theirs.
fn apply_in_tx(conn: &mut AnyConn, ring: &Keyring, app: &App, batch: &[&Arrival]) -> Result<(), AppError> {
    let now = Now::of(&app.clock);
    let others = batch::apply(conn, ring, app, batch, now)?;
    let mut found = Vec::with_capacity(others.len());
    for arrival in others {
        let attempt = matching::find_attempt(conn, ring, app, arrival.courier, &arrival.event)?;
        found.push((attempt.map(|attempt| (attempt.order_id, attempt.id)), arrival));
    }
    found.sort_by_key(|(attempt, _)| attempt.map(|(order, _)| order));
    // Those that match nothing come last: an event before them may have brought the number they name.
    let unknown = found.iter().take_while(|(attempt, _)| attempt.is_none()).count();
    found.rotate_left(unknown);
    for (attempt, arrival) in found {
        let Arrival {
            courier, event, trust, ..
        } = arrival;
        match attempt {
            Some((_, attempt)) => apply::apply_to(conn, ring, app, attempt, event, *trust, now)?,
            None => apply::match_or_park(conn, ring, app, courier, event, *trust, now)?,
        }
    }
    Ok(())
}
