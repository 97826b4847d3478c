//! The one integration binary: what of the program can be seen from outside, and how it is laid out.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../layering.rs"]
mod layering;

#[path = "../servers/mod.rs"]
mod servers;

mod admin;
mod admin_api;
mod admin_auth;
mod admin_page;
mod bodies;
mod bound;
mod callers;
mod conformance;
mod connecting;
mod docs;
mod fuzzing;
mod headers;
mod lifecycle;
mod limits;
mod malformed;
mod packaging;
mod picking;
mod problems;
mod process;
mod protocols;
mod refresh_failures;
mod renewal;
mod replay;
mod simulation;
mod support;
mod telemetry;
mod tenants;
mod traces;
mod urls;
mod wiping;
