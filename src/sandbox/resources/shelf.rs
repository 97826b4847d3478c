//! What one user owns.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use crate::{
    model::{Random, Timestamp},
    sandbox::ids,
};

/// Fields of an object as the API shows them.
pub(super) type Fields = Map<String, Value>;

/// A user's decks and sideboards by id; ids are ordered by creation.
#[derive(Default)]
pub(in crate::sandbox) struct Shelf {
    pub(super) decks: BTreeMap<String, Deck>,
    pub(super) sideboards: BTreeMap<String, Fields>,
    /// The provenance triples in use.
    pub(super) provenances: HashSet<Provenance>,
}

pub(super) struct Deck {
    /// The states of the deck, oldest first; never empty.
    pub(super) versions: Vec<Fields>,
    pub(super) guide: Option<Fields>,
    pub(super) provenance: Option<Provenance>,
}

/// Provider, external id and external version of where a deck came from.
pub(super) type Provenance = [String; 3];

// === impl Shelf ===

impl Shelf {
    /// Adds a deck with only a name and answers its id.
    pub(in crate::sandbox) fn add_deck(&mut self, name: &str, random: &Random, now: Timestamp) -> String {
        let mut fields = Fields::new();
        fields.insert("name".to_owned(), name.into());
        self.insert_deck(fields, None, random, now)
    }

    pub(super) fn insert_deck(
        &mut self,
        mut fields: Fields,
        provenance: Option<Provenance>,
        random: &Random,
        now: Timestamp,
    ) -> String {
        let id = ids::uuid(random, now);
        fields.insert("id".to_owned(), id.as_str().into());
        touch(&mut fields, now);
        self.provenances.extend(provenance.clone());
        self.decks.insert(id.clone(), Deck { versions: vec![fields], guide: None, provenance });
        id
    }
}

// === impl Deck ===

impl Deck {
    pub(super) fn current(&self) -> Option<&Fields> {
        self.versions.last()
    }

    /// Saves a new state on top of the history.
    pub(super) fn save(&mut self, mut fields: Fields, now: Timestamp) -> Value {
        touch(&mut fields, now);
        let shown = Value::Object(fields.clone());
        self.versions.push(fields);
        shown
    }

    /// The history, in the order that defines the 1-based version number.
    pub(super) fn history(&self) -> Value {
        let states = self.versions.iter().enumerate();
        states
            .map(|(at, state)| json!({"version_number": at + 1, "saved_at": state["updated_at"], "deck": state}))
            .collect()
    }
}

/// Sets `updated_at`, and `created_at` where there is none.
pub(super) fn touch(fields: &mut Fields, now: Timestamp) {
    fields.entry("created_at").or_insert_with(|| now.to_string().into());
    fields.insert("updated_at".to_owned(), now.to_string().into());
}
