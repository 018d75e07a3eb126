//! The verbs of an order: taken by checkout, printed by the floor, seen by whoever may.

mod checkout;
mod intake;
mod print_floor;
mod visibility;
