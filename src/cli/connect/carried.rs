//! The answer is carried over by hand, from any browser to standard input.

use super::{Asking, pasted};
use crate::{
    app::connecting::{Begun, Confirmation, LastWord, Outcome, Refusal, Refused},
    cli::{Console, Failure, console::printable},
    model::Identity,
};

/// What an address came to that does not end the command.
enum Next {
    /// Another address can be taken for the same flow, of which nothing was used up.
    PasteAgain,
    /// The flow is over, and another one can begin.
    BeginAgain,
}

// === impl Asking ===

impl Asking<'_> {
    /// Begins at Flexslot, and takes addresses until one connects the tenant, standard input ends, or the session does.
    pub(super) async fn carried(&self, console: &mut Console) -> Result<(), Failure> {
        loop {
            let begun = self.connecting.begin(&self.session.id).await.map_err(|refused| self.refused(&refused.why))?;
            let (tenant, back) = (self.tenant, self.connecting.redirect_uri());
            console
                .tell(format_args!("To connect {tenant} to Flexslot, open this in any browser, within ten minutes:"));
            console.data_line(&begun.url)?;
            console.tell(format_args!(
                "In the end the browser is sent to an address that begins with {back}; its page need not load. Copy that \
                 address, the whole of it."
            ));
            loop {
                if console.can_ask() {
                    console.tell_part("Paste it here (it is not shown): ");
                }
                match self.take(&begun, console).await? {
                    None => return Ok(()),
                    Some(Next::PasteAgain) => {}
                    Some(Next::BeginAgain) => break,
                }
            }
        }
    }

    /// Takes one address; `None` where the tenant is connected.
    async fn take(&self, begun: &Begun, console: &mut Console) -> Result<Option<Next>, Failure> {
        let Some(line) = console.hidden_line().await? else {
            return Err(Failure::new("standard input ended before the address came"));
        };
        let query = match pasted::query(&line) {
            Ok(query) => query,
            Err(not_it) => return Ok(try_again(Failure::new(not_it.as_str()), Next::PasteAgain, console)),
        };
        match self.connecting.answer(begun, &query).await {
            Outcome::Connected(_) => Ok(None),
            Outcome::Confirm(asked) => self.ask(begun, &asked, console).await.map(|()| None),
            // This session has no app that it could return to.
            Outcome::Return(_) => Err(Failure::new("the session belongs to an app")),
            Outcome::Refused(Refused { why: Refusal::NoAnswer | Refusal::OtherBrowser, .. }) => Ok(try_again(
                Failure::new("that is no answer to the address above: its state= is another, or missing"),
                Next::PasteAgain,
                console,
            )),
            Outcome::Refused(Refused { why, again: Some(_), .. }) if why != Refusal::Denied => {
                Ok(try_again(self.refused(&why), Next::BeginAgain, console))
            }
            Outcome::Refused(refused) => Err(self.refused(&refused.why)),
        }
    }

    /// Somebody else has consented than whose connection it was: is that meant?
    async fn ask(&self, begun: &Begun, asked: &Confirmation, console: &mut Console) -> Result<(), Failure> {
        let tenant = self.tenant;
        let before = asked.before.as_ref().map_or_else(|| "somebody else".to_owned(), name);
        let now = asked.now.as_ref().map_or_else(|| "an account that Flexslot does not name".to_owned(), name);
        console.tell(format_args!("{tenant} has been connected as {before}, and access was now allowed as {now}."));
        let word = match console.confirm(format_args!("Use {now} for {tenant} from now on?")).await? {
            true => LastWord::Yes,
            false => LastWord::No,
        };
        match self.connecting.confirm(&self.session.id, begun, word).await {
            Outcome::Connected(_) => Ok(()),
            Outcome::Refused(refused) => Err(self.refused(&refused.why)),
            Outcome::Confirm(_) | Outcome::Return(_) => Err(Failure::new("the session is not at its end")),
        }
    }
}

/// Tells what was wrong. Whoever pasted it may be behind a pipe, and can still paste another.
fn try_again(failure: Failure, next: Next, console: &mut Console) -> Option<Next> {
    console.tell(failure);
    Some(next)
}

fn name(identity: &Identity) -> String {
    printable(&identity.handle())
}
