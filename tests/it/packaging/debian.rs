//! What is in the Debian package: Cargo.toml says it, `scripts/deb` makes it. The whole is judged by lintian where one is made.

use std::{collections::BTreeSet, fs};

use super::{root, run};

/// Where things go, by where they come from: `package.metadata.deb.assets`.
fn assets() -> Vec<(String, String)> {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets = deb["assets"].as_array().unwrap().iter();
    assets.map(|asset| (asset[0].as_str().unwrap().to_owned(), asset[1].as_str().unwrap().to_owned())).collect()
}

#[test]
fn everything_that_goes_into_the_package_is_there_or_made_by_the_script() {
    let script = fs::read_to_string(root().join("scripts/deb")).unwrap();
    let mut made = BTreeSet::new();
    for (source, _) in assets() {
        if let Some(name) = source.strip_prefix("target/deb/") {
            assert!(script.contains(&format!("\"$dir/{name}\"")), "{source} is made by nobody");
            made.insert(name.to_owned());
        } else if source != "target/release/flexslot-proxy" {
            assert!(root().join(&source).exists(), "{source}");
        }
    }
    assert_eq!(made.len(), 5, "{made:?}");
}

/// The unit starts the program where the package puts it, with a configuration that it brings.
#[test]
fn the_unit_and_the_package_agree_about_places() {
    let unit = fs::read_to_string(root().join("deploy/systemd/flexslot-proxy.service")).unwrap();
    let places: BTreeSet<String> = assets()
        .into_iter()
        .map(|(source, place)| match place.ends_with('/') {
            true => format!("/{place}{}", source.rsplit('/').next().unwrap()),
            false => format!("/{place}"),
        })
        .collect();
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    for path in start.split(' ').filter(|word| word.starts_with('/')) {
        assert!(places.contains(path), "{path} is not in the package: {places:?}");
    }
    assert!(places.contains("/usr/sbin/flexslot-proxy-in-service"), "{places:?}");
}

#[tokio::test]
async fn the_maintainer_script_is_one() {
    run("sh", &["-n", "deploy/debian/postrm"]).await;
}
