//! What the log says of flows, and what it does not.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use tracing::{Level, callsite::rebuild_interest_cache};
use tracing_subscriber::fmt::MakeWriter;

use super::{
    server::tokens,
    world::{APP, World, allowed, failed},
};
use crate::{connect_flow::Outcome, flexslot::TokenError};

/// Everything that is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

/// Five flows with each kind of end. Answers what must not be logged of them.
async fn five_flows() -> Vec<String> {
    let world = World::new().await;
    let mut secrets = Vec::new();
    for (answer, return_to, redeem) in [
        (allowed("CODE-1"), None, Ok(tokens("CODE-1"))),
        (allowed("CODE-2"), Some(APP), Ok(tokens("CODE-2"))),
        (allowed("CODE-3"), None, Err(TokenError::Unknown("no answer in time".into()))),
        (failed("access_denied"), None, Ok(tokens("CODE-4"))),
        ("code=CODE-5".to_owned(), None, Ok(tokens("CODE-5"))),
    ] {
        let walk = world.begin(&world.link_for("acme", None, return_to).await).await;
        *world.server.redeems.lock() = [redeem].into();
        if let Outcome::Return(address) = world.comes_back(&walk, &answer).await {
            secrets.push(address.split_once("flexslot_code=").unwrap().1.to_owned());
        }
        let begun = &walk.begun;
        secrets.extend([walk.session.expose(), begun.state.expose(), begun.binding.expose()].map(str::to_owned));
    }
    secrets
}

#[tokio::test(start_paused = true)]
async fn one_line_at_the_end_of_each_flow_and_no_secret_in_any() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // Whichever test comes first to a place that logs decides for all whether anybody listens there; once all places are
    // known, this one decides.
    five_flows().await;
    rebuild_interest_cache();
    log.0.lock().clear();

    let secrets = five_flows().await;
    let lines = log.lines();
    for secret in secrets.iter().map(String::as_str).chain(["CODE-", "CANARY"]) {
        assert!(!lines.iter().any(|line| line.contains(secret)), "{secret} is in the log");
    }
    let ends: Vec<_> = lines.iter().filter(|line| line.contains("a connect flow has ended")).collect();
    assert_eq!(ends.len(), 5, "{lines:?}");
    for (end, words) in ends.iter().zip([
        &["outcome=\"connected\""][..],
        &["outcome=\"awaits_completion\""],
        &["outcome=\"refused\"", "reason=\"outcome_unknown\"", "no answer in time"],
        &["outcome=\"refused\"", "reason=\"access_denied\""],
        &["outcome=\"refused\"", "reason=\"iss_mismatch\""],
    ]) {
        assert!(words.iter().all(|word| end.contains(word)) && end.contains("acme"), "{end}");
    }
}
