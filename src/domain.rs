//! Pure values and rules: no I/O, nothing async, no SQL. A value with a rule has a type, a private field and one
//! `parse`; its error never repeats the value.

pub mod actor;
pub mod api_key;
pub mod audit;
pub mod checkout;
pub mod circuit_breaker;
pub mod contact;
pub mod ids;
pub mod invalid;
pub mod job;
pub mod journal;
pub mod money;
pub mod order;
pub mod personal_record;
pub mod photo_size;
pub mod retention;
pub mod scope;
pub mod shipment;
pub mod subject_request;
pub mod timeline;
pub mod workdays;
