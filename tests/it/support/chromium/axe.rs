//! Whether everybody can use a page: axe-core's rules, and room on small screens.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{Chromium, Scheme, View};

/// Small and large, by day and by night.
const VIEWS: [View; 4] = [
    View { scheme: Scheme::Light, width: 1280 },
    View { scheme: Scheme::Dark, width: 1280 },
    View { scheme: Scheme::Light, width: 320 },
    View { scheme: Scheme::Dark, width: 320 },
];

/// `npm ci` puts it there, with the version and the hash of the lock file.
const AXE: &str = "tests/browser/node_modules/axe-core/axe.min.js";

/// Hands back each violation as a text: the rule, what is wrong, and where.
const RUN: &str = r#"
const done = arguments[0];
axe.run(document, { resultTypes: ["violations"] }).then(({ violations, passes }) => done({
  rules: passes.length,
  violations: violations.map((rule) =>
    `${rule.id}: ${rule.help}\n` + rule.nodes.map((node) => `  ${node.html}\n  ${node.failureSummary}`).join("\n")),
}), (error) => done({ rules: 0, violations: [String(error)] }));
"#;

// === impl Chromium ===

impl Chromium {
    /// Fails where the page keeps somebody out: by a rule of axe-core, or because it has to be scrolled to the side.
    /// `what` is in front of the reader now.
    pub(crate) async fn is_accessible(&self, what: &str) {
        let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join(AXE);
        let axe = fs::read_to_string(&axe)
            .unwrap_or_else(|error| panic!("{}: {error}; scripts/test installs it", axe.display()));
        self.run(&axe).await;
        for view in VIEWS {
            self.look(view).await;
            let found = self.post("/execute/async", json!({ "script": RUN, "args": [] })).await;
            let violations: Vec<&str> =
                found["violations"].as_array().expect("a result").iter().filter_map(Value::as_str).collect();
            assert!(violations.is_empty(), "{what}, {view:?}:\n{}", violations.join("\n"));
            assert!(found["rules"].as_u64() > Some(5), "{what}: hardly any rule was applied: {found}");
            let room = self.run("return document.documentElement.scrollWidth - window.innerWidth").await;
            assert!(room.as_i64() <= Some(0), "{what}, {view:?}: {room} pixels too wide");
        }
        self.look(VIEWS[0]).await;
    }
}
