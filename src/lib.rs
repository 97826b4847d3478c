//! A sidecar that attaches, refreshes and guards Flexslot credentials for apps that know nothing about them.
//!
//! # The map
//!
//! One crate, rooms by concern, one straight corridor:
//!
//! | room | what it is for |
//! |---|---|
//! | [`cli`] | one file per command; the only room that prints |
//! | [`app`] | builds every room from the configuration, and runs them |
//! | [`server`] | the outer wall: listeners, the strict reader of the wire, every answer of our own, the access log |
//! | [`proxy`] | the corridor: one request from its header to its response's |
//! | [`connect_flow`] | from "Connect Flexslot" to a grant: sessions' pages, the flow at Flexslot, the callback |
//! | [`admin`] | health and metrics, the API for apps and operators, the connections page |
//! | [`credential`] | the one door to the tokens: which one is best, and how it is renewed |
//! | [`store`] | sealed records, leases, intents, the spool; SQLite, Redis, PostgreSQL, memory |
//! | [`flexslot`] | what Flexslot's OAuth server speaks |
//! | [`telemetry`] | traces on their way to a collector (OpenTelemetry) |
//! | [`config`] | `proxy.toml` as written, then what it means |
//! | [`sandbox`] | a strict stand-in of Flexslot, for the demo, our tests and other people's |
//! | [`web`] | what every page for browsers has in common: frame, look, and the headers that keep it safe |
//! | [`model`] | what exists; imports nothing of ours |
//!
//! A request comes in by [`server::accept`], gets its name and its record in [`server::dispatch`], and goes through
//! [`proxy::handle`]. What becomes of a token is in `credential::renewal`.
//!
//! Arrows point down only; siblings do not know each other (`tests/layering.rs` keeps this true):
//!
//! ```text
//! main -> cli -> app, config, store, sandbox, admin::client, model
//! app -> every room             server -> proxy, connect_flow, admin, model
//! proxy -> credential, model    connect_flow -> credential, flexslot, web, model
//! admin -> credential, web, model
//! credential -> flexslot, store, model
//! config, flexslot, store, sandbox, telemetry, web -> model        model -> nothing
//! ```

#![forbid(unsafe_code)]

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod connect_flow;
pub mod credential;
pub mod flexslot;
pub mod model;
pub mod proxy;
pub mod sandbox;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod web;
