//! What Flexslot is about to be asked, noted before; and what came of it.

use std::cmp::Ordering;

use super::{
    BegunStep, CREATION, ClientIntent, ClientRecord, ClientStep, Creation, Generation, Next, Removal, SecretOutcome,
    client_key, known_better,
};
use crate::{
    model::{ClientDescription, Origin, TenantId},
    store::{
        Cas, StoreError, TokenStore,
        backend::{Change, Expect},
        record,
    },
};

// === impl TokenStore ===

impl TokenStore {
    /// Writes down that Flexslot is about to be asked for a client.
    pub async fn begin_creation(
        &self,
        name: &str,
        origin: &Origin,
        tenant: &TenantId,
        before: Vec<String>,
    ) -> Result<Creation, StoreError> {
        let creation = Creation {
            id: format!("{CREATION}{}", self.random_name()),
            name: name.to_owned(),
            origin: origin.clone(),
            tenant: tenant.clone(),
            at: self.backend.now().await?,
            before,
        };
        let key = client_key(&creation.id);
        let (label, body) = record::creation(&self.sealer, &key, &creation);
        let change = Change { key, expect: Expect::Absent, label, body };
        match self.write(vec![change]).await?.into() {
            Cas::Stored => Ok(creation),
            Cas::Moved => Err(StoreError::Unavailable("a name that was to be new is there already".into())),
        }
    }

    /// Keeps what came of a creation, and its note no longer. Where somebody has found the client meanwhile, taken it for
    /// left behind, and given it another secret, that one stays.
    pub async fn finish_creation(
        &self,
        creation: &Creation,
        client: &ClientRecord,
    ) -> Result<SecretOutcome, StoreError> {
        let key = client_key(&client.client.client_id);
        loop {
            let row = self.row(&key).await?;
            let mut changes = vec![self.over_with(&creation.id).await?];
            let generation = self.next_generation(&key, row.as_ref()).await?;
            let found = self.kept(&key, row.as_ref())?;
            let is_overtaken =
                found.is_some_and(|found| found.client.secret_rotated_at > client.client.secret_rotated_at);
            if !is_overtaken {
                let (label, body) = record::client(&self.sealer, &key, &ClientRecord { generation, ..client.clone() });
                changes.push(Change { key: key.clone(), expect: Expect::as_read(row.as_ref()), label, body });
            }
            if Cas::from(self.write(changes).await?) == Cas::Stored {
                return Ok(if is_overtaken { SecretOutcome::Overtaken } else { SecretOutcome::Stored });
            }
        }
    }

    /// Nothing came of the creation.
    pub async fn drop_creation(&self, creation: &Creation) -> Result<(), StoreError> {
        self.write(vec![self.over_with(&creation.id).await?]).await.map(drop)
    }

    /// Writes down that Flexslot is about to be asked to do `step` with a client, as it is described now. The secret
    /// that is kept stays until there is another.
    pub async fn begin_step(
        &self,
        client: &ClientDescription,
        origin: &Origin,
        tenant: &TenantId,
        step: ClientStep,
    ) -> Result<BegunStep, StoreError> {
        let at = self.backend.now().await?;
        let intent = ClientIntent { id: self.random_name(), step, at };
        let mut before = None;
        self.change_client(&client.client_id, |found, next| {
            before = found.as_ref().and_then(|kept| kept.secret.clone());
            let described = found.as_ref().map(|found| known_better(client.clone(), &found.client));
            Next::Keep(Box::new(ClientRecord {
                client: described.unwrap_or_else(|| client.clone()),
                origin: origin.clone(),
                // A note makes no secret newer; one beside which there is no client stands for what is to come.
                generation: found.as_ref().map_or(next, |found| found.generation),
                // Whose PAT manages it does not change because another's has asked: Flexslot may not know it by that.
                tenant: found.map_or_else(|| tenant.clone(), |found| found.tenant),
                secret: before.clone(),
                intent: Some(intent.clone()),
            }))
        })
        .await?;
        Ok(BegunStep { intent, before })
    }

    /// Keeps the secret that a rotation has brought, with Flexslot's time of it, and its note no longer. Where another
    /// rotation has come in between, the later one by Flexslot's time stays.
    pub async fn finish_rotation(
        &self,
        begun: &BegunStep,
        rotated: &ClientRecord,
    ) -> Result<SecretOutcome, StoreError> {
        let mut outcome = SecretOutcome::Stored;
        self.change_client(&rotated.client.client_id, |found, generation| {
            let rotated = ClientRecord { generation, ..rotated.clone() };
            let (next, became) = after_rotation(begun, rotated, found);
            outcome = became;
            next
        })
        .await?;
        Ok(outcome)
    }

    /// Flexslot has provably not done it: the note goes, and so does a client of whom nothing else is kept.
    pub async fn withdraw_step(&self, client_id: &str, intent: &ClientIntent) -> Result<(), StoreError> {
        self.change_client(client_id, |found, _| match found {
            Some(found) if found.intent.as_ref() == Some(intent) => {
                let without = ClientRecord { intent: None, ..found };
                if without.is_presentable() { Next::Keep(Box::new(without)) } else { Next::Gone(Removal::OnlyNoted) }
            }
            _ => Next::Stay,
        })
        .await
    }

    /// Marks a creation's note as over.
    async fn over_with(&self, creation: &str) -> Result<Change, StoreError> {
        self.gone(creation, Generation::default(), Removal::OnlyNoted).await
    }

    fn random_name(&self) -> String {
        format!("{:032x}", u128::from_le_bytes(self.random.bytes()))
    }
}

/// What becomes of a client's row with the secret of a rotation, and what that comes to.
fn after_rotation(begun: &BegunStep, rotated: ClientRecord, found: Option<ClientRecord>) -> (Next, SecretOutcome) {
    let keep = |kept| Next::Keep(Box::new(kept));
    let Some(found) = found else { return (keep(rotated), SecretOutcome::Stored) };
    let of_others = found.intent.clone().filter(|other| other.id != begun.intent.id);
    if found.secret != begun.before && found.secret != rotated.secret {
        match found.client.secret_rotated_at.cmp(&rotated.client.secret_rotated_at) {
            Ordering::Less => {}
            Ordering::Greater => return (keep(ClientRecord { intent: of_others, ..found }), SecretOutcome::Overtaken),
            Ordering::Equal => {
                let intent = Some(begun.intent.clone());
                return (keep(ClientRecord { intent, ..found }), SecretOutcome::Unsure);
            }
        }
    }
    (keep(ClientRecord { intent: of_others, ..rotated }), SecretOutcome::Stored)
}
