//! A sidecar that attaches, refreshes and guards Flexslot credentials for apps that know nothing about them.
//!
//! # The map
//!
//! One crate, rooms by concern, one straight corridor. Arrows point down only; siblings do not know each other (`tests/layering.rs` keeps
//! this true):
//!
//! ```text
//! main -> cli -> app, config, store, sandbox, model
//! app -> every room                    server -> proxy, connect_flow, admin, model
//! proxy -> credential, model           connect_flow -> credential, flexslot, model     admin -> credential, model
//! credential -> flexslot, store, model config, flexslot, store, sandbox -> model       model -> nothing
//! ```

#![forbid(unsafe_code)]

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod credential;
pub mod flexslot;
pub mod model;
pub mod proxy;
pub mod sandbox;
pub mod server;
pub mod store;
