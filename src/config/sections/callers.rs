//! `[[server.callers]]`: apps that have a token of their own, and the tenants that each may name.

use crate::{
    config::{
        fault::Wrong,
        listen::tenant_name,
        meaning::{MAKE_ONE, Resolver},
        reader::{Table, Value},
        report::Setting,
        secret::{ConfiguredSecret, SecretSource},
    },
    model::SpeaksFor,
};

/// One of `[[server.callers]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What log lines call it; no two have the same.
    pub name: String,
    /// What it sends, as others send `client_token`. `None` where secrets are not read.
    pub token: Option<ConfiguredSecret>,
    pub speaks_for: SpeaksFor,
}

/// One of `[[server.callers]]` as written.
#[derive(Debug)]
pub(super) struct Written {
    name: Setting<String>,
    token: Setting<SecretSource>,
    tenants: Setting<SpeaksFor>,
}

/// In characters.
const LONGEST_NAME: usize = 64;

// === impl Written ===

impl Written {
    pub(super) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            name: table.key("name", |value| value.text("a name", name)),
            token: table.key("token", SecretSource::read_written),
            tenants: table.key("tenants", tenants),
        };
        if matches!(written.name, Setting::Absent) {
            table.missing("name", "write name = \"shop\", which log lines show");
        }
        if matches!(written.token, Setting::Absent) {
            table.missing("token", "write { env = \"NAME\" } or { file = \"path\" }");
        }
        if matches!(written.tenants, Setting::Absent) {
            table.missing("tenants", "write tenants = [\"acme\"], or \"*\" for every tenant");
        }
        table.finish();
        written
    }

    /// `None` where something is missing; that is a fault by now.
    fn meaning(self, resolver: &Resolver<'_>) -> Option<Caller> {
        let token = resolver.caller_token(self.token);
        let speaks_for = self.tenants.into_given()?.value;
        Some(Caller { name: self.name.into_given()?.value, token, speaks_for })
    }
}

/// All of `[[server.callers]]`. A name that comes twice is a fault, and so is a token: it would not say who calls.
pub(super) fn meaning(
    written: Vec<Written>,
    client_token: Option<&ConfiguredSecret>,
    resolver: &Resolver<'_>,
) -> Vec<Caller> {
    resolver.refuse_repeats(written.iter().map(|caller| &caller.name), "name");
    let mut all: Vec<Caller> = Vec::with_capacity(written.len());
    for caller in written {
        let spot = caller.token.given().map(|at| at.spot.clone());
        let Some(caller) = caller.meaning(resolver) else { continue };
        let is_taken = |token: &ConfiguredSecret| {
            let others = all.iter().filter_map(|other| other.token.as_ref());
            client_token.into_iter().chain(others).any(|other| other.secret == token.secret)
        };
        if let Some(spot) = spot
            && caller.token.as_ref().is_some_and(is_taken)
        {
            let wrong = Wrong::new("the same token as another caller's, or as client_token");
            resolver.fault(&spot, wrong.hint(MAKE_ONE));
        }
        all.push(caller);
    }
    all
}

/// A list of names, or `"*"` for every tenant there is and will be.
fn tenants(value: &Value<'_>) -> Option<SpeaksFor> {
    if value.is_word("*") {
        return Some(SpeaksFor::Everybody);
    }
    let names = value.list("tenants' names", tenant_name)?;
    if names.is_empty() {
        value.fault(
            Wrong::new("no tenant, so that the caller could call nothing").hint("\"*\" stands for every tenant"),
        );
        return None;
    }
    Some(SpeaksFor::These(names.into_iter().collect()))
}

/// It stands in log lines and answers.
fn name(text: &str) -> Result<String, Wrong> {
    let fits = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    match fits {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new("not a name").hint("write one of 1 to 64 visible ASCII characters, such as \"shop\"")),
    }
}
