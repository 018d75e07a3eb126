//! A batch of new orders as one PostgreSQL statement: every column of the batch is one array, every table's rows follow
//! from the one before in a CTE. Parsed once per connection, one round trip per batch: it is what makes intake several
//! times as fast as one order a transaction.

use chrono::NaiveDateTime;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, SmallInt, Text, Timestamp};

use crate::store::intake::NewOrderRows;

/// A batch, column by column.
#[derive(Default)]
pub(super) struct InsertBatch<'a> {
    key_hash: Vec<&'a [u8]>,
    day: Vec<i64>,
    body_hash: Vec<&'a [u8]>,
    id: Vec<&'a str>,
    client: Vec<&'a str>,
    reference: Vec<&'a str>,
    status: Vec<&'a str>,
    amount_minor: Vec<i64>,
    currency: Vec<&'a str>,
    courier: Vec<&'a str>,
    minor: Vec<bool>,
    policy_version: Vec<&'a str>,
    consent_at: Vec<NaiveDateTime>,
    legal_basis: Vec<&'a str>,
    cross_border: Vec<bool>,
    guardian_consent: Vec<bool>,
    created_at: Vec<NaiveDateTime>,
    epoch: Vec<i64>,
    sealed: Vec<&'a [u8]>,
    phone_print: Vec<&'a [u8]>,
    event_id: Vec<&'a str>,
    event_kind: Vec<&'a str>,
    actor: Vec<&'a str>,
    item_order: Vec<&'a str>,
    line: Vec<i16>,
    photo_size: Vec<&'a str>,
    copies: Vec<i16>,
    sheets: Vec<i16>,
}

impl<'a> InsertBatch<'a> {
    pub(super) fn new(batch: &'a [NewOrderRows]) -> Self {
        let mut all = Self::default();
        for new in batch {
            all.key_hash.push(&new.idempotency.key_hash);
            all.day.push(new.idempotency.day);
            all.body_hash.push(&new.idempotency.body_hash);
            all.id.push(&new.order.id);
            all.client.push(&new.order.client);
            all.reference.push(&new.order.reference);
            all.status.push(&new.order.status);
            all.amount_minor.push(new.order.amount_minor);
            all.currency.push(&new.order.currency);
            all.courier.push(&new.order.courier);
            all.minor.push(new.order.minor);
            all.policy_version.push(&new.order.policy_version);
            all.consent_at.push(new.order.consent_at);
            all.legal_basis.push(&new.order.legal_basis);
            all.cross_border.push(new.order.cross_border);
            all.guardian_consent.push(new.order.guardian_consent);
            all.created_at.push(new.order.created_at);
            all.epoch.push(new.person.epoch);
            all.sealed.push(&new.person.sealed);
            all.phone_print.push(&new.person.phone_print);
            all.event_id.push(&new.event.id);
            all.event_kind.push(&new.event.kind);
            all.actor.push(&new.event.actor);
            for item in &new.items {
                all.item_order.push(&item.order_id);
                all.line.push(item.line);
                all.photo_size.push(&item.photo_size);
                all.copies.push(item.copies);
                all.sheets.push(item.sheets);
            }
        }
        all
    }
}

impl QueryId for InsertBatch<'_> {
    type QueryId = InsertBatch<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

/// A key that was free, and the order that went in under it, if its reference was free too.
impl Query for InsertBatch<'_> {
    type SqlType = (Binary, Nullable<Text>);
}

impl RunQueryDsl<PgConnection> for InsertBatch<'_> {}

impl QueryFragment<Pg> for InsertBatch<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        macro_rules! arrays {
            ($($kind:ty: $column:ident),+ $(,)?) => {{
                let mut comma = "";
                $(
                    out.push_sql(comma);
                    out.push_bind_param::<Array<$kind>, _>(&self.$column)?;
                    comma = ", ";
                )+
                let _last = comma;
            }};
        }
        out.push_sql("WITH new AS (SELECT * FROM unnest(");
        arrays!(
            Binary: key_hash, BigInt: day, Binary: body_hash, Text: id, Text: client, Text: reference, Text: status,
            BigInt: amount_minor, Text: currency, Text: courier, Bool: minor, Text: policy_version,
            Timestamp: consent_at, Text: legal_basis, Bool: cross_border, Bool: guardian_consent,
            Timestamp: created_at, BigInt: epoch, Binary: sealed, Binary: phone_print, Text: event_id,
            Text: event_kind, Text: actor,
        );
        out.push_sql(
            ") AS t (key_hash, day, body_hash, id, client, reference, status, amount_minor, currency, courier, minor, \
             policy_version, consent_at, legal_basis, cross_border, guardian_consent, created_at, epoch, sealed, \
             phone_print, event_id, event_kind, actor)), item AS (SELECT * FROM unnest(",
        );
        arrays!(Text: item_order, SmallInt: line, Text: photo_size, SmallInt: copies, SmallInt: sheets);
        // Each UNIQUE is waited on in its own order, and the tables always in this order: no two batches deadlock.
        out.push_sql(
            ") AS t (order_id, line, photo_size, copies, sheets)), fresh AS (\
             INSERT INTO idempotency_keys (key_hash, day, body_hash, order_id) \
             SELECT key_hash, day, body_hash, id FROM new ORDER BY key_hash \
             ON CONFLICT DO NOTHING RETURNING key_hash, order_id), placed AS (\
             INSERT INTO orders (id, client, reference, reference_free, status, amount_minor, currency, courier, minor, \
             policy_version, consent_at, legal_basis, cross_border, guardian_consent, created_at, updated_at, moved_at, \
             attempt) \
             SELECT n.id, n.client, n.reference, FALSE, n.status, n.amount_minor, n.currency, n.courier, n.minor, \
             n.policy_version, n.consent_at, n.legal_basis, n.cross_border, n.guardian_consent, n.created_at, \
             n.created_at, n.created_at, 0 \
             FROM new n JOIN fresh f ON f.order_id = n.id ORDER BY n.client, n.reference \
             ON CONFLICT DO NOTHING RETURNING id), items AS (\
             INSERT INTO order_items (order_id, line, photo_size, copies, sheets) \
             SELECT i.order_id, i.line, i.photo_size, i.copies, i.sheets FROM item i JOIN placed p ON p.id = i.order_id), \
             persons AS (INSERT INTO order_person (order_id, epoch, sealed, phone_print) \
             SELECT n.id, n.epoch, n.sealed, n.phone_print FROM new n JOIN placed p ON p.id = n.id), events AS (\
             INSERT INTO order_events (id, order_id, at, kind, status, actor) \
             SELECT n.event_id, n.id, n.created_at, n.event_kind, n.status, n.actor \
             FROM new n JOIN placed p ON p.id = n.id) \
             SELECT f.key_hash, p.id FROM fresh f LEFT JOIN placed p ON p.id = f.order_id",
        );
        Ok(())
    }
}
