//! What wins over the file: flags, then environment variables. And what stands in for a file where there is none.

use super::{
    fault::{Place, Wrong},
    listen::{self, Purpose},
    meaning::Resolver,
    origin,
    report::{At, Setting, Spot},
    secret::SecretSource,
    sections::{
        Log, LogFormat,
        store::{Unconfigured, WrittenUrl},
        store_url::StoreUrl,
        tenants,
    },
    written::Written,
};
use crate::model::{ListenOn, TenantId};

/// The flags that override the file, as given. Each also has an environment variable, which wins over the file alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// `--listen`: addresses, separated by commas. They replace all of `server.listen`.
    pub listen: Option<String>,
    /// `--admin-listen`
    pub admin_listen: Option<String>,
    /// `--upstream`
    pub upstream: Option<String>,
    /// `--store`
    pub store: Option<String>,
    /// `--log-format`
    pub log_format: Option<String>,
    /// `--log-level`
    pub log_level: Option<String>,
}

/// The PAT of the tenant `default`, where there is no file.
const PAT_VARIABLE: &str = "FLEXSLOT_PAT";

// === impl Overrides ===

impl Overrides {
    pub(super) fn apply(&self, written: &mut Written, resolver: &Resolver<'_>) {
        let addresses = |flag, variable, given, purpose| {
            setting(flag, variable, given, resolver, |text| listen::parse_list(text, purpose)).spread()
        };
        let listen = addresses("--listen", "FLEXSLOT_PROXY_LISTEN", &self.listen, Purpose::Apps);
        written.server.listen.overridden_by(listen);
        let admin = addresses("--admin-listen", "FLEXSLOT_PROXY_ADMIN_LISTEN", &self.admin_listen, Purpose::Operators);
        written.admin.listen.overridden_by(admin);
        let upstream = setting("--upstream", "FLEXSLOT_PROXY_UPSTREAM", &self.upstream, resolver, origin::origin);
        written.upstream.url.overridden_by(upstream);
        // Arguments are shown by ps; a variable is where a password may be.
        let parse = if self.store.is_some() { StoreUrl::parse_literal } else { StoreUrl::parse };
        let store = setting("--store", "FLEXSLOT_PROXY_STORE", &self.store, resolver, |text| {
            parse(text).map(WrittenUrl::Literal)
        });
        written.store.url.overridden_by(store);
        let format = setting("--log-format", "FLEXSLOT_PROXY_LOG_FORMAT", &self.log_format, resolver, LogFormat::parse);
        written.log.format.overridden_by(format);
        let level = setting("--log-level", "FLEXSLOT_PROXY_LOG_LEVEL", &self.log_level, resolver, Log::parse_filter);
        written.log.level.overridden_by(level);
    }
}

/// The flag, else the variable, else nothing; understood by `parse`.
fn setting<T>(
    flag: &'static str,
    variable: &'static str,
    given: &Option<String>,
    resolver: &Resolver<'_>,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Setting<T> {
    let (name, text) = match given {
        Some(text) => (flag, text.clone()),
        None => match resolver.variable(variable) {
            Some(text) => (variable, text),
            None => return Setting::Absent,
        },
    };
    let spot = Spot::new(Place::Override(name), "");
    match parse(&text) {
        Ok(value) => Setting::Given(At { value, spot }),
        Err(wrong) => {
            resolver.fault(&spot, wrong);
            Setting::Faulty
        }
    }
}

impl Setting<Vec<ListenOn>> {
    /// Every address with the place of the whole.
    fn spread(self) -> Setting<Vec<At<ListenOn>>> {
        match self {
            Self::Absent => Setting::Absent,
            Self::Faulty => Setting::Faulty,
            Self::Given(At { value, spot }) => {
                let value = value.into_iter().map(|listener| At { value: listener, spot: spot.clone() }).collect();
                Setting::Given(At { value, spot })
            }
        }
    }
}

/// Without a file `FLEXSLOT_PAT` makes a tenant `default`, which is also the default tenant.
pub(super) fn stand_in_for_a_file(written: &mut Written, resolver: &Resolver<'_>) -> Unconfigured {
    if resolver.variable(PAT_VARIABLE).is_none() {
        return Unconfigured::Database;
    }
    let spot = Spot::new(Place::Override(PAT_VARIABLE), "");
    #[allow(clippy::expect_used, reason = "a constant; every test of zero configuration parses it")]
    let name: TenantId = "default".parse().expect("\"default\" is a tenant's name");
    let name = At { value: name, spot: spot.clone() };
    let pat = At { value: SecretSource::Env { name: PAT_VARIABLE.to_owned() }, spot };
    written.server.default_tenant = Setting::Given(name.clone());
    written.tenants.push(tenants::Written::with_pat(name, pat));
    Unconfigured::MemoryUnlessFound
}
