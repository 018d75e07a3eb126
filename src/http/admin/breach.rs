//! What a breach touched: the orders, what was held of them, and what those who are told must be told (PIPL 57). Looking
//! for one recipient goes by a body: no personal data in URLs.

use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::app::privacy::breach::{self, Affected, Asked, Telling, Touched};
use crate::app::privacy::notice::Text;
use crate::domain::contact::{Country, Phone};
use crate::domain::ids::OrderId;
use crate::domain::invalid::{FieldErrors, Invalid, bounded_text, moment};
use crate::http::docs::documented::{ByKey, OfOne, WithBody, WithQuery};
use crate::http::errors::app_error;
use crate::http::errors::problem::Problem;
use crate::http::extract::auth::{Keyed, Privacy};
use crate::http::extract::json::Json;
use crate::http::extract::page::{MAX_LIMIT, PageRequest};
use crate::http::extract::query::Query;
use crate::privacy::Pii;

/// Which orders; everything that is given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BreachQuery {
    /// RFC 3339. Orders whose recipient was held at this moment or later; from the beginning when it is left out.
    #[param(format = DateTime)]
    from: Option<String>,
    /// RFC 3339. Orders whose recipient was held before this moment; until now when it is left out.
    #[param(format = DateTime)]
    to: Option<String>,
    /// Orders of this client.
    client: Option<String>,
    /// Orders that this API key could reach: its client's, or all of them.
    key_id: Option<String>,
    /// How many rows at most, 1 to 200; 50 when it is left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Which orders; everything that is given must hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BreachSearch)]
pub struct BreachBody {
    /// The recipient's, however it is written.
    #[schema(value_type = Option<String>, example = "138 0013 8000")]
    phone: Option<Pii<String>>,
    #[schema(format = DateTime)]
    from: Option<String>,
    #[schema(format = DateTime)]
    to: Option<String>,
    client: Option<String>,
    key_id: Option<String>,
    /// How many rows at most, 1 to 200; 50 when it is left out.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What a breach touched.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Breach)]
pub struct TouchedBody {
    /// Held at this moment or later.
    from: DateTime<Utc>,
    /// Held before this moment.
    to: DateTime<Utc>,
    counts: CountsBody,
    /// What the authority and the people must be told, as far as the service knows it.
    telling: TellingBody,
    /// The orders, newest first.
    data: Vec<AffectedBody>,
    /// Where the next page begins; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// How many orders, on all pages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreachCounts)]
struct CountsBody {
    orders: i64,
    /// Whose recipient is still held and can be read by this service.
    held: i64,
    purged: i64,
    /// Whose key no longer exists.
    unreadable: i64,
    /// Orders for minors: sensitive personal information.
    minors: i64,
}

/// The notification that PIPL 57 requires.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreachTelling)]
struct TellingBody {
    kinds: TextBody,
    /// For the officer to fill in: the service does not know it.
    #[schema(required)]
    cause: Option<TextBody>,
    possible_harm: TextBody,
    measures_taken: TextBody,
    measures_for_people: TextBody,
    contact: ContactBody,
}

/// The same in two languages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreachText)]
struct TextBody {
    zh: String,
    en: String,
}

/// The responsible contact.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreachContact)]
struct ContactBody {
    name: String,
    /// E.164.
    phone: String,
}

/// An affected order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AffectedOrder)]
struct AffectedBody {
    order_id: String,
    client: String,
    reference: String,
    minor: bool,
    created_at: DateTime<Utc>,
    /// The fields that were held, or may have been.
    fields: Vec<&'static str>,
    /// `held`, `unreadable` or `purged`.
    person: &'static str,
    #[schema(required)]
    purged_at: Option<DateTime<Utc>>,
    /// Whether `key_id` was shown the whole recipient in that time; only with `key_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_by_key: Option<bool>,
}

impl From<Text> for TextBody {
    fn from(text: Text) -> Self {
        Self {
            zh: text.zh,
            en: text.en,
        }
    }
}

impl From<Affected> for AffectedBody {
    fn from(affected: Affected) -> Self {
        let order = affected.order;
        let person = match (order.purged_at, affected.unreadable) {
            (Some(_), _) => "purged",
            (None, true) => "unreadable",
            (None, false) => "held",
        };
        Self {
            order_id: order.id.to_string(),
            client: order.client,
            reference: order.reference,
            minor: order.minor,
            created_at: order.created_at.into(),
            fields: affected.fields,
            person,
            purged_at: order.purged_at.map(Into::into),
            seen_by_key: affected.seen,
        }
    }
}

impl TouchedBody {
    fn of(app: &App, touched: Touched, page: &PageRequest<OrderId>) -> Self {
        let counts = touched.counts;
        let telling = Telling::of(app, counts);
        let shown = page.page(touched.orders, |affected| affected.order.id);
        Self {
            from: touched.window.from.into(),
            to: touched.window.to.into(),
            counts: CountsBody {
                orders: counts.orders,
                held: counts.orders - counts.purged - counts.unreadable,
                purged: counts.purged,
                unreadable: counts.unreadable,
                minors: counts.minors,
            },
            telling: TellingBody {
                kinds: telling.kinds.into(),
                cause: None,
                possible_harm: telling.possible_harm.into(),
                measures_taken: telling.measures_taken.into(),
                measures_for_people: telling.measures_for_people.into(),
                contact: ContactBody {
                    name: telling.contact_name,
                    phone: telling.contact_phone,
                },
            },
            next_cursor: shown.next_cursor,
            data: shown.data.into_iter().map(AffectedBody::from).collect(),
        }
    }
}

/// What is asked for in words that both doors share, checked.
fn checked(
    from: Option<String>,
    to: Option<String>,
    client: Option<String>,
    key_id: Option<String>,
    errors: &mut FieldErrors,
) -> Asked {
    let from = from.and_then(|at| errors.take("/from", moment(&at)));
    let to = to.and_then(|at| errors.take("/to", moment(&at)));
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        errors.push("/to", Invalid::new("out_of_range", "must be after from"));
    }
    Asked {
        from,
        to,
        client: client.and_then(|client| errors.take("/client", bounded_text(&client, 1, 64))),
        key_id: key_id.and_then(|id| errors.take("/key_id", bounded_text(&id, 1, 64))),
        phone: None,
        before: None,
    }
}

/// List the orders that a breach touched
///
/// By the time in which their recipient was held, by client, or by the API key that could reach them; recorded in the
/// audit log. `telling` is what the authority and the people must be told.
#[utoipa::path(get, path = "/admin/v1/breach", operation_id = "list_breached_orders", tag = "Privacy", security(("api_key" = ["privacy"])),
    params(BreachQuery),
    responses((status = 200, description = "A page, with the counts of all.", body = TouchedBody), WithQuery, OfOne, ByKey))]
pub(in crate::http) async fn list(
    app: Data<App>,
    Keyed {
        caller,
        given: Query(asked),
        ..
    }: Keyed<Privacy, Query<BreachQuery>>,
) -> Result<HttpResponse, Problem> {
    let page = PageRequest::<OrderId>::parse(asked.limit.as_deref(), asked.cursor.as_deref())?;
    let mut errors = FieldErrors::new();
    let mut wanted = checked(asked.from, asked.to, asked.client, asked.key_id, &mut errors);
    if let Some(first) = errors.into_vec().first() {
        let name = first.pointer.trim_start_matches('/');
        return Err(Problem::invalid_query(format!(
            "The query parameter `{name}` {}.",
            first.invalid.detail
        )));
    }
    wanted.before = page.after;
    let touched = breach::touched(&app, &caller, wanted, page.fetch()).await?;
    Ok(HttpResponse::Ok().json(TouchedBody::of(&app, touched, &page)))
}

/// Search the orders that a breach touched, also by recipient
#[utoipa::path(post, path = "/admin/v1/breach/search", operation_id = "search_breached_orders", tag = "Privacy", security(("api_key" = ["privacy"])),
    request_body = BreachBody,
    responses((status = 200, description = "A page, with the counts of all.", body = TouchedBody), WithBody, OfOne, ByKey))]
pub(in crate::http) async fn search(
    app: Data<App>,
    Keyed {
        caller,
        given: Json(body),
        ..
    }: Keyed<Privacy, Json<BreachBody>>,
) -> Result<HttpResponse, Problem> {
    let mut errors = FieldErrors::new();
    let phone = body
        .phone
        .and_then(|phone| errors.take("/phone", Phone::parse(phone.expose(), Country::CN)))
        .map(|phone| Pii::new(phone.e164().to_owned()));
    let limit = body.limit.map(|limit| match u32::try_from(limit) {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit.to_string()),
        _ => Err(Invalid::new("out_of_range", format!("must be from 1 to {MAX_LIMIT}"))),
    });
    let limit = limit.and_then(|limit| errors.take("/limit", limit));
    let mut wanted = checked(body.from, body.to, body.client, body.key_id, &mut errors);
    let errors = errors.into_vec();
    if !errors.is_empty() {
        return Err(app_error::invalid(errors));
    }
    let page = PageRequest::<OrderId>::parse(limit.as_deref(), body.cursor.as_deref())?;
    wanted.before = page.after;
    wanted.phone = phone;
    let touched = breach::touched(&app, &caller, wanted, page.fetch()).await?;
    Ok(HttpResponse::Ok().json(TouchedBody::of(&app, touched, &page)))
}
