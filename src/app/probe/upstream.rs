//! Whether Flexslot can be reached the way that requests go, and what time it is there.

use http::{HeaderMap, Request, Version, header::USER_AGENT};

use super::Probes;
use crate::{
    app::{StartFailure, finding::Finding},
    flexslot::dpop::clock_ahead,
    model::Timestamp,
    proxy::replay::ReplayBody,
};

/// Asked for without a credential: any answer shows that there is a way.
const ROOT: &str = "/api/public/v1/";

/// A clock that is further from Flexslot's than this is worth a look, in milliseconds.
const TOLERATED_SKEW_MS: i64 = 5_000;

// === impl Probes ===

impl Probes {
    /// Sends one request the way that those of apps go. Answers what that shows of the way, and of the clocks.
    pub(super) async fn reach(&self) -> (Finding, Option<Finding>) {
        let mut request = Request::new(ReplayBody::empty());
        *request.uri_mut() = http::Uri::from_static(ROOT);
        let agent = http::HeaderValue::from_static(concat!("flexslot-proxy/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        let asked = self.clock.now();
        let response = match self.upstream.send(request).await {
            Ok(response) => response,
            Err(error) => {
                let hint = format!("look at {}", error.look_at());
                return (Finding::Bad(StartFailure::new(error.to_string()).hint(hint)), None);
            }
        };
        let origin = &self.config.upstream.origin;
        let spoken = match response.version() {
            Version::HTTP_2 => "HTTP/2",
            _ => "HTTP/1.1",
        };
        let tls = if origin.as_str().starts_with("https:") { " over TLS that is trusted" } else { "" };
        let good = format!("{origin} answers in {spoken}{tls}, with {}", response.status().as_u16());
        (Finding::Good(good), Some(clock(response.headers(), asked, self.clock.now())))
    }
}

/// How far this machine's clock is from Flexslot's.
pub(super) fn clock(headers: &HeaderMap, asked: Timestamp, now: Timestamp) -> Finding {
    let Some(ahead) = clock_ahead(headers, asked, now) else {
        return Finding::doubtful(
            "Flexslot's answer says nothing of its time, so nobody knows whether this clock is right",
        );
    };
    if ahead.abs() <= TOLERATED_SKEW_MS {
        return Finding::Good(format!("this machine's is within {} s of Flexslot's", TOLERATED_SKEW_MS / 1000));
    }
    let (by, way) = (ahead.unsigned_abs() / 1000, if ahead > 0 { "behind" } else { "ahead of" });
    let what = format!("this machine's clock is {by} s {way} Flexslot's; proofs of possession are dated by Flexslot's");
    Finding::Doubtful(StartFailure::new(what).hint("have the clock set by NTP, such as with: timedatectl set-ntp true"))
}
