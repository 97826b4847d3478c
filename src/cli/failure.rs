//! How a command ends when it does not succeed.

use std::{fmt, process::ExitCode};

use anstyle::{AnsiColor, Style};

use crate::config::Faults;

/// Why a command did not do what it was asked: one clear line with the cause, and the next step. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    status: Status,
    cause: Cause,
}

/// The exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Done = 0,
    /// The operation failed.
    Failed = 1,
    /// It was asked for in a wrong way, or the configuration is wrong; nothing was done.
    Misused = 2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    Told { message: String, hint: Option<String> },
    Configuration(Faults),
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

// === impl Status ===

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

// === impl Failure ===

impl Failure {
    /// An operation that failed.
    pub fn new(message: impl Into<String>) -> Self {
        Self { status: Status::Failed, cause: Cause::Told { message: message.into(), hint: None } }
    }

    /// A command that cannot be meant like this.
    pub fn misuse(message: impl Into<String>) -> Self {
        Self { status: Status::Misused, ..Self::new(message) }
    }

    /// The same failure, saying what mends it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        match self.cause {
            Cause::Told { message, .. } => Self { cause: Cause::Told { message, hint: Some(hint.into()) }, ..self },
            Cause::Configuration(_) => self,
        }
    }

    /// The exit status that says so.
    pub fn status(&self) -> Status {
        self.status
    }
}

/// All faults with their places, then how many they are.
impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self { status: Status::Misused, cause: Cause::Configuration(faults) }
    }
}

/// As it stands on standard error, in colours that the console strips where they do not belong.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Told { message, hint } => {
                write!(f, "{ERROR}error:{ERROR:#} {message}")?;
                hint.iter().try_for_each(|hint| write!(f, "\n{HINT}hint:{HINT:#} {hint}"))
            }
            Cause::Configuration(faults) => {
                let problems = if faults.count() == 1 { "problem" } else { "problems" };
                write!(f, "{faults}\n{} {problems}; nothing was started", faults.count())
            }
        }
    }
}

impl std::error::Error for Failure {}
