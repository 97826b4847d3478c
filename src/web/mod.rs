//! What every page for browsers has in common: the frame, the look, the signs, and the headers that keep it safe.

mod page;
mod sign;
mod style;

pub use page::{Forms, Page};
pub use sign::Sign;
