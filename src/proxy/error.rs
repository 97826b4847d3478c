//! The failures that the corridor answers itself: one row per code.

use std::{borrow::Cow, time::Duration};

use http::StatusCode;

use super::{
    guard::{Denied, NamedCaller},
    handle::Failure,
    headers::LookalikeHeader,
    path::PathError,
    replay::BodyError,
    upstream::{ErrorKind, Sent, UpstreamError},
};
use crate::{
    credential::{PatFault, Permission, Refusal},
    model::{Action, PatSource, Problem, TenantId, problem::ProxyError, token::DisconnectReason},
};

/// The codes of `urn:flexslot-proxy:problem:<code>`, in the order of their statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    TenantRequired,
    TenantInvalid,
    PathInvalid,
    RequestInvalid,
    NotConnected,
    ReconnectRequired,
    PatRejected,
    PatRequired,
    PathDenied,
    OriginDenied,
    CallerDenied,
    TenantDenied,
    NotProxied,
    ClientTokenRequired,
    BodyTooLarge,
    HostDenied,
    TenantBusy,
    MethodUnsupported,
    UpstreamUnreachable,
    UpstreamInvalid,
    RefreshUnavailable,
    OAuthMisconfigured,
    StoreUnavailable,
    Overloaded,
    Draining,
    UpstreamTimeout,
}

/// What is the same for every problem of a code.
struct Row(u16, &'static str, &'static str, Action, ProxyError);

// === impl Code ===

impl Code {
    /// Every code there is.
    pub const ALL: [Self; 26] = [
        Self::TenantRequired,
        Self::TenantInvalid,
        Self::PathInvalid,
        Self::RequestInvalid,
        Self::NotConnected,
        Self::ReconnectRequired,
        Self::PatRejected,
        Self::PatRequired,
        Self::PathDenied,
        Self::OriginDenied,
        Self::CallerDenied,
        Self::TenantDenied,
        Self::NotProxied,
        Self::ClientTokenRequired,
        Self::BodyTooLarge,
        Self::HostDenied,
        Self::TenantBusy,
        Self::MethodUnsupported,
        Self::UpstreamUnreachable,
        Self::UpstreamInvalid,
        Self::RefreshUnavailable,
        Self::OAuthMisconfigured,
        Self::StoreUnavailable,
        Self::Overloaded,
        Self::Draining,
        Self::UpstreamTimeout,
    ];

    #[rustfmt::skip]
    const fn row(self) -> Row {
        use Action::{FixConfig, FixRequest, Reconnect, Retry};
        use ProxyError::{ConnectionTerminated, HttpProtocolError, HttpRequestDenied, HttpResponseTimeout, ProxyConfigurationError, ProxyInternalError};
        match self {
            Self::TenantRequired      => Row(400, "tenant_required", "No tenant named", FixRequest, HttpRequestDenied),
            Self::TenantInvalid       => Row(400, "tenant_invalid", "Tenant not usable", FixRequest, HttpRequestDenied),
            Self::PathInvalid         => Row(400, "path_invalid", "Path not usable", FixRequest, HttpRequestDenied),
            Self::RequestInvalid      => Row(400, "request_invalid", "Request not usable", FixRequest, HttpRequestDenied),
            Self::NotConnected        => Row(401, "not_connected", "Not connected to Flexslot", Reconnect, HttpRequestDenied),
            Self::ReconnectRequired   => Row(401, "reconnect_required", "Connection to Flexslot has ended", Reconnect, HttpRequestDenied),
            Self::PatRejected         => Row(401, "pat_rejected", "Personal access token rejected", FixConfig, HttpRequestDenied),
            Self::PatRequired         => Row(403, "pat_required", "Personal access token needed", FixConfig, HttpRequestDenied),
            Self::PathDenied          => Row(403, "path_denied", "Path not allowed", FixRequest, HttpRequestDenied),
            Self::OriginDenied        => Row(403, "origin_denied", "Origin not allowed", FixConfig, HttpRequestDenied),
            Self::CallerDenied        => Row(403, "caller_denied", "Caller not allowed", FixConfig, HttpRequestDenied),
            Self::TenantDenied        => Row(403, "tenant_denied", "Tenant not allowed for this caller", FixRequest, HttpRequestDenied),
            Self::NotProxied          => Row(404, "not_proxied", "Not forwarded", FixRequest, HttpRequestDenied),
            Self::ClientTokenRequired => Row(407, "client_token_required", "Client token needed", FixRequest, HttpRequestDenied),
            Self::BodyTooLarge        => Row(413, "body_too_large", "Request body too large", FixRequest, HttpRequestDenied),
            Self::HostDenied          => Row(421, "host_denied", "Host not accepted", FixConfig, HttpRequestDenied),
            Self::TenantBusy          => Row(429, "tenant_busy", "Too many requests of this tenant at once", Retry, HttpRequestDenied),
            Self::MethodUnsupported   => Row(501, "method_unsupported", "Method not supported", FixRequest, HttpRequestDenied),
            Self::UpstreamUnreachable => Row(502, "upstream_unreachable", "Flexslot not reached", Retry, ConnectionTerminated),
            Self::UpstreamInvalid     => Row(502, "upstream_invalid", "Flexslot's answer not usable", Retry, HttpProtocolError),
            Self::RefreshUnavailable  => Row(503, "refresh_unavailable", "Token cannot be refreshed for now", Retry, ProxyInternalError),
            Self::OAuthMisconfigured  => Row(503, "oauth_misconfigured", "Credential not usable as configured", FixConfig, ProxyConfigurationError),
            Self::StoreUnavailable    => Row(503, "store_unavailable", "Stored credential not available", Retry, ProxyInternalError),
            Self::Overloaded          => Row(503, "overloaded", "Too many requests at once", Retry, ProxyInternalError),
            Self::Draining            => Row(503, "draining", "Shutting down", Retry, ProxyInternalError),
            Self::UpstreamTimeout     => Row(504, "upstream_timeout", "Flexslot did not answer in time", Retry, HttpResponseTimeout),
        }
    }

    /// The code as it stands in answers, logs and documentation.
    pub const fn as_str(self) -> &'static str {
        self.row().1
    }

    /// A problem of this code. `detail` says what happened and what to do.
    pub fn problem(self, detail: impl Into<Cow<'static, str>>) -> Problem {
        let Row(status, code, title, action, cause) = self.row();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Problem {
            code,
            status,
            title,
            detail: detail.into(),
            afar: None,
            action,
            cause,
            tenant: None,
            retry_after: None,
        }
    }
}

/// What callers on other hosts are told: the addresses of store, Flexslot and outbound proxy are for this one. The log, and
/// `explain`, have them.
const REFRESH_AFAR: &str = "The access token has expired and could not be refreshed. Try again later.";
const STORE_AFAR: &str = "This tenant's credential cannot be had from the store. Try again later.";
const MISCONFIGURED_AFAR: &str = "This tenant's credential cannot be used as the sidecar is configured; it is kept. `flexslot-proxy explain` says why, where the sidecar runs.";

/// A request of `tenant` that the credential room has no credential for.
pub(super) fn refusal_problem(refusal: Refusal, tenant: &TenantId) -> Problem {
    match refusal {
        Refusal::NotConnected => Code::NotConnected.problem(format!(
            "This tenant has neither a personal access token nor a connection to Flexslot, or its name is misspelt. Connect it with \
             `flexslot-proxy connect {tenant}`, or give it a personal access token with `flexslot-proxy tenant set-pat {tenant}`, in the \
             store that this sidecar uses (its log line `flexslot-proxy is listening` names it). A memory: store takes none: it has the tenants of proxy.toml, or the one \
             of FLEXSLOT_PAT, which is `default` and need not be named."
        )),
        Refusal::ReconnectRequired(reason) => Code::ReconnectRequired.problem(reconnect_detail(reason, tenant)),
        Refusal::PatRejected(source) => Code::PatRejected.problem(rejected_detail(source)),
        Refusal::PatRequired => Code::PatRequired.problem(
            "Flexslot takes only a personal access token on this path, and this tenant has none that may be used: `flexslot-proxy tenant set-pat`.",
        ),
        Refusal::RefreshUnavailable { what, retry_after } => {
            let problem = Code::RefreshUnavailable.problem(format!("The access token has expired and could not be refreshed: {what}. Try again later."));
            problem.from_afar(REFRESH_AFAR).retry_after(retry_after.unwrap_or(Duration::from_secs(1)))
        }
        Refusal::OAuthMisconfigured(what) => {
            Code::OAuthMisconfigured.problem(format!("This tenant's grant cannot be used: {what}. The grant itself is kept.")).from_afar(MISCONFIGURED_AFAR)
        }
        Refusal::PatUnusable(fault) => Code::OAuthMisconfigured.problem(pat_detail(&fault)).from_afar(MISCONFIGURED_AFAR),
        Refusal::StoreUnavailable(what) => {
            let problem = Code::StoreUnavailable.problem(format!("This tenant's credential cannot be had from the store: {what}. Try again later."));
            problem.from_afar(STORE_AFAR).retry_after(Duration::from_secs(1))
        }
        Refusal::RecordUnreadable(what) => Problem { action: Action::FixConfig, ..Code::StoreUnavailable.problem(unreadable_detail(&what)) },
    }
}

fn rejected_detail(source: PatSource) -> String {
    let remedy = match source {
        PatSource::Store => "hand it in with `flexslot-proxy tenant set-pat`",
        PatSource::Configuration => {
            "put it where this one comes from, in proxy.toml or FLEXSLOT_PAT; a changed variable needs a restart"
        }
    };
    format!(
        "Flexslot has refused this tenant's personal access token three times in a row; it may be revoked or expired. Mint a new one at \
         Flexslot (Settings, Personal Access Tokens) and {remedy}."
    )
}

/// The store answers; trying again does not help.
fn unreadable_detail(what: &str) -> String {
    format!(
        "This tenant's credential cannot be read: {what}. Put the missing key back into store.encryption_key, on any line, or restore the \
         record; `flexslot-proxy check` names all that cannot be read. Where neither can be had: `flexslot-proxy tenant remove`, and connect \
         the tenant again."
    )
}

fn pat_detail(fault: &PatFault) -> Cow<'static, str> {
    match fault {
        PatFault::OtherOrigin { own, upstream } => format!(
            "This tenant's personal access token belongs to {own}, and upstream.url is {upstream}, where it is never sent. Hand in one of \
             {upstream} with `flexslot-proxy tenant set-pat --upstream {upstream}`, or set upstream.url back."
        )
        .into(),
        PatFault::Malformed => "This tenant's personal access token has characters that cannot stand in a header. Copy it from Flexslot once \
            more, and hand it in with `flexslot-proxy tenant set-pat` or in proxy.toml."
            .into(),
    }
}

fn reconnect_detail(reason: DisconnectReason, tenant: &TenantId) -> String {
    let what = match reason {
        DisconnectReason::InvalidGrant => {
            "Flexslot no longer accepts this connection: its user revoked it, or it expired. Connect it again"
        }
        DisconnectReason::RefreshOutcomeLost => {
            "The answer to a token request was lost, and Flexslot no longer accepts this connection. Connect it again"
        }
        DisconnectReason::ClientRevoked => {
            "The OAuth client that this connection was given to was revoked, and the connection ended with it. Connect it again"
        }
        DisconnectReason::Disconnected => "This connection was disconnected here. To use it again, connect it",
    };
    format!(
        "{what} with `flexslot-proxy connect {tenant}`; or import new tokens with `flexslot-proxy tenant import --replace`, or give the tenant \
         a personal access token."
    )
}

/// A request that the guard does not let in.
pub fn guard_problem(denied: Denied) -> Problem {
    match denied {
        Denied::Invalid => Code::RequestInvalid.problem("The request does not say clearly which host it is meant for."),
        Denied::Caller { uid } => Code::CallerDenied.problem(format!(
            "This socket does not serve processes of the user id {uid}. Add it to the uids of the socket in server.listen, or call as one of those."
        )),
        Denied::Token => Code::ClientTokenRequired.problem(
            "The request carries no token that this sidecar knows, or the tokens of two callers. Send one: as `Proxy-Authorization: Bearer`, as \
             `Authorization: Bearer`, or as the password in http://x:TOKEN@host/.",
        ),
        Denied::Host => Code::HostDenied.problem(
            "The Host of the request is not one that this sidecar goes by. Call it by localhost or a loopback address, or add the name to \
             server.allowed_hosts.",
        ),
        Denied::Origin => Code::OriginDenied.problem(
            "The request comes from a web page whose origin is not allowed. Add the origin to server.allowed_origins if the page may use every \
             tenant of this sidecar.",
        ),
    }
}

/// A request that names a tenant which is not its caller's.
pub(super) fn tenant_denied(caller: &NamedCaller, tenant: &TenantId) -> Problem {
    let name = &caller.name;
    let detail = format!(
        "The token is that of the caller {name}, which may not act as the tenant {tenant}. Name a tenant of its own, or add this one to the tenants \
         of {name} in [[server.callers]]."
    );
    Code::TenantDenied.problem(detail).of(tenant)
}

/// A target that is not forwarded.
pub fn path_problem(error: PathError) -> Problem {
    match error {
        PathError::Tenant(why) => Code::TenantInvalid.problem(format!("/t/<tenant> does not name a tenant: {why}.")),
        PathError::Invalid(fault) => Code::PathInvalid.problem(format!("The path is not forwarded: {fault}.")),
        PathError::NotProxied => Code::NotProxied
            .problem("Only paths below /api/public/v1/ are forwarded, with or without /t/<tenant> before them."),
        PathError::Denied => Code::PathDenied
            .problem("The sidecar owns the token lifecycle; Flexslot's OAuth endpoints are not forwarded."),
    }
}

/// A request that got no response. `body` is what broke the client's body, if anything did: connections do not always
/// hand it on.
pub(super) fn upstream_failure(error: &UpstreamError, body: Option<BodyError>) -> Failure {
    if let (Some(body), _) | (None, ErrorKind::Body(body)) = (&body, &error.kind) {
        return body_failure(body);
    }
    let effect = match error.sent {
        Sent::NotSent => "Nothing was sent: it is safe to send the request again.",
        Sent::MaybeSent => "Flexslot may have acted on the request.",
    };
    let (code, what) = match error.kind {
        ErrorKind::ConnectTimeout | ErrorKind::ResponseTimeout => {
            (Code::UpstreamTimeout, "Flexslot did not answer in time")
        }
        ErrorKind::Terminated => (Code::UpstreamInvalid, "Flexslot broke off before its response was complete"),
        ErrorKind::HttpProtocol => (Code::UpstreamInvalid, "What Flexslot answered cannot be used"),
        _ => (Code::UpstreamUnreachable, "Flexslot could not be reached"),
    };
    let check = match code {
        Code::UpstreamUnreachable => format!(" If it stays so, check {}.", error.look_at()),
        _ => String::new(),
    };
    let problem = code.problem(format!("{what}: {error}. {effect}{check}"));
    let problem = problem.from_afar(&format!("{what}: {}. {effect}{check}", error.kind_in_words()));
    Failure::Problem(Problem { cause: error.proxy_error(), ..problem })
}

/// A request whose own body came to no good end.
pub(super) fn body_failure(error: &BodyError) -> Failure {
    match error {
        BodyError::TooLarge { limit } => Code::BodyTooLarge
            .problem(format!("The request body is larger than limits.request_body, which is {limit} bytes."))
            .into(),
        BodyError::Idle => Failure::Bare(StatusCode::REQUEST_TIMEOUT),
        BodyError::Superseded | BodyError::Source(_) => {
            Code::RequestInvalid.problem("The request body ended before it was complete, or is malformed.").into()
        }
    }
}

/// A header that could be taken for one that the sidecar owns.
pub(super) fn lookalike_problem(header: &LookalikeHeader) -> Problem {
    Code::RequestInvalid.problem(format!(
        "The header {} could be taken for one that the sidecar owns. Leave it out, or write it with -.",
        header.0
    ))
}

/// What a tenant's rules have said of every reading of the path; `None` where they do not say the same of all.
pub(super) fn permitted(permission: Option<Permission>) -> Result<(), Problem> {
    match permission {
        Some(Permission::Granted) => Ok(()),
        Some(Permission::NotAllowed) => {
            Err(Code::PathDenied.problem("The tenant's `allow` list does not name this method and path."))
        }
        Some(Permission::Guarded) => Err(Code::PathDenied.problem(
            "This method hands out or changes secrets on this path. To let it through, name the path in the tenant's `allow` list.",
        )),
        None => Err(Code::PathInvalid
            .problem("The path means different things to the tenant's `allow` list, depending on how it is decoded.")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Failure, PatFault, Refusal, refusal_problem, upstream_failure};
    use crate::proxy::upstream::{ErrorKind, Sent, UpstreamError};
    use std::collections::HashSet;

    /// What an address or a name of the inside looks like.
    const INSIDE: &str = "192.0.2.7:443";

    #[test]
    fn what_names_the_inside_has_other_words_for_who_is_not_on_this_host() {
        let what = || INSIDE.to_owned();
        let refusals = [
            Refusal::StoreUnavailable(what()),
            Refusal::OAuthMisconfigured(what()),
            Refusal::RefreshUnavailable { what: what(), retry_after: None },
            Refusal::PatUnusable(PatFault::OtherOrigin { own: what(), upstream: what() }),
        ];
        let tenant = "acme".parse().unwrap();
        let refused = refusals.into_iter().map(|refusal| refusal_problem(refusal, &tenant));
        let kinds = [ErrorKind::Dns, ErrorKind::ConnectTimeout, ErrorKind::Terminated, ErrorKind::HttpProtocol];
        let failed = kinds.into_iter().map(|kind| {
            let error = UpstreamError::new(kind, Sent::NotSent, what());
            match upstream_failure(&error, None) {
                Failure::Problem(problem) => problem,
                Failure::Bare(status) => panic!("{status}"),
            }
        });
        for problem in refused.chain(failed) {
            assert!(problem.detail.contains(INSIDE), "{problem:?}");
            assert!(problem.afar.as_deref().is_some_and(|afar| !afar.contains(INSIDE)), "{problem:?}");
        }
    }

    #[test]
    fn every_code_has_a_row_of_its_own() {
        let codes: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            let problem = code.problem("x");
            assert!(problem.status.is_client_error() || problem.status.is_server_error(), "{code:?}");
        }
    }
}
