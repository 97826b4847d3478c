//! Commands: one file each. The only room that prints.

mod check;
mod client;
mod completions;
mod connect;
mod console;
mod demo;
mod disconnect;
mod explain;
mod failure;
mod health;
mod key;
pub mod logging;
mod man;
mod overrides;
mod page;
mod private_memory;
mod progress;
mod reread;
mod running;
mod sandbox;
mod serve;
mod service;
mod signals;
mod status;
mod store;
mod tenant;
#[cfg(test)]
mod tests;
mod watcher;

use std::{ffi::OsString, fmt, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Parser, error::ErrorKind};

pub use console::{Console, StreamKind};
pub use failure::{Failure, Status};
pub use overrides::{AdminListen, AdminOverrides, ServeOverrides, StoreOverrides};

use crate::{
    app::Surroundings,
    config::{ConfigSource, Environment, SystemEnvironment},
    model::{Clock, Random, SystemClock, prefix},
};

/// Attach, refresh and guard Flexslot credentials for apps that know nothing about them
///
/// Apps send their Flexslot API calls to this sidecar instead. It puts the right credential of the right tenant on
/// each, keeps OAuth tokens fresh, and tries once more when Flexslot refuses one.
#[derive(Debug, Parser)]
#[command(name = "flexslot-proxy", version, max_term_width = 100, after_help = EXIT_STATUS)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(flatten)]
    serve: serve::ServeArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub struct GlobalArgs {
    /// The configuration file; by default ./proxy.toml if it is there, else built-in defaults
    /// [env: FLEXSLOT_PROXY_CONFIG]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Demo(demo::DemoArgs),
    Check(check::CheckArgs),
    Explain(explain::ExplainArgs),
    Health(health::HealthArgs),
    Sandbox(sandbox::SandboxArgs),
    Status(status::StatusArgs),
    Connect(connect::ConnectArgs),
    Disconnect(disconnect::DisconnectArgs),
    Page(page::PageArgs),
    Tenant(tenant::TenantArgs),
    Client(client::ClientArgs),
    Key(key::KeyArgs),
    Completions(completions::CompletionsArgs),
    /// Print the manual page, in roff
    ///
    /// To read it: flexslot-proxy man | man -l -
    Man,
}

/// What a command finds around itself.
pub struct World<'a> {
    pub console: Console,
    pub environment: &'a dyn Environment,
    pub random: Random,
    pub clock: Arc<dyn Clock>,
}

const EXIT_STATUS: &str = "Exit status: 0 done, 1 the operation failed, 2 bad usage or bad configuration.";

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    private_memory::keep();
    let mut world = World {
        console: Console::system(),
        environment: &SystemEnvironment,
        random: Random::system(),
        clock: Arc::new(SystemClock),
    };
    run(std::env::args_os(), &mut world).into()
}

/// Runs the command that `args` (the program's name first) ask for, and tells how it ended.
pub fn run(args: impl IntoIterator<Item = OsString>, world: &mut World<'_>) -> Status {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.iter().any(|arg| prefix::holds_credential(&arg.to_string_lossy())) {
        // Before clap sees it, whose messages repeat what they do not understand.
        let failure = Failure::misuse("a credential does not belong on the command line, where others can read it")
            .hint("revoke this one; a PAT is read from standard input: flexslot-proxy tenant set-pat TENANT");
        world.console.tell(&failure);
        return failure.status();
    }
    let outcome = match Cli::try_parse_from(args) {
        Ok(cli) => cli.run(world),
        Err(answer) => return tell_usage(&answer, &mut world.console),
    };
    match outcome {
        Ok(()) => Status::Done,
        Err(failure) => {
            world.console.tell(&failure);
            failure.status()
        }
    }
}

/// Help and version were asked for, and are data; everything else is a mistake.
fn tell_usage(answer: &clap::Error, console: &mut Console) -> Status {
    let text = answer.render();
    match answer.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match console.data(text.ansi().to_string().as_bytes()) {
            Ok(()) => Status::Done,
            Err(failure) => failure.status(),
        },
        _ => {
            console.tell_part(text.ansi());
            Status::Misused
        }
    }
}

/// A test may want this process to die at some step.
#[cfg(debug_assertions)]
fn arm_failpoint(environment: &dyn Environment) -> Result<(), Failure> {
    use crate::model::failpoint::{DIE_AT, Step, arm};
    let Some(text) = environment.variable(DIE_AT) else { return Ok(()) };
    arm(&text.to_string_lossy()).map_err(|unknown| {
        let steps: Vec<_> = Step::ALL.iter().map(|step| step.as_str()).collect();
        Failure::misuse(unknown.to_string()).hint(format!("the steps are {}", steps.join(", ")))
    })
}

/// The runtime of the commands that talk to anybody.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Failure::new(format!("no threads could be started: {error}")))
}

// === impl World ===

impl World<'_> {
    /// What the rooms are handed of it.
    fn surroundings(&self) -> Surroundings {
        Surroundings { clock: Arc::clone(&self.clock), random: self.random.clone() }
    }
}

impl fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("console", &self.console).finish_non_exhaustive()
    }
}

// === impl Cli ===

impl Cli {
    fn run(self, world: &mut World<'_>) -> Result<(), Failure> {
        let Self { global, serve, command } = self;
        match command {
            None => Command::Serve(serve).run(&global, world),
            Some(command) if serve.is_plain() => command.run(&global, world),
            // They are read for the case that no command follows, and would do nothing here.
            Some(_) => {
                Err(Failure::misuse("flags of serve stand before another command's name, where they say nothing")
                    .hint("write them behind the command: flexslot-proxy serve --listen ADDRESS"))
            }
        }
    }
}

// === impl GlobalArgs ===

impl GlobalArgs {
    /// Which file is meant.
    pub fn source(&self, environment: &dyn Environment) -> ConfigSource {
        ConfigSource::find(self.config.as_deref(), environment)
    }
}

// === impl Command ===

impl Command {
    fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        match self {
            Self::Serve(args) => args.run(global, world),
            Self::Demo(args) => args.run(world),
            Self::Check(args) => args.run(global, world),
            Self::Explain(args) => args.run(global, world),
            Self::Health(args) => args.run(global, world),
            Self::Sandbox(args) => args.run(world),
            Self::Status(args) => args.run(global, world),
            Self::Connect(args) => args.run(global, world),
            Self::Disconnect(args) => args.run(global, world),
            Self::Page(args) => args.run(global, world),
            Self::Tenant(args) => args.run(global, world),
            Self::Client(args) => args.run(global, world),
            Self::Key(args) => args.run(global, world),
            Self::Completions(args) => args.run(&mut world.console),
            Self::Man => man::run(&mut world.console),
        }
    }
}
