//! API keys: made, listed, revoked. A secret is in one answer, that of its making, and nowhere else.

use std::str::FromStr;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::access::api_keys::{self, KEY_CACHE};
use crate::app::{App, AppError, audit};
use crate::domain::invalid::{FieldErrors, Invalid};
use crate::domain::scope::{Scope, Scopes};
use crate::http::docs::documented::{ByKey, OfOne, WithBody};
use crate::http::errors::app_error;
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Admin, Keyed};
use crate::http::extract::filters::one_of;
use crate::http::extract::json::Json;
use crate::http::extract::path::PathId;
use crate::http::run_to_completion::run_to_completion;
use crate::store::keys::{self as key_rows, ApiKey};

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey)]
pub struct NewKeyBody {
    /// What it is for, 1 to 64 characters.
    #[schema(example = "checkout")]
    name: String,
    /// Whose orders it sees; its name when it is left out.
    client: Option<String>,
    /// `orders`, `floor`, `ops`, `privacy`, `admin`; at least one.
    #[schema(example = json!(["orders"]), min_items = 1)]
    scopes: Vec<String>,
}

impl NewKeyBody {
    /// Name, client and scopes, checked.
    fn read(&self) -> Result<(String, String, Scopes), Problem> {
        let mut errors = FieldErrors::new();
        let name = errors.take("/name", api_keys::parse_name(&self.name));
        let client = match &self.client {
            Some(client) => errors.take("/client", api_keys::parse_name(client)),
            None => name.clone(),
        };
        let scopes: Vec<Option<Scope>> = self
            .scopes
            .iter()
            .enumerate()
            .map(|(index, word)| {
                let scope = Scope::parse(word).ok_or_else(|| one_of(&Scope::ALL.map(Scope::as_str)));
                errors.take(format!("/scopes/{index}"), scope)
            })
            .collect();
        if scopes.is_empty() {
            errors.push("/scopes", Invalid::new("required", "must name at least one scope"));
        }
        let errors = errors.into_vec();
        match (name, client) {
            (Some(name), Some(client)) if errors.is_empty() => {
                Ok((name, client, Scopes::new(scopes.into_iter().flatten())))
            }
            _ => Err(app_error::invalid(errors)),
        }
    }
}

/// A key without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyBody {
    id: String,
    name: String,
    client: String,
    scopes: Vec<&'static str>,
    created_at: DateTime<Utc>,
    #[schema(required)]
    revoked_at: Option<DateTime<Utc>>,
}

impl KeyBody {
    fn of(key: ApiKey) -> Self {
        let carried = key.scopes.to_string();
        let scopes = carried.split(',').filter_map(Scope::parse).map(Scope::as_str);
        Self {
            scopes: scopes.collect(),
            id: key.id,
            name: key.name,
            client: key.client,
            created_at: key.created_at.into(),
            revoked_at: key.revoked_at.map(Into::into),
        }
    }
}

/// A key just made. No `Debug`: it holds the secret.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeKey)]
pub struct MadeKeyBody {
    #[serde(flatten)]
    made: KeyBody,
    /// The whole key, for the `Authorization` header; shown this once.
    #[schema(example = "sl_<key id>_<secret>")]
    key: String,
}

/// Every key.
#[derive(Debug, Serialize, ToSchema)]
pub struct Keys {
    /// Oldest first, revoked ones included.
    data: Vec<KeyBody>,
}

/// Make a key
#[utoipa::path(post, path = "/admin/v1/keys", operation_id = "create_key", tag = "Administration", security(("api_key" = ["admin"])),
    request_body = NewKeyBody,
    responses((status = 201, description = "Made; the secret is shown this once.", body = MadeKeyBody), WithBody, ByKey))]
pub(in crate::http) async fn create(
    app: Data<App>,
    Keyed {
        caller,
        given: Json(body),
        ..
    }: Keyed<Admin, Json<NewKeyBody>>,
) -> Result<HttpResponse, Problem> {
    let (name, client, scopes) = body.read()?;
    let (now, actor) = (app.clock.business_now(), caller.actor());
    let made = app
        .orders
        .write(move |conn| api_keys::create_in_tx(conn, &name, &client, scopes.clone(), &actor, now))
        .await
        .map_err(AppError::from)?;
    audit::note_act(&app).await;
    Ok(HttpResponse::Created().json(MadeKeyBody {
        key: made.bearer.expose().clone(),
        made: KeyBody::of(made.key),
    }))
}

/// List every key, without secrets
#[utoipa::path(get, path = "/admin/v1/keys", operation_id = "list_keys", tag = "Administration", security(("api_key" = ["admin"])),
    responses((status = 200, description = "The keys.", body = Keys), ByKey))]
pub(in crate::http) async fn list(app: Data<App>, _: Keyed<Admin>) -> Result<HttpResponse, Problem> {
    let found = app.orders.read(key_rows::list).await.map_err(AppError::from)?;
    let data = found.into_iter().map(KeyBody::of).collect();
    Ok(HttpResponse::Ok().json(Keys { data }))
}

/// The public part of a key, as it stands in a path. Whether there is such a key, the store says.
#[derive(Debug, Clone)]
pub(in crate::http) struct KeyId(String);

impl FromStr for KeyId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then(|| Self(text.to_owned()))
            .ok_or_else(|| Invalid::new("invalid_id", "must be an id as the service gave it out"))
    }
}

/// Take a key out of use, everywhere
///
/// When this answers, no process of the service believes the key any more.
#[utoipa::path(delete, path = "/admin/v1/keys/{id}", operation_id = "revoke_key", tag = "Administration", security(("api_key" = ["admin"])),
    params(("id" = String, Path, description = "The middle part of `sl_<id>_<secret>`.")),
    responses((status = 204, description = "Revoked."), OfOne, ByKey))]
pub(in crate::http) async fn revoke(
    app: Data<App>,
    Keyed {
        caller,
        given: PathId(KeyId(id)),
        ..
    }: Keyed<Admin, PathId<KeyId>>,
) -> Result<HttpResponse, Problem> {
    let (app, actor) = (app.get_ref().clone(), caller.actor());
    let revoked = run_to_completion(async move { api_keys::revoke(&app, &id, &actor).await }).await?;
    if !revoked {
        return Err(Problem::not_found());
    }
    // Every process may remember the key for that long.
    tokio::time::sleep(KEY_CACHE + Duration::from_millis(100)).await;
    Ok(HttpResponse::NoContent().finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::json::parse;

    fn read(body: &str) -> Result<(String, String, Scopes), Problem> {
        parse::<NewKeyBody>(body.as_bytes())?.read()
    }

    #[test]
    fn a_keys_client_is_its_name_when_none_is_given() {
        let (name, client, scopes) = read(r#"{"name":"checkout","scopes":["ops","orders"]}"#).unwrap();
        assert_eq!((name.as_str(), client.as_str()), ("checkout", "checkout"));
        assert_eq!(scopes.to_string(), "orders,ops");
        assert_eq!(
            read(r#"{"name":"a","client":"shop","scopes":["admin"]}"#).unwrap().1,
            "shop"
        );
    }

    #[test]
    fn a_key_that_could_do_nothing_or_anything_else_is_refused() {
        let wrong = |body: &str| -> Vec<String> {
            let refused = read(body).unwrap_err();
            refused.errors().iter().map(|error| error.pointer.clone()).collect()
        };
        assert_eq!(wrong(r#"{"name":"a","scopes":[]}"#), ["/scopes"]);
        assert_eq!(
            wrong(r#"{"name":"","scopes":["orders","root"]}"#),
            ["/name", "/scopes/1"]
        );
    }

    #[test]
    fn only_what_can_be_a_keys_id_is_looked_for() {
        assert!("0a1b2c".parse::<KeyId>().is_ok());
        for wrong in ["", "a b", "张三", "a\u{0}", &"a".repeat(65)] {
            assert!(wrong.parse::<KeyId>().is_err(), "{wrong}");
        }
    }
}
