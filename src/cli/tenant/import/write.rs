//! The second reading: good lines go into the store, a batch at a time.

use std::mem;

use super::{
    BadLines, Source,
    check::{Checked, Checker},
    lines::Lines,
    skipped::LeftAlone,
};
use crate::{
    cli::{
        Console, Failure,
        progress::{Progress, counted},
    },
    config::StoreConfig,
    model::{Origin, import::ImportLine},
    store::{Existing, Imported, NewGrant, NewTenant, StoredPat, TokenStore},
};

/// What to do with the lines.
pub(super) struct Plan {
    pub(super) store: TokenStore,
    pub(super) existing: Existing,
    pub(super) bad_lines: BadLines,
    pub(super) checked: Checked,
}

/// Tenants per write: all or none of them are stored.
const BATCH: usize = 1000;

// === impl Plan ===

impl Plan {
    pub(super) async fn write(
        self,
        source: &Source,
        config: &StoreConfig,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let origin = &config.origin;
        let mut progress = Progress::new(console, "tenants", self.checked.good);
        let mut checker = Checker::new(config.client_id.as_deref());
        let mut lines = Lines::new(source.open()?);
        let mut batch = Vec::with_capacity(BATCH);
        let (mut imported, mut left_alone) = (Imported::default(), LeftAlone::default());
        while let Some((number, line)) = lines.next()? {
            match checker.check(number, line) {
                Ok(None) => {}
                Ok(Some(line)) => batch.extend(new_tenant(line, origin)),
                Err(_) if self.bad_lines == BadLines::Skip => {}
                Err(bad) => {
                    progress.end(console);
                    return Err(changed(&format!("{bad}"), &imported));
                }
            }
            if batch.len() == BATCH {
                self.write_batch(&mut batch, &mut imported, &mut progress, console).await?;
                left_alone.add(mem::take(&mut imported.left));
            }
        }
        self.write_batch(&mut batch, &mut imported, &mut progress, console).await?;
        left_alone.add(mem::take(&mut imported.left));
        progress.end(console);
        self.tell(&imported, &left_alone, config, console);
        Ok(())
    }

    async fn write_batch(
        &self,
        batch: &mut Vec<NewTenant>,
        imported: &mut Imported,
        progress: &mut Progress,
        console: &mut Console,
    ) -> Result<(), Failure> {
        if batch.is_empty() {
            return Ok(());
        }
        let size = batch.len() as u64;
        match self.store.import(mem::take(batch), self.existing).await {
            Ok(Imported { added, replaced, skipped, left, uncertain }) => {
                imported.added += added;
                imported.replaced += replaced;
                imported.skipped += skipped;
                imported.left.extend(left);
                imported.uncertain += uncertain;
                progress.advance(size, console);
                Ok(())
            }
            Err(error) => {
                progress.end(console);
                let stored = counted((imported.added + imported.replaced) as u64, "tenant");
                Err(Failure::new(format!("{error}; {stored} had been stored"))
                    .hint("run it again: it goes on where it stopped"))
            }
        }
    }

    fn tell(&self, imported: &Imported, left_alone: &LeftAlone, config: &StoreConfig, console: &mut Console) {
        let Imported { added, replaced, uncertain, .. } = *imported;
        let mut parts = vec![format!("Imported {}", counted((added + replaced) as u64, "tenant"))];
        if replaced > 0 {
            parts.push(format!("{replaced} of them in place of what was there"));
        }
        parts.extend(left_alone.parts());
        if uncertain > 0 {
            let grants = counted(uncertain as u64, "grant");
            parts.push(format!(
                "left alone {grants} whose refresh with this very refresh token has begun and has no outcome yet"
            ));
        }
        if self.checked.empty > 0 {
            parts.push(format!("{} brought nothing", counted(self.checked.empty, "line")));
        }
        if self.checked.bad > 0 {
            parts.push(format!("left out {}", counted(self.checked.bad, "bad line")));
        }
        console.tell(format_args!("{}.", parts.join("; ")));
        let (place, origin) = (&config.store.engine, &config.origin);
        if added + replaced > 0 {
            console.tell(format_args!("They are stored in {place} for {origin}."));
        }
        if self.checked.foreign > 0 {
            let grants = counted(self.checked.foreign, "grant");
            console
                .tell(format_args!("{grants} of a client that is not oauth.client_id will not be used until it is."));
        }
        if added + replaced == 0 {
            return;
        }
        console.tell(
            "From now on the app must not refresh these tokens itself: Flexslot revokes a grant when a spent refresh token comes back.",
        );
    }
}

/// `None` for a line that brings nothing.
fn new_tenant(line: ImportLine, origin: &Origin) -> Option<NewTenant> {
    let ImportLine { tenant, pat, grant } = line;
    if pat.is_none() && grant.is_none() {
        return None;
    }
    let pat = pat.map(|pat| StoredPat { pat, origin: origin.clone() });
    let grant = grant.map(|grant| NewGrant {
        // The checker has filled it in.
        client_id: grant.client_id.clone().unwrap_or_default(),
        origin: origin.clone(),
        tokens: grant.into_tokens(),
    });
    Some(NewTenant { tenant, pat, grant })
}

fn changed(bad: &str, imported: &Imported) -> Failure {
    let stored = counted((imported.added + imported.replaced) as u64, "tenant");
    Failure::new(format!("the file changed while it was imported ({bad}); {stored} had been stored"))
        .hint("run it again on a file that nobody writes to")
}
