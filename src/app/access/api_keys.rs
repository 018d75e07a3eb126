//! API keys: made, revoked, authenticated. A secret is shown once and only its hash is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::app::{App, AppError, Caller, audit as chain};
use crate::clock::{BusinessTime, WallTime, delta};
use crate::domain::actor::Actor;
use crate::domain::api_key::{GeneratedKey, KeyText};
use crate::domain::audit::AuditAction;
use crate::domain::invalid::{Invalid, bounded_text};
use crate::domain::journal::JournalKind;
use crate::domain::scope::Scopes;
use crate::privacy::Secret;
use crate::store::audit::{self, Act};
use crate::store::keys::{self, ApiKey};
use crate::store::vault::journal::NewEntry;
use crate::store::{AnyConn, StoreError, meta};
use crate::vault::keyring::fill_random;

/// How long an authenticated key is believed without asking the database again: a revocation is in force everywhere after
/// this, and `safelight keys revoke` waits for it before it says so.
pub const KEY_CACHE: Duration = Duration::from_secs(1);

/// At most this many keys are remembered; far more than a shop has.
const CACHED_KEYS: usize = 10_000;

/// A new key with its secret: the only time it is seen.
#[derive(Debug)]
pub struct NewKey {
    /// What was stored.
    pub key: ApiKey,
    /// The whole key, for the `Authorization` header.
    pub bearer: Secret<String>,
}

/// Checks a client's or key's name: 1 to 64 characters, nothing that would break a listing.
///
/// # Errors
/// Empty, too long, or with control characters.
pub fn parse_name(text: &str) -> Result<String, Invalid> {
    bounded_text(text, 1, 64)
}

/// Makes and stores a key; `actor` is who did it (`cli`, `key:<id>`).
///
/// # Errors
/// Store.
pub fn create_in_tx(
    conn: &mut AnyConn,
    name: &str,
    client: &str,
    scopes: Scopes,
    actor: &Actor,
    now: BusinessTime,
) -> Result<NewKey, StoreError> {
    let generated = GeneratedKey::generate(fill_random);
    let key = ApiKey {
        id: generated.id,
        client: client.to_owned(),
        name: name.to_owned(),
        scopes,
        secret_hash: hash(generated.secret.expose()),
        created_at: now,
        revoked_at: None,
    };
    keys::add_in_tx(conn, &key)?;
    let detail = format!("scopes={}", key.scopes);
    audit::append_in_tx(
        conn,
        now,
        &Act {
            actor,
            action: AuditAction::KeyCreate,
            subject: &key.id,
            detail: &detail,
            reason_hash: None,
        },
    )?;
    Ok(NewKey {
        key,
        bearer: generated.text,
    })
}

/// Revokes a key. `false`: there is no such living key. Journalled first, so that an old copy of the orders that is put
/// back does not bring the key to life again.
///
/// # Errors
/// Store or vault.
pub async fn revoke(app: &App, id: &str, actor: &Actor) -> Result<bool, AppError> {
    let (now, wanted) = (app.clock.business_now(), id.to_owned());
    let living = app
        .orders
        .read(move |conn| keys::find(conn, &wanted))
        .await?
        .is_some_and(|key| key.revoked_at.is_none());
    if !living {
        return Ok(false);
    }
    let entry = NewEntry {
        kind: JournalKind::RevokeKey,
        subject: id.to_owned(),
        detail: String::new(),
    };
    let vault = app.vault.clone();
    let (first, last) = app.blocking(move || Ok(vault.journal(vec![entry])?)).await?;
    let (id, actor) = (id.to_owned(), actor.to_owned());
    let done = app
        .orders
        .write(move |conn| {
            let done = keys::revoke_in_tx(conn, &id, now)?;
            if done {
                let act = Act {
                    actor: &actor,
                    action: AuditAction::KeyRevoke,
                    subject: &id,
                    detail: "",
                    reason_hash: None,
                };
                audit::append_in_tx(conn, now, &act)?;
            }
            meta::applied_in_tx(conn, first, last)?;
            Ok::<_, AppError>(done)
        })
        .await?;
    chain::note_act(app).await;
    Ok(done)
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// Tells whose key a request came with, and remembers it for [`KEY_CACHE`].
#[derive(Debug, Clone, Default)]
pub struct Authenticator(Arc<Mutex<HashMap<String, Known>>>);

#[derive(Debug, Clone)]
struct Known {
    secret_hash: Vec<u8>,
    caller: Caller,
    until: WallTime,
}

impl Authenticator {
    /// The caller that a key belongs to; `None` where it is unknown, wrong or revoked.
    ///
    /// # Errors
    /// Store.
    pub async fn authenticate(&self, app: &App, key: KeyText<'_>) -> Result<Option<Caller>, AppError> {
        let offered = Secret::new(hash(key.secret()));
        let wall = app.clock.wall_now();
        if let Some(known) = self.remembered(key.id(), wall) {
            return Ok(offered.matches(&known.secret_hash).then_some(known.caller));
        }
        let wanted = key.id().to_owned();
        let Some(stored) = app.orders.read(move |conn| keys::find(conn, &wanted)).await? else {
            return Ok(None);
        };
        if stored.revoked_at.is_some() || !offered.matches(&stored.secret_hash) {
            return Ok(None);
        }
        let caller = Caller {
            key_id: stored.id,
            client: stored.client,
            scopes: stored.scopes,
        };
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= CACHED_KEYS {
            memory.clear();
        }
        memory.insert(
            caller.key_id.clone(),
            Known {
                secret_hash: stored.secret_hash,
                caller: caller.clone(),
                until: wall + delta(KEY_CACHE),
            },
        );
        Ok(Some(caller))
    }

    fn remembered(&self, id: &str, wall: WallTime) -> Option<Known> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(id).filter(|known| wall < known.until).cloned()
    }
}
