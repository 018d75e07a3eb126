//! Looking at orders: one, lists, searches by fingerprint, timelines, counts.

use crate::app::records::order_view::{self, OrderView};
use crate::app::records::personal_record;
use crate::app::{App, AppError, Caller};
use crate::clock::{BusinessTime, delta};
use crate::domain::ids::{JobId, OrderId};
use crate::domain::order::Order;
use crate::domain::personal_record::Note;
use crate::domain::shipment::CONFIRM_WITHIN;
use crate::domain::workdays;
use crate::privacy::Pii;
use crate::store::orders::{self, Filter};
use crate::store::prints::PrintRow;
use crate::store::shipments::DisclosureRow;
use crate::store::stats::{self, Stats};
use crate::store::timeline::{self, EventRow};
use crate::store::{AnyConn, StoreError, jobs, personal_records, prints, shipments};
use crate::vault::keyring::{Kind, Table};

/// The order, where the caller may know of it: without a caller, or the caller's own client's. Others' are not found.
///
/// # Errors
/// What finding it said; not found.
pub(crate) fn visible(found: Result<Order, AppError>, owner: Option<&Caller>) -> Result<Order, AppError> {
    // A purged order of another client is as unknown as any other.
    match (found, owner) {
        (Ok(order), Some(caller)) if order.client != caller.client => Err(AppError::NotFound),
        (found, _) => found,
    }
}

/// Locks an order for a change of its personal data where the caller may know of it. Whose it is is asked first: that
/// another client's order is purged is nobody's business.
///
/// # Errors
/// Not found, 410 `purged`, the store.
pub(crate) fn lock_visible(conn: &mut AnyConn, id: OrderId, owner: Option<&Caller>) -> Result<Order, AppError> {
    visible(orders::find(conn, id)?.ok_or(AppError::NotFound), owner)?;
    personal_record::lock(conn, id)
}

/// An order with everything that operators see.
#[derive(Debug)]
#[expect(missing_docs, reason = "the additions of the contract, by their names")]
pub struct Detail {
    pub view: OrderView,
    pub events: Vec<EventRow>,
    pub prints: Vec<PrintRow>,
    pub disclosures: Vec<DisclosureRow>,
}

/// What a search asks for by exact value; none of it may ever stand in a URL.
#[derive(Debug, Clone, Default)]
pub struct ByValue {
    /// In E.164.
    pub phone: Option<Pii<String>>,
    /// As the courier gave it.
    pub tracking_no: Option<Pii<String>>,
}

impl App {
    /// One order; `owner` is the caller where it sees only its own client's.
    ///
    /// # Errors
    /// Not found; store.
    pub async fn order(&self, owner: Option<&Caller>, id: OrderId) -> Result<OrderView, AppError> {
        let (now, owner) = (self.clock.business_now(), owner.cloned());
        self.read_views(move |conn, ring| {
            let order = visible(orders::find(conn, id)?.ok_or(AppError::NotFound), owner.as_ref())?;
            order_view::one(conn, ring, order, now)
        })
        .await
    }

    /// One order with its timeline, prints and disclosures.
    ///
    /// # Errors
    /// Not found; store.
    pub async fn detail(&self, id: OrderId) -> Result<Detail, AppError> {
        let now = self.clock.business_now();
        self.read_views(move |conn, ring| {
            let order = orders::find(conn, id)?.ok_or(AppError::NotFound)?;
            Ok(Detail {
                view: order_view::one(conn, ring, order, now)?,
                events: timeline::of_order(conn, id)?,
                prints: prints::of_order(conn, id)?,
                disclosures: shipments::disclosures_of(conn, id)?,
            })
        })
        .await
    }

    /// The timeline of an order, oldest first.
    ///
    /// # Errors
    /// Not found; store.
    pub async fn timeline(&self, owner: Option<&Caller>, id: OrderId) -> Result<Vec<EventRow>, AppError> {
        let owner = owner.cloned();
        self.orders
            .read(move |conn| {
                visible(orders::find(conn, id)?.ok_or(AppError::NotFound), owner.as_ref())?;
                Ok(timeline::of_order(conn, id)?)
            })
            .await
    }

    /// A page of orders, newest first; at most `limit`.
    ///
    /// # Errors
    /// Store.
    pub async fn list(&self, filter: Filter, limit: i64) -> Result<Vec<OrderView>, AppError> {
        let now = self.clock.business_now();
        self.read_views(move |conn, ring| {
            let orders = orders::list(conn, &filter, limit)?;
            order_view::of(conn, ring, orders, now)
        })
        .await
    }

    /// The same, of orders with this phone or tracking number.
    ///
    /// # Errors
    /// Store; the vault, without which nothing can be looked up.
    pub async fn search(&self, mut filter: Filter, by: ByValue, limit: i64) -> Result<Vec<OrderView>, AppError> {
        if by.phone.is_some() || by.tracking_no.is_some() {
            filter.among = Some(self.with_values(by).await?);
        }
        self.list(filter, limit).await
    }

    async fn with_values(&self, by: ByValue) -> Result<Vec<OrderId>, AppError> {
        self.read_sealed(move |conn, ring| {
            let living = personal_record::living_epochs(conn, ring)?;
            let phone = match &by.phone {
                Some(phone) => {
                    let fingerprints = ring.fingerprints(&living, Kind::Phone, phone.expose());
                    Some(personal_records::orders_by_phone(conn, &fingerprints)?)
                }
                None => None,
            };
            let tracking = match &by.tracking_no {
                Some(number) => {
                    let fingerprints = ring.fingerprints(&living, Kind::Tracking, number.expose());
                    let rows = shipments::by_tracking(conn, &fingerprints, None)?;
                    let ids = rows.into_iter().map(|row| {
                        let corrupt = |_| StoreError::corrupt("order_tracking", &row.id);
                        row.order_id.parse::<OrderId>().map_err(corrupt)
                    });
                    Some(ids.collect::<Result<Vec<_>, _>>()?)
                }
                None => None,
            };
            Ok(match (phone, tracking) {
                (Some(phone), Some(tracking)) => phone.into_iter().filter(|id| tracking.contains(id)).collect(),
                (one, other) => one.or(other).unwrap_or_default(),
            })
        })
        .await
    }

    /// The notes and courier remarks of an order, for those who may read them.
    ///
    /// # Errors
    /// 410 where the person is gone; store or vault.
    pub async fn notes(&self, id: OrderId) -> Result<Vec<Note>, AppError> {
        self.read_sealed(move |conn, ring| {
            let mut notes = personal_record::find(conn, ring, id)?.notes;
            for remark in personal_records::remarks_of(conn, id)? {
                let plain = ring.open(remark.epoch, Table::CourierRemark, &remark.id, &remark.sealed)?;
                let text =
                    String::from_utf8(plain.to_vec()).map_err(|_| StoreError::corrupt("courier_remark", &remark.id))?;
                notes.push(Note {
                    kind: "courier_remark".to_owned(),
                    about: remark.id,
                    text: Pii::new(text),
                });
            }
            Ok(notes)
        })
        .await
    }

    /// Counts for operators and gauges. An order is nearly stuck for the last 14 days before it is ended.
    ///
    /// # Errors
    /// Store.
    pub async fn stats(&self) -> Result<Stats, AppError> {
        let now = self.clock.business_now();
        let warning = chrono::TimeDelta::days(14).min(delta(self.settings.stuck_after));
        let stuck_since = now - delta(self.settings.stuck_after) + warning;
        let unconfirmed_since = self.unconfirmed_since();
        self.orders
            .read(move |conn| {
                Ok(stats::read(
                    conn,
                    now,
                    stuck_since,
                    unconfirmed_since,
                    workdays::today_and_soon(now),
                )?)
            })
            .await
    }

    /// A reported end that waits to be confirmed since before this moment is trouble.
    pub fn unconfirmed_since(&self) -> BusinessTime {
        self.clock.business_now() - CONFIRM_WITHIN
    }

    /// A page of jobs, newest first.
    ///
    /// # Errors
    /// Store.
    pub async fn jobs(
        &self,
        state: Option<String>,
        before: Option<JobId>,
        limit: i64,
    ) -> Result<Vec<jobs::StoredJob>, AppError> {
        self.orders
            .read(move |conn| Ok(jobs::list(conn, state.as_deref(), before, limit)?))
            .await
    }

    /// Makes a dead job due at once.
    ///
    /// # Errors
    /// There is no such dead job; store.
    pub async fn requeue(&self, id: JobId) -> Result<(), AppError> {
        let (now, wall) = (self.clock.business_now(), self.clock.wall_now());
        let done = self
            .orders
            .write(move |conn| jobs::requeue(conn, id, now, wall))
            .await?;
        if done { Ok(()) } else { Err(AppError::NotFound) }
    }
}
