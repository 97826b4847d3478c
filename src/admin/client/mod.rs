//! The documents of the admin listener, in one shape for those who write them and those who read them.

mod health;
mod trace;

pub use health::HealthDocument;
pub use trace::{StepDocument, TimingsDocument, ToldDocument, TraceDocument};
