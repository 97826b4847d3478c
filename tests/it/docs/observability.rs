//! The dashboard and the alerts below deploy/observability.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use super::{
    anchors, everything_counted,
    reading::{read, run},
};

/// The names of metrics that a text speaks of, those of a histogram's parts as that of the histogram.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let names = text.match_indices("flexslot_proxy_").map(|(at, _)| text[at..].split(|c: char| !is_name(c)).next());
    let whole = |name: &str| {
        ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name).to_owned()
    };
    names.flatten().map(whole).collect()
}

fn metrics_there() -> BTreeSet<String> {
    let text = everything_counted();
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).map(str::to_owned).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/observability/dashboard.json")).expect("JSON")
}

/// What the panels ask for.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().expect("an expression").to_owned()).collect()
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let shown: BTreeSet<String> =
        expressions(&dashboard()).iter().flat_map(|expression| metrics_in(expression)).collect();
    assert_eq!(shown, metrics_there());
}

#[test]
fn the_panels_of_the_dashboard_do_not_lie_over_each_other() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let side = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        assert!(side("x") + side("w") <= 24, "{}", panel["title"]);
        for (x, y) in (0..side("w")).flat_map(|x| (0..side("h")).map(move |y| (x, y))) {
            assert!(taken.insert((side("x") + x, side("y") + y)), "{}", panel["title"]);
        }
    }
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
}

#[tokio::test]
async fn prometheus_understands_what_the_dashboard_asks() {
    let filled_in =
        |text: &String| text.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*");
    let rules: Vec<Value> = expressions(&dashboard())
        .iter()
        .enumerate()
        .map(|(at, text)| json!({"record": format!("of_panel_{at}"), "expr": filled_in(text)}))
        .collect();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("rules.yaml");
    // JSON is YAML.
    fs::write(&file, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).expect("written");
    let exit = run("promtool", &["check", "rules", &file.display().to_string()]).await;
    assert!(exit.status.success(), "{}{}", exit.stdout, exit.stderr);
}

#[test]
fn alerts_are_about_metrics_that_there_are_and_name_pages_that_there_are() {
    let alerts = read("deploy/observability/alerts.yaml");
    let (asked, there) = (metrics_in(&alerts), metrics_there());
    assert!(asked.is_subset(&there), "{:?}", asked.difference(&there));
    let runbooks: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook: ")).collect();
    assert_eq!(runbooks.len(), alerts.matches("- alert: ").count());
    for runbook in runbooks {
        let (page, heading) = runbook.split_once('#').expect("a heading");
        assert!(anchors(&read(page)).iter().any(|anchor| anchor == heading), "{runbook}");
    }
}

#[tokio::test]
async fn alerts_fire_at_what_their_tests_say_and_at_nothing_else() {
    let exit = run("promtool", &["check", "rules", "deploy/observability/alerts.yaml"]).await;
    assert!(exit.status.success(), "{}{}", exit.stdout, exit.stderr);
    let exit = run("promtool", &["test", "rules", "deploy/observability/alerts.test.yaml"]).await;
    assert!(exit.status.success(), "{}{}", exit.stdout, exit.stderr);
    let tests = read("deploy/observability/alerts.test.yaml");
    for alert in
        read("deploy/observability/alerts.yaml").lines().filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        let expected: Vec<&str> = tests
            .split(&format!("alertname: {alert}"))
            .skip(1)
            .filter(|rest| rest.starts_with([',', '\n']))
            .filter_map(|rest| Some(rest.split_once("exp_alerts:")?.1.trim_start()))
            .collect();
        let is_quiet = |alerts: &&str| alerts.starts_with("[]");
        assert!(expected.iter().any(is_quiet), "{alert}: no test that it stays quiet");
        assert!(!expected.iter().all(is_quiet), "{alert}: no test that it fires");
    }
}
