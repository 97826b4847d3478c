//! `status [TENANT]`

pub(super) mod card;
mod frame;
mod room;
#[cfg(test)]
mod tests;
mod watch;

use super::{
    Console, Failure, GlobalArgs, StoreOverrides, World,
    console::{Reader, printable},
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
use room::Room;

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
    /// Show them again whenever they change, until Ctrl-C; on a terminal as many as it has room for
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
    /// How many rows there are for them.
    room: Room,
}

/// What is there to see.
struct Seen {
    looking: Looking,
    manage_url: String,
    /// The store that was looked at.
    place: String,
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

/// Cards in memory at a time.
const PAGE: usize = 200;

/// What stands below the cards that there was room for.
const MORE: &str = "\nThere are more tenants than fit here.\nTo see one: flexslot-proxy status TENANT\n";

/// Where output is not a terminal.
const COLUMNS: usize = 80;

// === impl StatusArgs ===

impl StatusArgs {
    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        super::runtime()?.block_on(self.show(global, world))
    }

    async fn show(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let Self { tenant, json, watch, overrides } = self;
        let screen = world.console.screen();
        let form = match (json, watch) {
            (true, true) => Form::Line,
            (true, false) => Form::Array,
            (false, _) => Form::Frames(screen.map_or(COLUMNS, |screen| screen.columns)),
        };
        let room = match screen {
            Some(screen) if watch && !json => Room::of(screen),
            _ => Room::ENDLESS,
        };
        let look = Look {
            source: global.source(world.environment),
            overrides: overrides.into(),
            environment: world.environment,
            around: world.surroundings(),
            tenant,
            form,
            room,
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
            console.tell(seen.nobody());
        }
        Ok(())
    }

    fn is_for_people(&self) -> bool {
        matches!(self.form, Form::Frames(_))
    }

    /// Reads the configuration and what it names: the key comes with the store.
    async fn see(&self) -> Result<Seen, Failure> {
        let (source, overrides) = (&self.source, &self.overrides);
        let config = Config::load_with(ServiceSecrets::None, source, overrides, self.environment)?;
        let file = StoreConfig::load(source, overrides, self.environment)?;
        store::require_durable(&config.store)?;
        let looking = door::look(&config, &file, &self.around).await?;
        Ok(Seen { looking, manage_url: settings::manage_url(&config), place: config.store.engine.to_string() })
    }

    /// Has `out` take the cards that there is room for, while somebody reads them; answers how many those are.
    async fn write(&self, seen: &Seen, mut out: impl FnMut(&str) -> Result<Reader, Failure>) -> Result<usize, Failure> {
        let Marks(before, between, after) = self.form.marks();
        let around = card::Surroundings { now: self.around.clock.now(), manage_url: seen.manage_url.clone() };
        let credentials = &seen.looking.credentials;
        let mut query = CardQuery { limit: self.room.cards().min(PAGE), ..CardQuery::default() };
        let (mut begun, mut written, mut room) = (false, 0, self.room);
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
                let piece = format!("{mark}{}", self.shown(card, &around));
                if !room.takes(&piece) && written > 0 {
                    out(MORE)?;
                    return Ok(written);
                }
                if out(&piece)? == Reader::Gone {
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

// === impl Seen ===

impl Seen {
    /// That there are none, and where: it may be another store than the sidecar's.
    fn nobody(&self) -> String {
        format!("There are no tenants in {} yet. To connect one: flexslot-proxy connect TENANT", self.place)
    }
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
