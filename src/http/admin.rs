//! `/admin/v1`: what operators, the print floor, the privacy desk and administrators do. Handlers beside their DTOs, a
//! file a resource; each handler's signature says the scope it needs.

pub(super) mod audit;
pub(super) mod jobs;
pub(super) mod keys;
pub(super) mod orders;
pub(super) mod print_queue;
pub(super) mod privacy;
pub(super) mod purges;
pub(super) mod shipment;
pub(super) mod stats;
