//! The room as a whole, on paused time, against a strict Flexslot.

mod bound;
mod card_lists;
mod cards;
mod connecting;
mod crowd;
mod draining;
mod evicting;
mod faulty;
mod flexslot;
mod idle;
mod keeping;
mod late;
mod model;
mod overtaken;
mod picking;
mod refusals;
mod renewing;
mod rereading;
mod tracing;
mod travelling;
mod uncertain;
mod unreadable;
mod upkeep;
mod waiting;
mod whose;
mod world;
