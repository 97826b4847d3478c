//! The checker against small sources of its own: it finds what breaks a rule, and nothing else.

use super::{Source, violations};

/// What one file at `path` breaks.
#[track_caller]
fn breaks(path: &str, text: &str, expected: &[&str]) {
    assert_eq!(violations(&[Source::new(path, text)]), expected, "{text}");
}

#[test]
fn a_forbidden_import_is_reported_with_its_line_and_the_rule() {
    let rule = "src/proxy/handle.rs:2: `proxy` may not name `store::seal`; it may name credential, model";
    breaks("proxy/handle.rs", "\nuse crate::store::seal::Sealer;\n", &[rule]);
    breaks("proxy/handle.rs", "\nfn f(_: &'static str, _: crate::store::seal::Sealer) {}\n", &[rule]);
    breaks("proxy/handle.rs", "\nuse super::super::store::seal::Sealer;\n", &[rule]);
    breaks("proxy/handle.rs", "mod inner {\nuse super::super::super::store::seal::Sealer; }\n", &[rule]);
    breaks("proxy/handle.rs", "use std::fmt; use crate::{model::{Clock, Secret},\nstore::{seal::{A, B}}};", &[rule]);
    breaks("proxy/handle.rs", "const C: char = '\"';\nuse crate::store::seal; const D: char = '\\'';", &[rule]);
}

#[test]
fn allowed_imports_comments_and_literals_are_no_violation() {
    for text in [
        "use crate::{credential::Credentials, model::Secret, proxy::error::Code};",
        "use super::{super::credential, path};",
        "pub(crate) fn f() {} pub(super) fn g() {} pub(in crate::proxy) fn h() {}",
        "//! crate::store\n/* crate::store /* crate::store */ crate::store */ const A: &str = \"\\\" crate::store\";",
        "const A: &str = r#\"\" crate::store\"#;",
    ] {
        breaks("proxy/handle.rs", text, &[]);
    }
}

#[test]
fn an_arrow_to_a_part_allows_only_that_part() {
    breaks("cli/status.rs", "use crate::admin::client::{Card, Client};", &[]);
    let rule = "`cli` may not name `admin::page`; it may name admin::client, app, config, model, sandbox, store";
    breaks("cli/status.rs", "use crate::admin::{client, page};", &[&format!("src/cli/status.rs:1: {rule}")]);
    breaks("main.rs", "use flexslot_proxy::app;", &["src/main.rs:1: `main` may not name `app`; it may name cli"]);
}

#[test]
fn what_is_no_room_is_reported() {
    breaks("model/mod.rs", "use crate::*;", &["src/model/mod.rs:1: `*` at the root of the crate is no room"]);
    breaks("util.rs", "", &["src/util.rs: room `util` has no row in the table"]);
}

#[test]
fn tests_may_reach_further_down_but_not_up_nor_aside() {
    let rule = |line| format!("src/proxy/guard.rs:{line}: `proxy` may not name `store`; it may name credential, model");
    let text = "#[cfg(test)]\nmod tests { use crate::store; fn f() { {} } use crate::store; }\nuse crate::store;";
    breaks("proxy/guard.rs", text, &[&rule(3)]);
    breaks("proxy/guard.rs", "#[cfg(test)] use crate::store;\nuse crate::store;", &[&rule(2)]);
    let aside = "src/proxy/guard.rs:1: `proxy` may not name `admin`; it may name credential, model";
    breaks("proxy/guard.rs", "#[cfg(test)] mod tests { use crate::admin; }", &[aside]);
}

#[test]
fn files_of_test_modules_are_known_by_their_declaration() {
    let tests = "mod world; use crate::store; use super::super::super::config;";
    let found = violations(&[
        Source::new("proxy/guard.rs", "#[cfg(test)]\nmod tests;"),
        Source::new("proxy/guard/tests.rs", tests),
        Source::new("proxy/guard/tests/world.rs", "use crate::flexslot;"),
        Source::new("proxy/guard/others.rs", "use crate::flexslot;"),
    ]);
    let rules = [
        "src/proxy/guard/tests.rs:1: `proxy` may not name `config`; it may name credential, model",
        "src/proxy/guard/others.rs:1: `proxy` may not name `flexslot`; it may name credential, model",
    ];
    assert_eq!(found, rules);
}
