//! The room as a whole, on paused time, against a strict Flexslot.

mod model;
mod picking;
mod renewing;
mod world;
