//! `[log]`: what is written to standard error.

use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::config::{
    fault::Wrong,
    near,
    reader::{self, Table, Value},
    report::Setting,
};

/// `[log]`
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    pub format: LogFormat,
    /// One line per request.
    pub access: bool,
    /// A level for everything, and levels for targets.
    pub filter: Targets,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    Text,
    Json,
}

/// `[log]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    pub(in crate::config) format: Setting<LogFormat>,
    access: Setting<bool>,
    pub(in crate::config) level: Setting<Targets>,
}

const FORMATS: [(&str, LogFormat); 3] =
    [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

// === impl Log ===

/// What is compared of a filter is levels and names.
impl Eq for Log {}

impl Log {
    /// Directives separated by commas: a level, or `target=level`. A bare word that is no level would be taken for a
    /// target whose every event is wanted; it is far more often a misspelt level.
    pub(in crate::config) fn parse_filter(text: &str) -> Result<Targets, Wrong> {
        let directives: Vec<_> = text.split(',').map(str::trim).collect();
        for directive in &directives {
            if !directive.contains('=') && !LEVELS.contains(&directive.to_ascii_lowercase().as_str()) {
                let hint = match near::nearest(directive, &LEVELS) {
                    Some(level) => format!("did you mean \"{level}\"?"),
                    None => format!("write one of {}, or a filter such as \"info,access=off\"", LEVELS.join(", ")),
                };
                return Err(Wrong::new("neither a level nor a filter").hint(hint));
            }
        }
        let filter = directives.join(",").parse();
        filter.map_err(|_| Wrong::new("not a filter").hint("write directives such as \"info,access=off\""))
    }
}

// === impl LogFormat ===

impl LogFormat {
    pub(in crate::config) fn parse(text: &str) -> Result<Self, Wrong> {
        reader::word(text, &FORMATS)
    }
}

// === impl Written ===

impl Written {
    pub(in crate::config) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            format: table.key("format", |value| value.word(&FORMATS)),
            access: table.key("access", Value::boolean),
            level: table.key("level", |value| value.text("a level or filter", Log::parse_filter)),
        };
        table.finish();
        written
    }

    pub(in crate::config) fn meaning(self) -> Log {
        Log {
            format: self.format.or(LogFormat::Auto),
            access: self.access.or(true),
            filter: self.level.or(Targets::new().with_default(LevelFilter::INFO)),
        }
    }
}
