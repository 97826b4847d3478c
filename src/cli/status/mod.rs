//! `status [TENANT]`

pub(super) mod card;
mod frame;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::sleep;

use super::{
    Console, Failure, GlobalArgs, StoreOverrides, World,
    console::{Reader, printable},
    signals::Signals,
    store,
};
use crate::{
    admin::client::CardDocument,
    app::{
        Surroundings,
        door::{self, CardQuery, Looking},
        settings,
    },
    config::{Config, ConfigSource, Environment, Overrides, ServiceSecrets, StoreConfig},
    model::{Card, TenantId},
};
use frame::Fitted;

/// Show how the tenants' connections are, as they stand in the store
///
/// A running sidecar is not asked, and need not run. Who a connection belongs to, what it may do, when it was last
/// used, why it is broken, and the command that mends it.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Only this tenant
    tenant: Option<TenantId>,
    /// Print an array of cards, as the admin API has them; with --watch one array a line
    #[arg(long)]
    json: bool,
    /// Show them again whenever they change, until Ctrl-C
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    overrides: StoreOverrides,
}

/// What is looked at, and how it is shown.
struct Look<'a> {
    source: ConfigSource,
    overrides: Overrides,
    environment: &'a dyn Environment,
    around: Surroundings,
    tenant: Option<TenantId>,
    form: Form,
}

/// What is there to see.
struct Seen {
    looking: Looking,
    manage_url: String,
}

/// How cards are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In frames, on so many columns.
    Frames(usize),
    /// As an array with one card a line.
    Array,
    /// As an array in one line.
    Line,
}

/// What stands before, between and after cards.
struct Marks(&'static str, &'static str, &'static str);

/// How often is looked whether something has changed.
const EVERY: Duration = Duration::from_secs(2);

/// Cards in memory at a time.
const PAGE: usize = 200;

const NOBODY: &str = "There are no tenants yet. To connect one: flexslot-proxy connect TENANT";

/// Where output is not a terminal.
const COLUMNS: usize = 80;

// === impl StatusArgs ===

impl StatusArgs {
    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        super::runtime()?.block_on(self.show(global, world))
    }

    async fn show(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let Self { tenant, json, watch, overrides } = self;
        let form = match (json, watch) {
            (true, true) => Form::Line,
            (true, false) => Form::Array,
            (false, _) => Form::Frames(world.console.columns().unwrap_or(COLUMNS)),
        };
        let look = Look {
            source: global.source(world.environment),
            overrides: overrides.into(),
            environment: world.environment,
            around: world.surroundings(),
            tenant,
            form,
        };
        if watch { look.watch(&mut world.console).await } else { look.once(&mut world.console).await }
    }
}

// === impl Look ===

impl Look<'_> {
    async fn once(&self, console: &mut Console) -> Result<(), Failure> {
        let seen = self.see().await?;
        let shown = self.write(&seen, |piece| console.data_to_reader(piece.as_bytes())).await?;
        seen.looking.notes.iter().for_each(|note| console.tell(printable(note)));
        if shown == 0 && self.is_for_people() {
            console.tell(NOBODY);
        }
        Ok(())
    }

    fn is_for_people(&self) -> bool {
        matches!(self.form, Form::Frames(_))
    }

    /// Ends with a signal, or with whoever reads.
    async fn watch(&self, console: &mut Console) -> Result<(), Failure> {
        let mut signals = Signals::of_a_terminal()?;
        let showing = async {
            let (mut seen, mut shown) = (self.see().await?, None);
            loop {
                let mut picture = String::new();
                let shows = self.write(&seen, |piece| {
                    picture.push_str(piece);
                    Ok(Reader::There)
                });
                if shows.await? == 0 && self.is_for_people() {
                    picture = format!("{NOBODY}\n");
                }
                if shown.as_ref() != Some(&picture) {
                    if self.is_for_people() && shown.is_some() {
                        console.turn_page()?;
                    }
                    if console.data_to_reader(picture.as_bytes())? == Reader::Gone {
                        return Ok(());
                    }
                    shown = Some(picture);
                }
                sleep(EVERY).await;
                if !seen.looking.has_store {
                    seen = self.see().await?;
                }
            }
        };
        tokio::select! {
            () = signals.stop() => Ok(()),
            ended = showing => ended,
        }
    }

    /// Reads the configuration and what it names: the key comes with the store.
    async fn see(&self) -> Result<Seen, Failure> {
        let (source, overrides) = (&self.source, &self.overrides);
        let config = Config::load_with(ServiceSecrets::None, source, overrides, self.environment)?;
        let file = StoreConfig::load(source, overrides, self.environment)?;
        store::require_durable(&config.store)?;
        let looking = door::look(&config, &file, &self.around).await?;
        Ok(Seen { looking, manage_url: settings::manage_url(&config) })
    }

    /// Has `out` take all cards, for as long as somebody reads them; answers how many there are.
    async fn write(&self, seen: &Seen, mut out: impl FnMut(&str) -> Result<Reader, Failure>) -> Result<usize, Failure> {
        let Marks(before, between, after) = self.form.marks();
        let around = card::Surroundings { now: self.around.clock.now(), manage_url: seen.manage_url.clone() };
        let credentials = &seen.looking.credentials;
        let mut query = CardQuery { limit: PAGE, ..CardQuery::default() };
        let (mut begun, mut written) = (false, 0);
        loop {
            let (cards, next) = match &self.tenant {
                Some(tenant) => (vec![credentials.card(tenant).await?.ok_or_else(|| unknown(tenant))?], None),
                None => {
                    let page = credentials.cards(&query).await?;
                    (page.cards, page.next)
                }
            };
            if !std::mem::replace(&mut begun, true) {
                out(before)?;
            }
            for card in &cards {
                let mark = if written == 0 { "" } else { between };
                if out(&format!("{mark}{}", self.shown(card, &around)))? == Reader::Gone {
                    return Ok(written);
                }
                written += 1;
            }
            match next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        out(after)?;
        Ok(written)
    }

    fn shown(&self, card: &Card, around: &card::Surroundings) -> String {
        match self.form {
            Form::Frames(columns) => format!("{}\n", Fitted(&card::draw(card, around), columns)),
            Form::Array | Form::Line => json(&CardDocument::new(card, &around.manage_url)),
        }
    }
}

/// The document as text. It has nothing that could not be written.
fn json(document: &CardDocument) -> String {
    serde_json::to_string(document).unwrap_or_default()
}

/// That neither the store nor the file has heard of a tenant.
pub(super) fn unknown(tenant: &TenantId) -> Failure {
    Failure::new(format!("nobody knows a tenant {tenant}"))
        .hint(format!("status shows who is there; to connect a new one: flexslot-proxy connect {tenant}"))
}

// === impl Form ===

impl Form {
    const fn marks(self) -> Marks {
        match self {
            Self::Frames(_) => Marks("", "\n", ""),
            Self::Array => Marks("[", ",\n", "]\n"),
            Self::Line => Marks("[", ",", "]\n"),
        }
    }
}
