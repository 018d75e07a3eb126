//! Giving up key epochs: what is still needed is sealed anew under the current one, then the keys are destroyed, and
//! with them every old copy of the orders database becomes unreadable.
//!
//! One reconciler, safe to run anywhere, any number of times, and to be killed at any point:
//! **close** (waits for every transaction that holds an epoch open) -> **re-seal** survivors in small batches ->
//! **count none and mark retired** in one transaction -> **destroy** the keys in the vault. No cache or clock is relied on:
//! the fence is the epoch's row.

use crate::app::parcels::events::apply;
use crate::app::parcels::label;
use crate::app::records::personal_record;
use crate::app::retention::{leftovers, purge};
use crate::app::{App, AppError};
use crate::clock::BusinessTime;
use crate::domain::actor::Actor;
use crate::domain::ids::{OrderId, RowId};
use crate::store::personal_records;
use crate::store::shipments::{self, TrackingRow};
use crate::store::{AnyConn, StoreError, epochs, from_row, labels, reseal, subject_requests, subject_texts};
use crate::vault::VaultError;
use crate::vault::keyring::{Keyring, Kind, Table};
use crate::vault::record::StoredEvent;

/// Orders re-sealed in one transaction: few enough that intake hardly notices.
const BATCH: i64 = 50;

/// What a retirement did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retired {
    /// Epochs closed by this run.
    pub closed: usize,
    /// Orders re-sealed.
    pub resealed: u64,
    /// Epochs given up.
    pub retired: usize,
    /// Keys destroyed.
    pub destroyed: usize,
}

/// How often the epochs past the copy horizon are looked for, in parts of an epoch.
pub const RUNS_AN_EPOCH: i32 = 24;
/// How much earlier than the horizon they go, in parts of an epoch: with room for a run that is late.
const EARLIER: i32 = 4;

/// Retires the epochs that began before the copy horizon: a copy made at any moment holds rows of every epoch that had
/// begun by then. Retired a little early, so that between two runs, too, no copy past the horizon can be read.
///
/// # Errors
/// Store or vault.
pub async fn nightly(app: &App) -> Result<Retired, AppError> {
    let now = app.clock.business_now();
    let horizon = now - app.vault.copy_horizon() + app.vault.epoch_length() / EARLIER;
    let until = app
        .orders
        .read(move |conn| epochs::begun_before(conn, horizon, now))
        .await?;
    match until {
        Some(until) => retire(app, until, |_| {}).await,
        // Nothing new; what an interrupted run left is finished all the same.
        None => finish(app, Retired::default(), |_| {}).await,
    }
}

/// Begins a new epoch and retires every earlier one, the one that was current until now included.
///
/// # Errors
/// Store or vault.
pub async fn now(app: &App, progress: impl Fn(u64) + Send + Sync) -> Result<Retired, AppError> {
    let (vault, orders) = (app.vault.clone(), app.orders.clone());
    let until = app.blocking(move || Ok(vault.begin_epoch(&orders)?)).await?;
    retire(app, until, progress).await
}

/// Retires the epochs up to `until`; `progress` hears how many orders are re-sealed so far.
///
/// # Errors
/// Store or vault. What was done stays done; the next run goes on from there.
pub async fn retire(app: &App, until: i64, progress: impl Fn(u64) + Send + Sync) -> Result<Retired, AppError> {
    let now = app.clock.business_now();
    let closed = app
        .orders
        .write(move |conn| epochs::close_in_tx(conn, until, now))
        .await?;
    finish(
        app,
        Retired {
            closed,
            ..Retired::default()
        },
        progress,
    )
    .await
}

/// Re-seals, marks and destroys whatever is closed.
async fn finish(app: &App, mut done: Retired, progress: impl Fn(u64) + Send + Sync) -> Result<Retired, AppError> {
    // An order whose purge is decided is not re-sealed any more: it goes first. And what came back of what was purged
    // keeps no key alive.
    purge::finish(app, &Actor::System).await?;
    if app.orders.read(epochs::any_closed).await? {
        leftovers::take_back(app).await?;
    }
    let mut after = None;
    loop {
        let (count, last) = reseal_orders(app, after).await?;
        done.resealed += count;
        progress(done.resealed);
        match last {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    let mut after = String::new();
    while let Some(last) = reseal_parked(app, after).await? {
        after = last;
    }
    let mut after = String::new();
    while let Some(last) = reseal_texts(app, after).await? {
        after = last;
    }
    let now = app.clock.business_now();
    done.retired = app
        .orders
        .write(move |conn| match reseal::count_left(conn)? {
            0 => Ok::<_, StoreError>(epochs::retire_closed_in_tx(conn, now)?),
            left => {
                tracing::error!(
                    left,
                    "Rows remain under closed key epochs; their keys are kept and the next run continues"
                );
                Ok(0)
            }
        })
        .await?;
    purge::truncate_wal(app).await?;
    let retired = app.orders.read(epochs::retired).await?;
    let vault = app.vault.clone();
    done.destroyed = app.blocking(move || Ok(vault.destroy_epochs(&retired)?)).await?;
    if done.retired > 0 {
        tracing::info!(
            epochs = done.retired,
            keys = done.destroyed,
            orders = done.resealed,
            "Key epochs retired"
        );
    }
    Ok(done)
}

/// Re-seals one batch of orders; returns how many, and the last one looked at (`None`: there are no more).
async fn reseal_orders(app: &App, after: Option<OrderId>) -> Result<(u64, Option<OrderId>), AppError> {
    let clock = app.clock.clone();
    app.write_sealed(move |conn, ring| {
        let now = clock.business_now();
        let ids = reseal::orders_to_reseal(conn, after, BATCH)?;
        let mut count = 0;
        for id in &ids {
            match personal_record::lock_unless_purged(conn, *id) {
                Ok(Some(_)) => {}
                // Its purge was decided a moment ago: the purge takes it.
                Ok(None) | Err(AppError::NotFound) => continue,
                Err(error) => return Err(error),
            }
            match reseal_order(conn, ring, *id, now) {
                Ok(resealed) => count += u64::from(resealed),
                // It stops nobody else from being re-sealed; its key is kept until somebody has looked at it.
                Err(error) if is_corrupt(&error) => {
                    tracing::error!(%error, order = %id, "Order cannot be re-sealed; its key is kept");
                }
                Err(error) => return Err(error),
            }
        }
        Ok((count, ids.last().copied()))
    })
    .await
}

fn is_corrupt(error: &AppError) -> bool {
    matches!(
        error,
        AppError::Vault(VaultError::Corrupt { .. }) | AppError::Store(StoreError::Corrupt { .. })
    )
}

/// Re-seals everything of a locked order. `false`: its key is gone already, there is nothing to save.
fn reseal_order(conn: &mut AnyConn, ring: &Keyring, id: OrderId, now: BusinessTime) -> Result<bool, AppError> {
    let person = match personal_record::find(conn, ring, id) {
        Ok(person) => person,
        Err(AppError::Gone(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    personal_record::replace(conn, ring, id, &person, now)?;
    let epoch = personal_record::current_epoch(conn, ring, now)?;
    let couriers: std::collections::HashMap<u8, String> = shipments::of_orders(conn, &[id])?
        .into_iter()
        .map(|attempt| (attempt.number, attempt.courier))
        .collect();
    reseal::drop_tracking_in_tx(conn, id)?;
    for known in &person.tracking {
        let Some(courier) = couriers.get(&known.attempt) else {
            continue;
        };
        shipments::add_tracking_in_tx(
            conn,
            &TrackingRow {
                id: RowId::generate().to_string(),
                order_id: id.to_string(),
                attempt: known.attempt.into(),
                courier: courier.clone(),
                epoch,
                tracking_print: ring.fingerprint(epoch, Kind::Tracking, known.number.expose())?,
            },
        )?;
    }
    for attempt in labels::attempts_with_one(conn, id)? {
        reseal_label(conn, ring, id, attempt, epoch)?;
    }
    for mut remark in personal_records::remarks_of(conn, id)? {
        let plain = match ring.open(remark.epoch, Table::CourierRemark, &remark.id, &remark.sealed) {
            Ok(plain) => plain,
            Err(VaultError::KeyGone) => continue,
            Err(error) => return Err(error.into()),
        };
        let text = std::str::from_utf8(&plain).map_err(|_| StoreError::corrupt("courier_remark", &remark.id))?;
        let attempt = u8::try_from(remark.attempt).map_err(|_| StoreError::corrupt("courier_remark", &remark.id))?;
        let identity = apply::remark_identity(attempt, from_row(remark.at), text);
        remark.remark_print = ring.fingerprint(epoch, Kind::Remark, &identity)?;
        remark.sealed = ring.seal(epoch, Table::CourierRemark, &remark.id, &plain)?;
        remark.epoch = epoch;
        reseal::replace_remark_in_tx(conn, &remark)?;
    }
    Ok(true)
}

/// Re-seals a label: one at a time, for they are large.
fn reseal_label(conn: &mut AnyConn, ring: &Keyring, id: OrderId, attempt: i16, epoch: i64) -> Result<(), AppError> {
    let number = u8::try_from(attempt).map_err(|_| StoreError::corrupt("order_label", id))?;
    let Some(mut label) = labels::find(conn, id, number)? else {
        return Ok(());
    };
    let place = label::place(&label.order_id, attempt);
    let plain = match ring.open(label.epoch, Table::OrderLabel, &place, &label.sealed) {
        Ok(plain) => plain,
        Err(VaultError::KeyGone) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    label.sealed = ring.seal(epoch, Table::OrderLabel, &place, &plain)?;
    label.epoch = epoch;
    Ok(labels::replace_in_tx(conn, &label)?)
}

/// Re-seals one batch of parked events; returns the last one looked at.
async fn reseal_parked(app: &App, after: String) -> Result<Option<String>, AppError> {
    let clock = app.clock.clone();
    app.write_sealed(move |conn, ring| {
        let epoch = personal_record::current_epoch(conn, ring, clock.business_now())?;
        let rows = reseal::parked_to_reseal(conn, &after, BATCH)?;
        for row in &rows {
            let opened = ring.open(row.epoch, Table::ParkedEvents, &row.id, &row.sealed);
            let (plain, event) = match opened.map(|plain| (StoredEvent::from_bytes(&plain), plain)) {
                Ok((Some(event), plain)) => (plain, event),
                Err(VaultError::KeyGone) => continue,
                // It expires within three days.
                Ok((None, _)) | Err(VaultError::Corrupt { .. }) => {
                    tracing::error!(
                        row = row.id,
                        table = "parked_events",
                        "Row cannot be re-sealed; its key is kept"
                    );
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let mut row = row.clone();
            row.tracking_print = ring.fingerprint(epoch, Kind::Tracking, event.tracking_no.as_deref().unwrap_or(""))?;
            row.sealed = ring.seal(epoch, Table::ParkedEvents, &row.id, &plain)?;
            row.epoch = epoch;
            reseal::replace_parked_in_tx(conn, &row)?;
        }
        Ok(rows.last().map(|row| row.id.clone()))
    })
    .await
}

/// Re-seals one batch of what people wrote about requests; returns the last one looked at.
async fn reseal_texts(app: &App, after: String) -> Result<Option<String>, AppError> {
    let clock = app.clock.clone();
    app.write_sealed(move |conn, ring| {
        let epoch = personal_record::current_epoch(conn, ring, clock.business_now())?;
        let rows = reseal::texts_to_reseal(conn, &after, BATCH)?;
        for row in &rows {
            let id = row.request_id.parse();
            let id = id.map_err(|_| StoreError::corrupt("subject_request_texts", &row.request_id))?;
            subject_requests::lock_in_tx(conn, id)?;
            // Read again under the lock: a refusal may have been written, or the text may be gone.
            let Some(mut row) = subject_texts::find(conn, id)? else {
                continue;
            };
            let plain = match ring.open(row.epoch, Table::RequestTexts, &row.request_id, &row.sealed) {
                Ok(plain) => plain,
                Err(VaultError::KeyGone) => continue,
                Err(error) => return Err(error.into()),
            };
            row.sealed = ring.seal(epoch, Table::RequestTexts, &row.request_id, &plain)?;
            row.epoch = epoch;
            subject_texts::replace_in_tx(conn, &row)?;
        }
        Ok(rows.last().map(|row| row.request_id.clone()))
    })
    .await
}
