//! From a link to a grant: what can come in between, and what a user is told then.

use flexslot_proxy::{
    model::ConnectionState::{Connected, NotConnected},
    sandbox::Consent,
};

use super::stage::Stage;
use crate::support::chromium::Script;

/// Each way is walked with scripts and without.
macro_rules! with_and_without_scripts {
    ($($name:ident, $without:ident: $walk:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $walk(Script::On).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $without() {
            $walk(Script::Off).await;
        }
    )*};
}

with_and_without_scripts! {
    who_says_no_changes_nothing_and_can_say_yes_later,
    who_says_no_changes_nothing_and_can_say_yes_later_without_scripts: denied;

    an_answer_that_nobody_asked_for_connects_nothing,
    an_answer_that_nobody_asked_for_connects_nothing_without_scripts: another_state;

    an_answer_that_names_another_issuer_connects_nothing,
    an_answer_that_names_another_issuer_connects_nothing_without_scripts: another_issuer;

    an_answer_counts_once,
    an_answer_counts_once_without_scripts: once_more;

    two_tabs_with_one_link_make_one_connection,
    two_tabs_with_one_link_make_one_connection_without_scripts: one_link_twice;

    two_tabs_with_two_tenants_do_not_disturb_each_other,
    two_tabs_with_two_tenants_do_not_disturb_each_other_without_scripts: two_links;

    another_user_than_before_is_asked_about,
    another_user_than_before_is_asked_about_without_scripts: another_user;

    a_user_whom_flexslot_need_not_ask_comes_back_at_once,
    a_user_whom_flexslot_need_not_ask_comes_back_at_once_without_scripts: unasked;
}

async fn denied(script: Script) {
    let stage = Stage::new(script).await;
    let browser = &stage.browser;
    stage.follow(&stage.connect_link("acme").await).await;
    browser.press("Deny").await;
    browser.says("You did not allow it Nothing was connected, and nothing has changed.").await;
    stage.is_in_state("acme", NotConnected, None).await;
    browser.press("Try again").await;
    stage.begin().await;
    stage.allow("george").await;
    browser.says("Connected to Flexslot as @george").await;
    stage.is_in_state("acme", Connected, Some("george")).await;
    browser.is_quiet().await;
}

async fn another_state(script: Script) {
    let stage = Stage::new(script).await;
    let browser = &stage.browser;
    stage.follow(&stage.connect_link("acme").await).await;
    let issuer = stage.world.origin();
    browser.go(&stage.at(&format!("/oauth/callback?code=flx_code_of_another&state=nobodys&iss={issuer}"))).await;
    browser.says("This answer does not belong to this browser").await;
    stage.is_in_state("acme", NotConnected, None).await;
    // What was begun is still good.
    browser.back().await;
    stage.allow("george").await;
    browser.says("Connected to Flexslot as @george").await;
    browser.is_quiet().await;
}

async fn another_issuer(script: Script) {
    let issuer = "issuer = \"https://issuer.example.com\"";
    let stage = Stage::with(script, &[("oauth", issuer)]).await;
    stage.follow(&stage.connect_link("acme").await).await;
    stage.allow("george").await;
    stage.browser.says("This answer is not from Flexslot Nothing was connected").await;
    stage.is_in_state("acme", NotConnected, None).await;
    stage.browser.is_quiet().await;
}

async fn once_more(script: Script) {
    let stage = Stage::new(script).await;
    let browser = &stage.browser;
    let link = stage.connect_link("acme").await;
    stage.follow(&link).await;
    stage.allow("george").await;
    browser.says("Connected to Flexslot as @george").await;
    browser.reload().await;
    browser.says("This answer does not belong to this browser").await;
    browser.says("If you have just connected, all is well").await;
    browser.go(&link).await;
    browser.says("This link has been used The connection that it was for stands.").await;
    stage.is_in_state("acme", Connected, Some("george")).await;
    browser.is_quiet().await;
}

async fn one_link_twice(script: Script) {
    let stage = Stage::new(script).await;
    let browser = &stage.browser;
    let (link, first) = (stage.connect_link("acme").await, browser.tab().await);
    stage.follow(&link).await;
    browser.new_tab().await;
    stage.follow(&link).await;
    stage.allow("ada").await;
    browser.says("Connected to Flexslot as @ada").await;
    browser.switch(&first).await;
    stage.allow("george").await;
    browser.says("This link has been used").await;
    stage.is_in_state("acme", Connected, Some("ada")).await;
    browser.is_quiet().await;
}

async fn two_links(script: Script) {
    let stage = Stage::new(script).await;
    let browser = &stage.browser;
    let first = browser.tab().await;
    stage.follow(&stage.connect_link("acme").await).await;
    let second = browser.new_tab().await;
    stage.follow(&stage.connect_link("beta").await).await;
    browser.switch(&first).await;
    stage.allow("george").await;
    browser.says("Connected to Flexslot as @george acme can use").await;
    browser.switch(&second).await;
    stage.allow("ada").await;
    browser.says("Connected to Flexslot as @ada beta can use").await;
    stage.is_in_state("acme", Connected, Some("george")).await;
    stage.is_in_state("beta", Connected, Some("ada")).await;
    browser.is_quiet().await;
}

async fn another_user(script: Script) {
    let stage = Stage::new(script).await;
    let browser = &stage.browser;
    stage.connect("acme", "george").await;
    browser.go(&stage.connect_link("acme").await).await;
    browser.says("It is connected as @george.").await;
    stage.begin_again().await;
    stage.allow("ada").await;
    browser.says("Another Flexslot account acme has been connected as @george.").await;
    browser.says("you have just allowed access as @ada.").await;
    browser.press("Leave it as it was").await;
    browser.says("Nothing has changed").await;
    stage.is_in_state("acme", Connected, Some("george")).await;
    stage.call("acme").await.is(200);

    browser.go(&stage.connect_link("acme").await).await;
    stage.begin_again().await;
    stage.allow("ada").await;
    browser.press("Use @ada").await;
    browser.says("Connected to Flexslot as @ada").await;
    stage.is_in_state("acme", Connected, Some("ada")).await;
    browser.is_quiet().await;
}

/// The form of our own page leads through Flexslot and back in one go, which its policy has to allow.
async fn unasked(script: Script) {
    let stage = Stage::new(script).await;
    stage.world.sandbox.set_consent(Consent::Automatic);
    stage.browser.go(&stage.connect_link("acme").await).await;
    stage.browser.press_below("//main//form", "Connect Flexslot").await;
    stage.browser.says("Connected to Flexslot as @george").await;
    stage.browser.is_quiet().await;
}
