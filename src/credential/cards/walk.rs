//! How a page of cards is gathered.
//!
//! Tenants come from several sides, each in the order of names: lists of the store, as many as it takes for the state
//! that is asked for; the tenants that the file names, which the store need not know; and those of whom the store has
//! still to take an outcome, so that what it lists them under is out of date. Each side is asked for the next few. As
//! far as all of them reach, what they have is merged; what lies beyond is asked for again.

use std::{collections::BTreeMap, mem};

use super::{CardPage, CardQuery, PageEnd};
use crate::{
    credential::works::Works,
    model::{Card, ConnectionState, TenantId},
    store::{Standing, StoreError, TenantSummary, backend::Names},
};

/// How many tenants one call looks at, at the most and for each list of the store: a call costs as much whatever the
/// store's size, however rare what it looks for is.
const MOST_LOOKED_AT: usize = 1000;

/// The most cards on a page.
const MOST_CARDS: usize = 1000;

/// The fewest tenants that are looked at in one go.
const FEWEST_AT_ONCE: usize = 20;

/// A page that is being gathered.
pub(super) struct Walk<'a> {
    works: &'a Works,
    state: Option<ConnectionState>,
    prefix: &'a str,
    limit: usize,
    cards: Vec<Card>,
    /// Everybody up to this name has been looked at.
    after: String,
    /// The last tenant up to there, as far as a name is known that is one's.
    last: Option<TenantId>,
}

/// Tenants that were looked up together.
#[derive(Default)]
struct Stretch {
    tenants: BTreeMap<TenantId, TenantSummary>,
    /// All up to this name are among them; `None`: all that there are.
    reach: Option<String>,
}

// === impl Walk ===

impl<'a> Walk<'a> {
    /// Begins to gather what `query` asks for; `None` where that can be nobody.
    pub(super) fn new(works: &'a Works, query: &'a CardQuery) -> Option<Self> {
        let prefix = query.prefix.as_deref().unwrap_or_default();
        // Whatever a tenant's name begins with could itself be one.
        let is_possible = prefix.is_empty() || prefix.parse::<TenantId>().is_ok();
        is_possible.then(|| Self {
            works,
            state: query.state,
            prefix,
            limit: query.limit.clamp(1, MOST_CARDS),
            cards: Vec::new(),
            after: query.after.as_ref().map(ToString::to_string).unwrap_or_default(),
            last: None,
        })
    }

    /// Looks at tenants until the page is full, all have been looked at, or enough for one call.
    pub(super) async fn page(mut self) -> Result<CardPage, StoreError> {
        // One more than is wanted tells whether there are more.
        let mut at_once = (self.limit + 1).max(FEWEST_AT_ONCE);
        let mut left = at_once.max(MOST_LOOKED_AT);
        loop {
            at_once = at_once.min(left);
            left -= at_once;
            let Stretch { tenants, reach } = self.stretch(at_once).await?;
            for (tenant, card) in self.works.cards_of(tenants.into_values().collect(), self.state).await? {
                if self.cards.len() == self.limit {
                    return Ok(self.end(PageEnd::Full));
                }
                self.cards.extend(card);
                self.last = Some(tenant);
            }
            let Some(reach) = reach else { return Ok(self.end(PageEnd::Complete)) };
            self.last = reach.parse().ok().or(self.last);
            self.after = reach;
            if self.cards.len() == self.limit {
                return Ok(self.end(PageEnd::Full));
            }
            match self.last {
                Some(_) if left == 0 => return Ok(self.end(PageEnd::StoppedEarly)),
                // The next call would have no name to go on from.
                None if left == 0 => left = at_once,
                _ => at_once *= 2,
            }
        }
    }

    fn end(self, end: PageEnd) -> CardPage {
        CardPage { cards: self.cards, next: self.last.filter(|_| end != PageEnd::Complete), end }
    }

    /// The next tenants that may be wanted, about so many.
    async fn stretch(&self, at_once: usize) -> Result<Stretch, StoreError> {
        let (store, names) = (&self.works.store, Names { after: &self.after, prefix: self.prefix });
        let mut stretch = Stretch::default();
        for standing in standings(self.state) {
            let page = store.list(names, at_once, *standing).await?;
            stretch.add(page.tenants, page.next);
        }
        let mut others = self.not_listed(names);
        let reach = others.get(at_once).map(|_| others[at_once - 1].to_string());
        others.truncate(at_once);
        others.retain(|tenant| !stretch.tenants.contains_key(tenant) && stretch.reaches(tenant));
        stretch.add(store.summaries(&others).await?, reach);
        Ok(stretch.cut())
    }

    /// Those of `names` that the store's lists may lack, in order.
    fn not_listed(&self, names: Names<'_>) -> Vec<TenantId> {
        let mut found = self.works.custody.awaited();
        if matches!(self.state, None | Some(ConnectionState::NotConnected | ConnectionState::Error)) {
            found.extend(self.works.settings().tenants.keys().cloned());
        }
        found.retain(|tenant| names.have(tenant.as_str()));
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The lists of the store in which everybody is who may have a card in `state`.
fn standings(state: Option<ConnectionState>) -> &'static [Option<Standing>] {
    match state {
        // What cannot be read may be anywhere.
        None | Some(ConnectionState::Error) => &[None],
        Some(ConnectionState::Connected | ConnectionState::Expiring) => &[Some(Standing::Connected)],
        Some(ConnectionState::ReconnectRequired) => &[Some(Standing::Disconnected)],
        Some(ConnectionState::NotConnected) => &[Some(Standing::Disconnected), Some(Standing::NotConnected)],
    }
}

// === impl Stretch ===

impl Stretch {
    /// Adds what one side has, which is all of it up to `reach`.
    fn add(&mut self, tenants: Vec<TenantSummary>, reach: Option<String>) {
        self.tenants.extend(tenants.into_iter().map(|summary| (summary.tenant.clone(), summary)));
        self.reach = match (self.reach.take(), reach) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
    }

    fn reaches(&self, tenant: &TenantId) -> bool {
        self.reach.as_deref().is_none_or(|reach| tenant.as_str() <= reach)
    }

    /// Without those of whom some side has not told yet.
    fn cut(mut self) -> Self {
        let tenants = mem::take(&mut self.tenants);
        self.tenants = tenants.into_iter().filter(|(tenant, _)| self.reaches(tenant)).collect();
        self
    }
}
