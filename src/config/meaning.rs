//! The second stage: what is written becomes what it means. Only here are secrets, variables and files looked at.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::{
    environment::Environment,
    fault::{Place, Wrong},
    report::{At, Completeness, Report, Setting, Spot},
    secret::{ConfiguredSecret, SecretSource, Unreadable},
};

/// What the second stage has at hand.
pub(super) struct Resolver<'a> {
    pub(super) environment: &'a dyn Environment,
    service_secrets: ServiceSecrets,
    report: &'a Report<'a>,
    /// Where relative paths of flags and variables begin.
    current_dir: PathBuf,
    /// Where those of the file begin; `None` when there is no file.
    file_dir: Option<PathBuf>,
}

/// Which secrets are read besides those of the store, its URL and its key. An operator's shell need not have those that
/// its command can do without; they mean `None` then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceSecrets {
    /// The client's, the callers', the tenants' and the admin listener's: for serving.
    All,
    /// The OAuth client's, for a command that speaks to Flexslot in its name.
    OfClient,
    /// The admin listener's, for a command that asks a running sidecar.
    OfAdmin,
    None,
}

/// What mends a token of the operator's own making.
pub(super) const MAKE_ONE: &str = "make one of 32 random bytes, with: openssl rand -base64 32";

// === impl Resolver ===

impl<'a> Resolver<'a> {
    pub(super) fn new(
        environment: &'a dyn Environment,
        service_secrets: ServiceSecrets,
        report: &'a Report<'a>,
        file: Option<&Path>,
    ) -> Self {
        // Without a current directory relative paths stay relative, and fail where they are used.
        let current_dir = environment.current_dir().unwrap_or_default();
        let file_dir = file.and_then(Path::parent).map(|parent| current_dir.join(parent));
        Self { environment, service_secrets, report, current_dir, file_dir }
    }

    pub(super) fn fault(&self, spot: &Spot, wrong: Wrong) {
        self.report.fault(spot, wrong);
    }

    /// Whether a key that was not seen is truly absent, so that its absence can be a fault.
    pub(super) fn is_whole(&self) -> bool {
        self.report.completeness() == Completeness::Whole
    }

    /// Where the file's relative paths begin; `None` when there is no file.
    pub(super) fn file_dir(&self) -> Option<&Path> {
        self.file_dir.as_deref()
    }

    /// The path that `path`, written at `place`, names.
    pub(super) fn path(&self, path: &Path, place: Place) -> PathBuf {
        match (place, &self.file_dir) {
            (Place::Line { .. } | Place::File, Some(dir)) => dir.join(path),
            _ => self.current_dir.join(path),
        }
    }

    /// The value of a variable; set to nothing counts as not set.
    pub(super) fn variable(&self, name: &'static str) -> Option<String> {
        let value = self.environment.variable(name).filter(|value| !value.is_empty())?;
        match value.into_string() {
            Ok(text) => Some(text),
            Err(_) => {
                self.fault(&Spot::new(Place::Override(name), ""), Wrong::new("not UTF-8 text"));
                None
            }
        }
    }

    /// The source with its path made whole.
    pub(super) fn source(&self, source: SecretSource, place: Place) -> SecretSource {
        match source {
            SecretSource::File { path, access } => SecretSource::File { path: self.path(&path, place), access },
            source @ SecretSource::Env { .. } => source,
        }
    }

    /// Reads a secret.
    pub(super) fn secret(&self, setting: Setting<SecretSource>) -> Option<ConfiguredSecret> {
        let At { value, spot } = setting.into_given()?;
        match ConfiguredSecret::read(self.source(value, spot.place), self.environment) {
            Ok(secret) => Some(secret),
            Err(unreadable) => {
                self.unreadable(&spot, &unreadable);
                None
            }
        }
    }

    /// Notes each of `all` that comes a second time; `what` says what they are.
    pub(super) fn refuse_repeats<'s>(&self, all: impl Iterator<Item = &'s Setting<String>>, what: &str) {
        let mut seen: HashMap<&str, &Spot> = HashMap::new();
        for at in all.filter_map(Setting::given) {
            match seen.get(at.value.as_str()) {
                Some(Spot { place: Place::Line { line, .. }, .. }) => {
                    self.fault(&at.spot, Wrong::new(format!("the same {what} as in line {line}")));
                }
                Some(_) => {}
                None => {
                    seen.insert(&at.value, &at.spot);
                }
            }
        }
    }

    /// Reads the OAuth client's secret, if it is wanted.
    pub(super) fn client_secret(&self, setting: Setting<SecretSource>) -> Option<ConfiguredSecret> {
        match self.service_secrets {
            ServiceSecrets::All | ServiceSecrets::OfClient => self.secret(setting),
            ServiceSecrets::OfAdmin | ServiceSecrets::None => None,
        }
    }

    /// Reads the admin listener's token, if it is wanted.
    pub(super) fn admin_token(&self, setting: Setting<SecretSource>) -> Option<ConfiguredSecret> {
        match self.service_secrets {
            ServiceSecrets::All | ServiceSecrets::OfAdmin => self.fit_for_header(setting, MAKE_ONE),
            ServiceSecrets::OfClient | ServiceSecrets::None => None,
        }
    }

    /// Whether serving is what the configuration is read for.
    pub(super) fn serves(&self) -> bool {
        matches!(self.service_secrets, ServiceSecrets::All)
    }

    /// Reads a secret that is needed for serving alone.
    pub(super) fn served_secret(&self, setting: Setting<SecretSource>) -> Option<ConfiguredSecret> {
        match self.service_secrets {
            ServiceSecrets::All => self.secret(setting),
            ServiceSecrets::OfClient | ServiceSecrets::OfAdmin | ServiceSecrets::None => None,
        }
    }

    /// Reads a token that callers send, if serving is what the configuration is read for.
    pub(super) fn caller_token(&self, setting: Setting<SecretSource>) -> Option<ConfiguredSecret> {
        match self.service_secrets {
            ServiceSecrets::All => self.fit_for_header(setting, MAKE_ONE),
            ServiceSecrets::OfClient | ServiceSecrets::OfAdmin | ServiceSecrets::None => None,
        }
    }

    /// Reads a PAT, if serving is what the configuration is read for.
    pub(super) fn pat(&self, setting: Setting<SecretSource>) -> Option<ConfiguredSecret> {
        match self.service_secrets {
            ServiceSecrets::All => self.fit_for_header(setting, "copy it from Flexslot once more, whole and alone"),
            ServiceSecrets::OfClient | ServiceSecrets::OfAdmin | ServiceSecrets::None => None,
        }
    }

    fn fit_for_header(&self, setting: Setting<SecretSource>, hint: &str) -> Option<ConfiguredSecret> {
        let spot = setting.given()?.spot.clone();
        let secret = self.secret(setting)?;
        if secret.secret.is_header_safe() {
            return Some(secret);
        }
        let wrong = Wrong::new(format!(
            "{} holds characters that no credential has, such as a space or a … from an example",
            secret.source
        ));
        self.fault(&spot, wrong.hint(hint));
        None
    }

    pub(super) fn unreadable(&self, spot: &Spot, unreadable: &Unreadable) {
        self.fault(spot, Wrong { what: unreadable.to_string(), hint: unreadable.hint() });
    }
}
