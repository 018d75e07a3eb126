//! What goes wrong with whole processes, databases and keys: crashes, restores, theft, a vault that is down.

mod crash;
mod epochs;
mod restore;
mod retire_epochs;
mod stolen;
mod vault_down;
