//! The connections page: a card per tenant, and what can be done about it. Plain HTML and forms; nothing runs in the
//! browser.

mod asked;
mod card;
mod disconnect;
mod list;
mod result;
mod routes;
mod trouble;
mod words;

#[cfg(test)]
mod tests;

pub(super) use self::{routes::routes, trouble::Trouble};

use crate::model::Timestamp;

/// What a page needs to know besides its cards.
#[derive(Debug)]
struct Surroundings<'a> {
    now: Timestamp,
    /// Where users see and revoke what they allowed, at Flexslot.
    manage_url: &'a str,
    /// Proves that a form comes from a page of this session.
    csrf: &'a str,
}
