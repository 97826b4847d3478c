//! What each fuzz target does with its bytes.
//!
//! The body of a target is a plain function. `fuzz_targets` hands it what libFuzzer makes up; `tests/it/fuzzing.rs` every seed,
//! and what comes of seeds by chance, among the ordinary tests. So a target that does not hold any more is seen without a
//! fuzzer, and this crate has to compile wherever that one does.

pub mod admin_request;
pub mod body_urls;
pub mod bytes;
pub mod guard;
pub mod headers;
pub mod import_line;
pub mod links;
pub mod management_answer;
mod message;
pub mod proof_demand;
pub mod proxy_toml;
pub mod record;
pub mod request;
pub mod sidecar;
mod stage;
pub mod store_rows;
pub mod store_url;
pub mod target_check;
pub mod token_answer;
pub mod upstream_answer;
pub mod wire_head;
