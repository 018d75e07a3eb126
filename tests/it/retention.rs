//! How long a person is kept: purges, holds, what comes too late, and the proof that nothing stayed.

mod expiry;
mod holds;
mod late_writers;
mod leak;
mod proof;
mod purge;
