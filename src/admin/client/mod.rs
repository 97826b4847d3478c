//! The documents of the admin listener, in one shape for those who write them and those who read them.

mod trace;

pub use trace::{StepDocument, TimingsDocument, ToldDocument, TraceDocument};
