//! The imitations of couriers that the adapters' own tests use, and the server they stand on.

#[path = "../../../src/couriers/easypost/tests/imitation.rs"]
pub(crate) mod easypost;
#[path = "../../../src/couriers/karrio/tests/imitation.rs"]
pub(crate) mod karrio;
#[path = "../../../src/couriers/contract/server.rs"]
#[expect(dead_code, reason = "the unit tests use the rest")]
mod server;
