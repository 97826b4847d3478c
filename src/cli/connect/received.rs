//! The browser comes back to somebody who listens: a running sidecar, or this command.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Asking,
    browser::{self, Opened},
};
use crate::{
    app::connecting::{Progress, Refusal, SessionOutcome},
    cli::{Failure, World},
};

/// How often is looked how far the session has come.
const EVERY: Duration = Duration::from_millis(500);

/// As long as a session lasts.
const PATIENCE: Duration = Duration::from_secs(600);

// === impl Asking ===

impl Asking<'_> {
    /// Sends the browser there, and waits for how the session ends.
    pub(super) async fn received(&mut self, world: &mut World<'_>) -> Result<(), Failure> {
        let receiver = self.connecting.receiver(&self.session.id).await?;
        let link = self.connecting.link(&self.session.id);
        let console = &mut world.console;
        console
            .tell(format_args!("To connect {} to Flexslot, open this in a browser, within ten minutes:", self.tenant));
        console.data_line(&link)?;
        let opened = if console.can_ask() { browser::open(&link, world.environment) } else { Opened::No };
        if opened == Opened::No {
            let tenant = self.tenant;
            console.tell(format_args!(
                "It has to be a browser of this machine. If it has none: flexslot-proxy connect {tenant} --no-browser"
            ));
        }
        console.tell("Waiting for the answer that is given there. Ctrl-C gives up.");
        let ended = self.ended().await;
        receiver.finish().await;
        match ended? {
            SessionOutcome::Connected => Ok(()),
            SessionOutcome::Denied => Err(self.refused(&Refusal::Denied)),
            SessionOutcome::Failed(why) => Err(Failure::new(format!("{} was not connected: {why}", self.tenant))
                .hint("the page in the browser says what to do, and so does the sidecar's log")),
        }
    }

    /// Waits. That the store is out of reach for a while ends nothing.
    async fn ended(&self) -> Result<SessionOutcome, Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.connecting.credentials.session(&self.session.id).await {
                Ok(Some(session)) => {
                    if let Progress::Ended(outcome) = session.progress {
                        return Ok(outcome);
                    }
                }
                Ok(None) => return Err(self.refused(&Refusal::UnknownLink)),
                Err(error) if Instant::now() >= until => return Err(error.into()),
                Err(_) => {}
            }
            sleep(EVERY).await;
        }
    }
}
