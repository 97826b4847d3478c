//! What each tenant's connection looks like: one card, or a page of them.

mod draw;
mod memory;
mod walk;

use std::{collections::HashMap, slice};

use self::{
    draw::{Sitting, Whose},
    memory::Memory,
    walk::Walk,
};
use super::{Credentials, works::Works};
use crate::{
    model::{Card, ConnectionState, TenantId},
    store::{StoreError, TenantSummary},
};

/// Which cards are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CardQuery {
    /// Those in this state; `None`: all.
    pub state: Option<ConnectionState>,
    /// Those of tenants whose names begin with this text, whatever it is.
    pub prefix: Option<String>,
    /// Those after this tenant, in the bytewise order of names.
    pub after: Option<TenantId>,
    /// At most so many.
    pub limit: usize,
}

/// A part of the list of cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardPage {
    /// In the bytewise order of their tenants' names. Fewer than asked for, or none, do not mean that there are no more.
    pub cards: Vec<Card>,
    /// What to ask for the next part after; `None` at the end.
    pub next: Option<TenantId>,
    pub end: PageEnd,
}

/// Why a page ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageEnd {
    /// There are no more tenants.
    Complete,
    /// It has as many cards as were asked for.
    Full,
    /// So many tenants were looked at that the rest is for the next call; whether others of them are wanted is not
    /// known.
    StoppedEarly,
}

// === impl Credentials ===

impl Credentials {
    /// The card of `tenant`; `None` where neither the store nor the file knows it.
    pub async fn card(&self, tenant: &TenantId) -> Result<Option<Card>, StoreError> {
        let works = &self.works;
        let mut summaries = works.store.summaries(slice::from_ref(tenant)).await?;
        summaries.retain(|summary| summary.is_of_somebody() || works.settings().names(tenant));
        let cards = works.cards_of(summaries, None).await?;
        Ok(cards.into_iter().find_map(|(_, card)| card))
    }

    /// The cards that `query` asks for, and where to go on. Looks at a bounded number of tenants, whatever the store's
    /// size.
    pub async fn cards(&self, query: &CardQuery) -> Result<CardPage, StoreError> {
        match Walk::new(&self.works, query) {
            Some(walk) => walk.page().await,
            None => Ok(CardPage { cards: Vec::new(), next: None, end: PageEnd::Complete }),
        }
    }
}

// === impl Works ===

impl Works {
    /// A card for each of `summaries` that is in the state `wanted`, where one is.
    async fn cards_of(
        &self,
        summaries: Vec<TenantSummary>,
        wanted: Option<ConnectionState>,
    ) -> Result<Vec<(TenantId, Option<Card>)>, StoreError> {
        let (settings, now) = (self.settings(), self.now());
        let draw = |summary: &TenantSummary, whose: Option<&Whose>| {
            let (memory, policy) = (Memory::of(self, summary), settings.policy(&summary.tenant));
            Sitting { summary, memory: &memory, whose, policy: &policy, settings: &settings, now }.draw()
        };
        // Whose a grant is can make an error of its card, and of no other card what is wanted.
        let may_be_wanted = |card: &Card| {
            wanted.is_none_or(|wanted| {
                card.state == wanted || wanted == ConnectionState::Error && card.expires_at.is_some()
            })
        };
        let drawn: Vec<_> = summaries.iter().map(|summary| Some(draw(summary, None)).filter(may_be_wanted)).collect();
        let asked: Vec<_> = drawn.iter().flatten().map(|card| card.tenant.clone()).collect();
        let whose = self.whose(&asked).await?;
        let cards = summaries.into_iter().zip(drawn).map(|(summary, card)| {
            let card = card.map(|card| match whose.get(&summary.tenant) {
                Some(whose) => draw(&summary, Some(whose)),
                None => card,
            });
            let card = card.filter(|card| wanted.is_none_or(|wanted| card.state == wanted));
            (summary.tenant, card)
        });
        Ok(cards.collect())
    }

    /// Whose the grants of `tenants` are, of those of whom that is known.
    async fn whose(&self, tenants: &[TenantId]) -> Result<HashMap<TenantId, Whose>, StoreError> {
        let found = self.store.identities(tenants).await?;
        // Whose a grant is stands beside it: where that cannot be read, the card does without.
        let records = found.into_iter().map(|found| found.ok()?.record);
        let whose =
            tenants.iter().zip(records).filter_map(|(tenant, record)| Some((tenant.clone(), Whose::from(record?))));
        Ok(whose.collect())
    }
}
