//! API keys: who calls, and what they may do. Of a secret only its hash is kept.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::clock::BusinessTime;
use crate::domain::scope::Scopes;
use crate::store::schema::api_keys;
use crate::store::{AnyConn, StoreError, from_row, to_row};

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = api_keys)]
struct KeyRow {
    id: String,
    client: String,
    name: String,
    scopes: String,
    secret_hash: Vec<u8>,
    created_at: NaiveDateTime,
    revoked_at: Option<NaiveDateTime>,
}

/// An API key without its secret.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of migrations/orders, where each is explained")]
pub struct ApiKey {
    pub id: String,
    pub client: String,
    pub name: String,
    pub scopes: Scopes,
    /// SHA-256 of the secret, which is random (`domain/api_key.rs`): nothing slower is needed.
    pub secret_hash: Vec<u8>,
    pub created_at: BusinessTime,
    pub revoked_at: Option<BusinessTime>,
}

impl TryFrom<KeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        Ok(Self {
            scopes: Scopes::parse(&row.scopes).ok_or_else(|| StoreError::corrupt("api_keys", &row.id))?,
            created_at: from_row(row.created_at),
            revoked_at: row.revoked_at.map(from_row),
            id: row.id,
            client: row.client,
            name: row.name,
            secret_hash: row.secret_hash,
        })
    }
}

/// Stores a new key.
///
/// # Errors
/// The database.
pub fn add_in_tx(conn: &mut AnyConn, key: &ApiKey) -> Result<(), StoreError> {
    let row = KeyRow {
        id: key.id.clone(),
        client: key.client.clone(),
        name: key.name.clone(),
        scopes: key.scopes.to_string(),
        secret_hash: key.secret_hash.clone(),
        created_at: to_row(key.created_at),
        revoked_at: None,
    };
    diesel::insert_into(api_keys::table).values(&row).execute(conn)?;
    Ok(())
}

/// A key by its id, revoked or not.
///
/// # Errors
/// The database, or a corrupt row.
pub fn find(conn: &mut AnyConn, id: &str) -> Result<Option<ApiKey>, StoreError> {
    let row: Option<KeyRow> = api_keys::table
        .find(id)
        .select(KeyRow::as_select())
        .first(conn)
        .optional()?;
    row.map(ApiKey::try_from).transpose()
}

/// Every key, oldest first.
///
/// # Errors
/// The database, or a corrupt row.
pub fn list(conn: &mut AnyConn) -> Result<Vec<ApiKey>, StoreError> {
    let rows: Vec<KeyRow> = api_keys::table
        .order(api_keys::created_at)
        .select(KeyRow::as_select())
        .load(conn)?;
    rows.into_iter().map(ApiKey::try_from).collect()
}

/// Revokes a key. `false`: there is no such living key.
///
/// # Errors
/// The database.
pub fn revoke_in_tx(conn: &mut AnyConn, id: &str, now: BusinessTime) -> Result<bool, StoreError> {
    let done = diesel::update(
        api_keys::table
            .filter(api_keys::id.eq(id))
            .filter(api_keys::revoked_at.is_null()),
    )
    .set(api_keys::revoked_at.eq(to_row(now)))
    .execute(conn)?;
    Ok(done > 0)
}
