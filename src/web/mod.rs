//! What every page for browsers has in common: the frame, the look, the signs, the cookies, and the headers that keep it safe.

mod ahead;
mod cookie;
mod page;
mod sign;
mod style;

pub use ahead::is_ahead;
pub use cookie::{Cookie, bare_name, cookies, full_name};
pub use page::{Forms, Page};
pub use sign::Sign;
