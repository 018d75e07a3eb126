//! What the floor printed, when, and by whom.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::domain::ids::OrderId;
use crate::store::schema::prints;
use crate::store::{AnyConn, StoreError};

/// One print of an order.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = prints)]
#[expect(missing_docs, reason = "the columns of migrations/orders")]
pub struct PrintRow {
    pub id: String,
    pub order_id: String,
    pub at: NaiveDateTime,
    pub operator: String,
    pub station: Option<String>,
    pub reprint: bool,
}

/// Records a print.
///
/// # Errors
/// The database.
pub fn add_in_tx(conn: &mut AnyConn, row: &PrintRow) -> Result<(), StoreError> {
    diesel::insert_into(prints::table).values(row).execute(conn)?;
    Ok(())
}

/// The prints of an order, oldest first.
///
/// # Errors
/// The database.
pub fn of_order(conn: &mut AnyConn, order: OrderId) -> Result<Vec<PrintRow>, StoreError> {
    Ok(prints::table
        .filter(prints::order_id.eq(order.to_string()))
        .order(prints::id)
        .select(PrintRow::as_select())
        .load(conn)?)
}
