//! Writes a batch of new orders in one transaction, so that many share one commit.

mod one_statement;

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use crate::store::dialect::per_engine;
use crate::store::idempotency::{self, IdempotencyRow};
use crate::store::orders::{ItemRow, OrderRow};
use crate::store::personal_records::PersonalRecordRow;
use crate::store::schema::{order_events, order_items, order_person, orders};
use crate::store::timeline::EventRow;
use crate::store::{AnyConn, StoreError, dialect};

/// Every row of one new order.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "a row of each table, named after it")]
pub struct NewOrderRows {
    pub idempotency: IdempotencyRow,
    pub order: OrderRow,
    pub items: Vec<ItemRow>,
    pub person: PersonalRecordRow,
    pub event: EventRow,
}

/// What became of one order of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is in.
    Placed,
    /// Its idempotency key is taken already.
    KeyTaken,
    /// Its client has an order with that reference already.
    ReferenceTaken,
}

/// Writes the orders of a batch that are new; says what became of each, in the order given.
///
/// No two of a batch may share an idempotency key or a client's reference.
///
/// # Errors
/// The database; nothing is written then.
pub fn insert_batch_in_tx(conn: &mut AnyConn, batch: &[NewOrderRows]) -> Result<Vec<Outcome>, StoreError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let free = match insert_in_one_statement(conn, batch)? {
        Some(free) => free,
        None => table_by_table(conn, batch)?,
    };
    let free: HashMap<Vec<u8>, Option<String>> = free.into_iter().collect();
    let outcomes: Vec<Outcome> = batch
        .iter()
        .map(|new| match free.get(&new.idempotency.key_hash) {
            None => Outcome::KeyTaken,
            Some(Some(_)) => Outcome::Placed,
            Some(None) => Outcome::ReferenceTaken,
        })
        .collect();
    let refused: Vec<Vec<u8>> = free
        .into_iter()
        .filter(|(_, order)| order.is_none())
        .map(|(key, _)| key)
        .collect();
    idempotency::remove_in_tx(conn, &refused)?;
    Ok(outcomes)
}

/// The same, a table at a time; children only for orders that are in.
fn table_by_table(conn: &mut AnyConn, batch: &[NewOrderRows]) -> Result<FreeKeys, StoreError> {
    let keys: Vec<IdempotencyRow> = batch.iter().map(|new| new.idempotency.clone()).collect();
    let fresh: HashSet<Vec<u8>> = idempotency::add_in_tx(conn, &keys)?.into_iter().collect();
    let with_fresh_key = || batch.iter().filter(|new| fresh.contains(&new.idempotency.key_hash));
    let rows: Vec<&OrderRow> = with_fresh_key().map(|new| &new.order).collect();
    let placed: Vec<String> = dialect::insert_or_pass_returning!(conn, orders::table, rows, orders::id);
    let placed: HashSet<String> = placed.into_iter().collect();
    let new = || with_fresh_key().filter(|new| placed.contains(&new.order.id));
    let items: Vec<&ItemRow> = new().flat_map(|new| &new.items).collect();
    dialect::insert_all!(conn, order_items::table, items);
    let persons: Vec<&PersonalRecordRow> = new().map(|new| &new.person).collect();
    dialect::insert_all!(conn, order_person::table, persons);
    let events: Vec<&EventRow> = new().map(|new| &new.event).collect();
    dialect::insert_all!(conn, order_events::table, events);
    Ok(with_fresh_key()
        .map(|new| {
            let order = placed.contains(&new.order.id).then(|| new.order.id.clone());
            (new.idempotency.key_hash.clone(), order)
        })
        .collect())
}

/// The living order of a client with that reference.
///
/// # Errors
/// The database.
pub fn by_reference(conn: &mut AnyConn, client: &str, reference: &str) -> Result<Option<String>, StoreError> {
    Ok(orders::table
        .filter(orders::client.eq(client))
        .filter(orders::reference.eq(reference))
        .filter(orders::reference_free.eq(false))
        .select(orders::id)
        .first(conn)
        .optional()?)
}

/// What a batch of new orders found free: each key that was, and the order that went in under it, if its reference was.
type FreeKeys = Vec<(Vec<u8>, Option<String>)>;

/// Writes a batch of new orders in one statement, where the engine has one for it; `None` where it has not (SQLite, where a
/// statement is a function call) and the rows are to be written table by table.
fn insert_in_one_statement(conn: &mut AnyConn, batch: &[NewOrderRows]) -> Result<Option<FreeKeys>, StoreError> {
    per_engine!(
        conn,
        sqlite | _conn | Ok(None),
        postgres | conn | Ok(Some(one_statement::insert(batch).load(conn)?))
    )
}
