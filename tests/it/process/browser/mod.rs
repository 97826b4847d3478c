//! The running binary in front of a real browser: what people see and do, with scripts and without.

mod apps;
mod consent;
mod journey;
mod page;
mod sandbox;
mod stage;
