//! `tenant import`: credentials from another program, in JSON Lines.
//!
//! Everything is read twice: once to check all of it, once to write. Standard input, which comes only once, is staged
//! in between.

mod check;
mod lines;
mod skipped;
mod stage;
mod write;

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use super::load;
use crate::{
    cli::{Failure, GlobalArgs, StoreOverrides, World, progress::counted, store},
    store::Existing,
};
use check::Checker;
use lines::Lines;
use stage::Stage;
use write::Plan;

/// Store the credentials of many tenants at once, from JSON Lines
///
/// One tenant per line, from FILE or standard input:
///
///     {"tenant":"acme","pat":"flx_pat_…"}
///     {"tenant":"beta","access_token":"…","refresh_token":"…",
///      "expires_at":"2026-11-20T18:00:00Z","scope":"decks:read cards:read"}
///
/// (each on a single line). The column names of Flexslot's migration guide are understood too: flexslot_pat,
/// flexslot_access_token, flexslot_refresh_token, flexslot_expires_at. expires_at is RFC 3339 or Unix seconds; without
/// it, or without an access token, the grant is refreshed at first need. A member that is null counts as absent.
/// client_id names the OAuth client of the grant; by default it is oauth.client_id.
///
/// All lines are checked before the first is written. A tenant that already has a credential is
/// skipped, so that a second run never puts spent tokens over newer ones.
///
/// With --replace, the lines must bring refresh tokens that nobody has used: only one whose refresh is
/// under way is known, and its grant stays. The same refresh token under two tenants is found among the
/// lines, but not between them and the store.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ImportArgs {
    /// The lines; standard input when there is no FILE, or it is -
    file: Option<PathBuf>,
    /// Put what the lines bring in place of what their tenants have
    #[arg(long)]
    replace: bool,
    /// Write the good lines even if others are bad
    #[arg(long)]
    skip_bad: bool,
    #[command(flatten)]
    overrides: StoreOverrides,
}

/// What happens to the good lines when others are bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BadLines {
    Forbid,
    Skip,
}

/// Lines that can be read again.
enum Source {
    File(PathBuf),
    Staged(Stage),
}

// === impl ImportArgs ===

impl ImportArgs {
    pub(super) async fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let Self { file, replace, skip_bad, overrides } = self;
        let config = load(global, overrides, world)?;
        store::require_durable(&config.store)?;
        let mut checker = Checker::new(config.client_id.as_deref());
        let file = file.filter(|path| path.as_os_str() != "-");
        let state_dir = config.store.state_dir.as_deref();
        let source = Source::check(file, state_dir, &mut checker, world)?;
        let checked = checker.finish();
        checked.tell(&mut world.console);
        if checked.bad > 0 && !skip_bad {
            return Err(Failure::new(format!("{}; nothing was written", counted(checked.bad, "bad line")))
                .hint("mend them, or write the good ones with --skip-bad"));
        }
        let plan = Plan {
            store: store::open(&config.store, world).await?,
            existing: if replace { Existing::Replace } else { Existing::Skip },
            bad_lines: if skip_bad { BadLines::Skip } else { BadLines::Forbid },
            checked,
        };
        plan.write(&source, &config, &mut world.console).await
    }
}

// === impl Source ===

impl Source {
    /// The first reading. What comes only once, such as standard input or a pipe, is staged on the way.
    fn check(
        file: Option<PathBuf>,
        state_dir: Option<&Path>,
        checker: &mut Checker<'_>,
        world: &mut World<'_>,
    ) -> Result<Self, Failure> {
        let stage = || Stage::create(state_dir, world.random.clone());
        let Some(path) = file else {
            let stage = stage()?;
            world
                .console
                .tell_who_types("Reading JSON Lines from the terminal; Ctrl-D on a line of its own ends them.");
            return Ok(Self::Staged(stage.filled(world.console.input(), checker)?));
        };
        let reader = open(&path)?;
        if !reader.get_ref().metadata().is_ok_and(|facts| facts.is_file()) {
            return Ok(Self::Staged(stage()?.filled(reader, checker)?));
        }
        let mut lines = Lines::new(reader);
        while let Some((number, line)) = lines.next()? {
            checker.note(number, line);
        }
        Ok(Self::File(path))
    }

    /// The lines from the beginning.
    fn open(&self) -> Result<Box<dyn BufRead + '_>, Failure> {
        match self {
            Self::File(path) => Ok(Box::new(open(path)?)),
            Self::Staged(stage) => Ok(Box::new(BufReader::new(stage.reader()?))),
        }
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let file = File::open(path);
    let file = file.map_err(|error| {
        Failure::new(format!("{} cannot be read: {error}", path.display()))
            .hint("name a file of JSON Lines, or - for standard input")
    })?;
    Ok(BufReader::with_capacity(1 << 18, file))
}
