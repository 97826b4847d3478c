//! The trace of a request, as `GET /v1/requests/{request_id}` has it.

use serde::{Deserialize, Serialize};

/// One request, from its header to the end of its response. Fields that the access log has, too, mean the same there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceDocument {
    pub request_id: String,
    /// When its header was there; RFC 3339, UTC.
    pub time: String,
    pub method: String,
    /// As the client sent it, without the query.
    pub path: String,
    pub protocol: String,
    /// `under_way`, `complete`, `broken_off` (by the client or by Flexslot), or `client_gone` (before there was a
    /// response).
    pub state: String,
    /// What the client got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// `header`, `path`, `listener` or `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_by: Option<String>,
    /// What was attached last: `oauth` or `pat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_version: Option<u64>,
    /// How the one retry ended: `cured`, `still_unauthorized`, `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// What Flexslot answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// Whether the body could have been sent again: `no_body`, `kept`, `overflowed`, or `rewound` where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
    /// What was done, in order of time.
    pub steps: Vec<StepDocument>,
    /// How many more steps there were than a trace has room for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps_left_out: u32,
    /// What the sidecar answered itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ToldDocument>,
    /// Why there was no response of Flexslot's, or why its body broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    pub timings: TimingsDocument,
    /// Of the response's body.
    pub bytes_sent: u64,
    /// What to do, for people, where the request did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
}

/// One step. `text` says all of it to people; the rest is for programs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepDocument {
    /// From the request's header.
    pub at_ms: f64,
    /// `tenant`, `considered`, `refresh`, `sent` or `unauthorized`.
    pub step: String,
    /// What came of it, in a word that does not change.
    pub result: String,
    pub text: String,
    /// `oauth` or `pat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_version: Option<u64>,
    /// Of the token: `fresh`, `ageing` or `expired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<String>,
    /// The scope that the grant lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Where the PAT comes from: `configuration` or `store`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Why a refresh was wanted: `ageing`, `expired` or `refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Whose refresh it was: `led` (this request's) or `joined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Why the grant has ended, why the PAT stands in, or the class of the refresh's failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What Flexslot answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The wait for the refresh, or for Flexslot's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
}

/// A problem of the sidecar's, as the client got it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldDocument {
    pub code: String,
    pub detail: String,
}

/// Where the time went, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TimingsDocument {
    /// From the request's header to the end of its response, or to the header of one that is under way.
    pub duration_ms: f64,
    /// Waiting for Flexslot's response headers, all sends together.
    pub upstream_ms: f64,
    /// From the request's header to the response's, less the wait for Flexslot.
    pub overhead_ms: f64,
    /// Of that, waiting for refreshes.
    pub refresh_wait_ms: f64,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
