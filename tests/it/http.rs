//! The API itself: what it refuses before any verb is called, and its pages for machines.

mod contract;
mod edge;
mod system;
