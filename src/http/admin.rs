//! `/admin/v1`: what operators, the print floor, the privacy desk and administrators do. Handlers beside their DTOs, a
//! file a resource; each handler's signature says the scope it needs.

pub mod audit;
pub mod breach;
pub mod by_hand;
pub mod couriers;
pub mod holds;
pub mod jobs;
pub mod keys;
pub mod label;
pub mod orders;
pub mod print_queue;
pub mod privacy;
pub mod purges;
pub mod shipment;
pub mod stats;
pub mod subject_export;
pub mod subject_requests;
