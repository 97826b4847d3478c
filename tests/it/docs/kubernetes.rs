//! The manifests below deploy/, and what docs/kubernetes.md shows of them.

use std::path::Path;

use flexslot_proxy::{
    config::{Config, ConfigSource, Overrides},
    model::file_access::FileOwner,
};

use super::{
    WellEquipped,
    reading::{code_blocks, files_below, read, root, run},
};

/// The text of `proxy.toml` in a ConfigMap, without its indentation.
fn configurations(manifest: &str) -> Vec<String> {
    let texts = manifest.split("\n  proxy.toml: |\n").skip(1);
    let lines = |text: &str| text.lines().map_while(own_line).collect::<Vec<_>>().join("\n");
    texts.map(lines).collect()
}

fn own_line(line: &str) -> Option<String> {
    if line.is_empty() { Some(String::new()) } else { line.strip_prefix("    ").map(str::to_owned) }
}

/// As the kubelet mounts secrets: root's, readable for the group of the pod.
fn is_accepted(file: &str) -> Result<(), String> {
    let source = ConfigSource::File("/proxy.toml".into());
    let mounted = WellEquipped { file: file.to_owned(), mode: 0o440, owner: FileOwner::Root };
    Config::load(&source, &Overrides::default(), &mounted).map(drop).map_err(|faults| faults.to_string())
}

#[test]
fn every_configuration_in_a_manifest_is_valid() {
    let mut seen = 0;
    for file in files_below("deploy/kubernetes", ".yaml") {
        for configuration in configurations(&read(&file)) {
            is_accepted(&configuration)
                .unwrap_or_else(|faults| panic!("{}:\n{configuration}\n{faults}", file.display()));
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
    for file in ["deploy/systemd/proxy.toml", "deploy/compose/config/proxy.toml"] {
        is_accepted(&read(file)).unwrap_or_else(|faults| panic!("{file}: {faults}"));
    }
}

#[tokio::test]
async fn the_manifests_are_what_kubernetes_takes_and_their_parts_fit() {
    let python = root().join("target/manifests/bin/python");
    let version = env!("CARGO_PKG_VERSION");
    let args = ["tests/it/docs/manifests.py", "deploy/kubernetes", "deploy/compose/compose.yaml", version];
    let exit = run(&python, &args).await;
    assert!(exit.status.success(), "{}", exit.stderr);
    assert!(exit.stdout.trim().parse::<u32>().is_ok_and(|resources| resources > 12), "{}", exit.stdout);
}

#[test]
fn the_examples_of_the_page_are_parts_of_the_manifests() {
    let manifests: Vec<String> = files_below("deploy/kubernetes", ".yaml").iter().map(without_indentation).collect();
    let blocks = code_blocks(&read("docs/kubernetes.md"), "yaml");
    assert!(blocks.len() > 3, "{blocks:?}");
    for block in blocks {
        let block = trimmed(&block);
        assert!(manifests.iter().any(|manifest| manifest.contains(&block)), "in no manifest:\n{block}");
    }
}

fn without_indentation(file: impl AsRef<Path>) -> String {
    trimmed(&read(file))
}

fn trimmed(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}
