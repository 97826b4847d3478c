//! Two sidecars on one store, from their callers' bytes to their upstreams', in any order of things: requests of several
//! tenants that come, go on uploading and hang up; answers, refusals, cuts and silence of the upstream; whatever a token
//! request can come to; clocks that jump both ways; a store that fails; consents, disconnects, PATs.
//!
//! What must hold of each play are the invariants of SECURITY.md: no refresh token is presented without a stored intent,
//! nor twice after an answer that was complete; nothing is sent with a grant that is over; each request goes out as it came,
//! with a credential of its own tenant, and a second time only where that is allowed; no answer has a credential in it; a
//! failure is a problem with a known code; what breaks off does not look whole. When the play is over everything works
//! again, and then everybody has an answer, and every grant that can serves.
//!
//! Input: one byte for each thing that happens, and what it needs to know behind it.

mod call;
mod check;
mod finish;
mod play;

use std::time::Duration;

use tokio::time::timeout;

use self::play::Play;
use super::{bytes::Script, stage::on_virtual_time};

/// Longer than any play takes of virtual time.
const LONG: Duration = Duration::from_secs(7 * 24 * 3600);

/// So many things happen at most.
const LONGEST: usize = 120;

pub fn run(input: &[u8]) {
    on_virtual_time(async {
        let play = async {
            let mut script = Script::new(input);
            let mut play = Play::new(&mut script).await;
            for _ in 0..LONGEST {
                if script.is_over() {
                    break;
                }
                play.step(&mut script).await;
            }
            play.finish().await;
        };
        timeout(LONG, play).await.expect("nothing waits for ever");
    });
}
