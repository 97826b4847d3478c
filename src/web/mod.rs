//! What every page for browsers has in common: the frame, the look, the signs, and the headers that keep it safe.

mod ahead;
mod page;
mod sign;
mod style;

pub use ahead::is_ahead;
pub use page::{Forms, Page};
pub use sign::Sign;
