//! Whole flows before a scripted Flexslot, on paused time.

mod confirming;
mod flows;
mod logs;
mod refusals;
mod server;
mod world;

pub(super) use world::settings;
