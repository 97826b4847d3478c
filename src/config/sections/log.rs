//! `[log]`: what is written to standard error.

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    /// One line per request.
    pub access: bool,
    /// A level, or a filter in the syntax of `tracing_subscriber::EnvFilter`; checked.
    pub filter: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    Text,
    Json,
}
