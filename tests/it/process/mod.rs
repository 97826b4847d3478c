//! The real binary as a process, in front of a sandbox that lives in the test: what only a process can show, such as
//! memory, signals, sudden death, and what it writes where.
//!
//! Every figure that a test prints is for reading; no test fails because a machine is slow.

mod admin_log;
mod admin_token;
mod apps;
mod asking;
mod browser;
mod canary;
mod cards;
mod check;
mod check_online;
mod clients;
mod commands;
mod consent;
mod drain;
mod engines;
mod http;
mod keyring;
mod keys;
mod kill;
mod log;
#[cfg(debug_assertions)]
mod management;
mod memory;
mod openapi;
mod outages;
mod private_memory;
mod refusals;
mod reload;
mod service;
mod shared_store;
#[cfg(debug_assertions)] // without them there is no step to die at
mod steps;
mod storm;
mod tls;
mod travel;
mod under_fire;
mod world;
