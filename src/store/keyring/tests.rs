//! Against a `secret-tool` that plays a part. The real one, with a real keyring behind it, is for
//! `it::process::keyring`.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use super::{Keyring, KeyringError, Made, tool::Tool};
use crate::{
    model::{Random, Secret},
    store::seal::{InvalidKeys, KeyRing, KeySource, Sealer},
};

/// A directory with a `secret-tool` in it, and what it keeps.
struct Desktop(tempfile::TempDir);

/// Keeps a file for each service and store, and says each call, without what was typed into it, in `calls`.
const HONEST: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 9
what=$1; shift
case "$1" in --label=*) shift ;; esac
echo "$what $*" >> calls
item="item-$2-$4"
case $what in
    lookup) [ -e "$item" ] && exec cat "$item"; exit 1 ;;
    search) [ -e "$item" ] && echo "[/org/freedesktop/secrets/collection/login/1]"; exit 0 ;;
    store) cat > "$item.new" && mv "$item.new" "$item" ;;
    clear) rm -f "$item" ;;
esac
"#;

// === impl Desktop ===

impl Desktop {
    fn new(script: &str) -> Self {
        let desktop = Self(tempfile::tempdir().unwrap());
        // By another process: while one of ours has a program open for writing, nobody can run it, and a process that
        // another test starts at that moment has it open, too.
        let write = r#"printf %s "$1" > "$2" && chmod 700 "$2""#;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", write, "sh", script]).arg(desktop.path("secret-tool"));
        assert!(shell.status().unwrap().success());
        desktop
    }

    /// One whose `secret-tool` says this on standard error, and fails.
    fn saying(said: &str) -> Self {
        Self::new(&format!("#!/bin/sh\necho 'secret-tool: {said}' >&2\nexit 1\n"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn session(&self) -> Vec<(&'static str, OsString)> {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        vec![("PATH", path.into()), ("HOME", "/home/canary".into())]
    }

    fn keyring(&self) -> Keyring {
        Keyring::new("laptop".to_owned(), self.session(), Some(self.path("run")))
    }

    fn item(&self) -> String {
        fs::read_to_string(self.path("item-flexslot-proxy-laptop")).unwrap()
    }

    fn keeps(&self, text: &str) {
        fs::write(self.path("item-flexslot-proxy-laptop"), text).unwrap();
    }

    fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.path("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

fn line() -> Secret {
    Sealer::generate_key_line(&Random::system())
}

fn same(left: &KeyRing, right: &KeyRing) -> bool {
    format!("{left:?}") == format!("{right:?}")
}

// === keys ===

#[test]
fn a_key_is_made_where_none_is_and_reads_back() {
    let desktop = Desktop::new(HONEST);
    let keyring = desktop.keyring();
    assert!(keyring.read().unwrap().is_none());
    let Made::New(made) = keyring.create(&Random::system()).unwrap() else { panic!("there was none") };
    assert!(same(&made, &keyring.read().unwrap().unwrap()));
    let item = desktop.item();
    assert!(item.len() == 45 && item.ends_with('\n'));
    let calls = desktop.calls().join("\n");
    assert!(calls.contains("store service flexslot-proxy store laptop"), "{calls}");
    assert!(!calls.contains(item.trim_end()), "a key is no argument: {calls}");
    assert!(!desktop.path("item-flexslot-proxy-probe-laptop").exists(), "nothing else is left");
}

#[test]
fn a_key_that_is_there_is_never_overwritten() {
    let desktop = Desktop::new(HONEST);
    desktop.keeps(line().expose());
    let before = desktop.item();
    assert!(matches!(desktop.keyring().create(&Random::system()).unwrap(), Made::Found(_)));
    assert_eq!(desktop.item(), before);
}

/// As some do that are locked: nothing is found until something is stored, for which somebody types the password.
#[test]
fn a_keyring_that_looks_empty_while_it_is_locked_keeps_its_key() {
    let shy = HONEST.replace("lookup) ", "lookup) [ -e unlocked ] || exit 1; ");
    let shy =
        shy.replace("search) ", "search) [ -e unlocked ] || exit 0; ").replace("store) ", "store) touch unlocked; ");
    let desktop = Desktop::new(&shy);
    desktop.keeps(line().expose());
    let before = desktop.item();
    assert!(desktop.keyring().read().unwrap().is_none());
    assert!(matches!(desktop.keyring().create(&Random::system()).unwrap(), Made::Found(_)));
    assert_eq!(desktop.item(), before);
}

#[test]
fn of_many_that_make_a_key_at_once_one_does() {
    let desktop = Desktop::new(HONEST);
    let begin = Arc::new(Barrier::new(4));
    let makers: Vec<_> = (0..4)
        .map(|_| {
            let (keyring, begin) = (desktop.keyring(), Arc::clone(&begin));
            thread::spawn(move || {
                begin.wait();
                keyring.create(&Random::system()).unwrap()
            })
        })
        .collect();
    let made: Vec<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
    assert_eq!(made.iter().filter(|made| matches!(made, Made::New(_))).count(), 1);
    let kept = desktop.keyring().read().unwrap().unwrap();
    for made in &made {
        let (Made::New(ring) | Made::Found(ring)) = made;
        assert!(same(ring, &kept));
    }
}

#[test]
fn what_the_keyring_does_not_give_back_seals_nothing() {
    let desktop = Desktop::new(&HONEST.replace("store) ", "store) cat > /dev/null; exit 0; "));
    let error = desktop.keyring().create(&Random::system()).unwrap_err();
    assert!(matches!(error, KeyringError::NotKept(_)), "{error:?}");
}

#[test]
fn a_bad_line_is_named_and_not_shown() {
    let desktop = Desktop::new(HONEST);
    desktop.keeps("canary\n");
    for error in [desktop.keyring().read().unwrap_err(), desktop.keyring().create(&Random::system()).unwrap_err()] {
        assert!(matches!(error, KeyringError::Keys { fault: InvalidKeys::Line(1), .. }), "{error:?}");
        assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("canary"));
    }
    assert_eq!(desktop.item(), "canary\n", "it may be dear to somebody");
    desktop.keeps("");
    let error = desktop.keyring().read().unwrap_err();
    assert!(matches!(error, KeyringError::Keys { fault: InvalidKeys::Empty, .. }), "{error:?}");
}

// === changing them ===

#[test]
fn a_new_key_goes_in_front_and_an_old_one_to_the_former_ones() {
    let desktop = Desktop::new(HONEST);
    let old = line();
    desktop.keeps(old.expose());
    let mut held = desktop.keyring().hold().unwrap();
    let before = held.keys().unwrap().first();
    let new = line();
    let both = held.put_first(&new).unwrap();
    assert_eq!((both.others(), desktop.item()), (vec![before], format!("{}\n{}\n", new.expose(), old.expose())));
    let left = held.remove(&[before]).unwrap();
    assert_eq!((left.others(), desktop.item()), (Vec::new(), format!("{}\n", new.expose())));
    let former = desktop.path("item-flexslot-proxy-old-keys-laptop");
    assert_eq!(fs::read_to_string(&former).unwrap(), format!("{}\n", old.expose()));

    let newest = line();
    held.put_first(&newest).unwrap();
    held.remove(&[left.first()]).unwrap();
    assert_eq!(fs::read_to_string(&former).unwrap(), format!("{}\n{}\n", new.expose(), old.expose()));
}

#[test]
fn the_last_key_is_never_removed() {
    let desktop = Desktop::new(HONEST);
    desktop.keeps(line().expose());
    let before = desktop.item();
    let mut held = desktop.keyring().hold().unwrap();
    let only = held.keys().unwrap().first();
    assert!(matches!(held.remove(&[only]), Err(KeyringError::Keys { .. })));
    assert_eq!(desktop.item(), before);
}

#[test]
fn former_keys_that_no_longer_fit_go_and_more_keys_than_fit_are_refused() {
    let desktop = Desktop::new(HONEST);
    let lines: Vec<_> = (0..177).map(|_| line().expose().to_owned()).collect();
    desktop.keeps(&format!("{}\n", lines.join("\n")));
    let mut held = desktop.keyring().hold().unwrap();
    let before = desktop.item();
    assert!(matches!(held.put_first(&line()), Err(KeyringError::TooLong(_))));
    assert_eq!(desktop.item(), before);
    let all = held.keys().unwrap();
    let mut last = held.remove(&all.others()).unwrap().first();
    for _ in 0..2 {
        held.put_first(&line()).unwrap();
        last = held.remove(&[last]).unwrap().first();
    }
    let former = fs::read_to_string(desktop.path("item-flexslot-proxy-old-keys-laptop")).unwrap();
    let former: Vec<_> = former.lines().collect();
    assert_eq!((former.len(), former[1]), (177, lines[0].as_str()), "the latest first");
    assert_eq!(former[2..], lines[1..176], "and the oldest gone");
}

#[test]
fn of_two_that_would_change_it_one_is_refused_until_the_other_is_done() {
    let desktop = Desktop::new(HONEST);
    desktop.keeps(line().expose());
    let held = desktop.keyring().hold().unwrap();
    assert!(matches!(desktop.keyring().hold(), Err(KeyringError::Busy(_))));
    drop(held);
    assert!(desktop.keyring().hold().is_ok());
}

#[test]
fn a_running_process_reads_it_again_and_keeps_what_it_has_where_it_cannot() {
    let desktop = Desktop::new(HONEST);
    assert!(desktop.keyring().reread().is_none());
    desktop.keeps(line().expose());
    assert!(desktop.keyring().reread().is_some());
    assert!(Desktop::saying("Cannot get secret of a locked object").keyring().reread().is_none());
}

// === errors ===

#[test]
fn what_secret_tool_says_becomes_what_to_do() {
    // As secret-tool 0.20.5 and GLib 2.74 say it.
    for (said, what, hint) in [
        ("Cannot autolaunch D-Bus without X11 $DISPLAY", "belongs to no desktop session", "systemctl --user"),
        ("Could not connect: No such file or directory", "belongs to no desktop session", "XDG_RUNTIME_DIR"),
        (
            "The name org.freedesktop.secrets was not provided by any .service files",
            "nothing in this session keeps one",
            "GNOME Keyring",
        ),
        ("Cannot create an item in a locked collection", "keyring is locked", "unlock it"),
    ] {
        let desktop = Desktop::saying(said);
        for error in [desktop.keyring().read().unwrap_err(), desktop.keyring().create(&Random::system()).unwrap_err()] {
            let hint_of = error.hint().unwrap();
            assert!(error.to_string().contains(what) && hint_of.contains(hint), "{said}: {error}: {hint_of}");
            assert!(hint_of.contains("{ file = "), "{hint_of}");
        }
    }
    let error = Desktop::saying("no\u{7}thing\nbut trouble").keyring().read().unwrap_err();
    assert_eq!(error.to_string(), "secret-tool cannot read the item \"laptop\": nothing");
    let desktop = Desktop::new("#!/bin/sh\nkill -9 $$\n");
    let dies = desktop.keyring();
    for (error, doing) in [(dies.read().unwrap_err(), "read"), (dies.create(&Random::system()).unwrap_err(), "store")] {
        let expected = format!("secret-tool cannot {doing} the item \"laptop\", and does not say why");
        assert_eq!(error.to_string(), expected, "a crash does not mean that there is none");
    }
    let desktop = Desktop::new(&HONEST.replace("search) ", "search) kill -9 $$; "));
    let error = desktop.keyring().read().unwrap_err();
    assert_eq!(error.to_string(), "secret-tool cannot find the item \"laptop\", and does not say why");
}

#[test]
fn silence_about_an_item_that_is_listed_means_that_it_is_locked() {
    let desktop = Desktop::new(&HONEST.replace("lookup) ", "lookup) exit 1; "));
    desktop.keeps(line().expose());
    let error = desktop.keyring().read().unwrap_err();
    assert!(matches!(error, KeyringError::Locked(_)), "{error:?}");
}

#[test]
fn without_secret_tool_the_package_is_named() {
    let desktop = Desktop::new(HONEST);
    fs::remove_file(desktop.path("secret-tool")).unwrap();
    fs::write(desktop.path("secret-tool"), HONEST).unwrap();
    let path: OsString = format!("{}:relative", desktop.0.path().display()).into();
    for session in [Vec::new(), vec![("PATH", path)]] {
        let error = Keyring::new("laptop".to_owned(), session, None).read().unwrap_err();
        assert!(matches!(error, KeyringError::NotInstalled), "what cannot be run is not it: {error:?}");
        assert!(error.hint().unwrap().contains("libsecret-tools"));
    }
}

#[test]
fn it_is_not_waited_for_longer_than_said_and_then_ended() {
    let desktop = Desktop::new("#!/bin/sh\necho $$ > \"$(dirname \"$0\")/pid\"\nexec sleep 600\n");
    let late = Tool::find(desktop.session()).run(&["lookup"], None, Duration::from_secs(1)).err().unwrap();
    assert_eq!(format!("{late:?}"), "Late(1s)");
    let pid = fs::read_to_string(desktop.path("pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "it is gone");
    let item = desktop.keyring().item().clone();
    let error = KeyringError::Late { item, limit: Duration::from_secs(60) };
    assert!(error.to_string().contains("within 60 s; as a rule it waits to be unlocked"), "{error}");
}

#[test]
fn it_inherits_no_variables_but_those_of_the_session() {
    let desktop = Desktop::new("#!/bin/sh\nexec /usr/bin/env\n");
    let answer = Tool::find(desktop.session()).run(&[], None, Duration::from_secs(60)).unwrap();
    let text = String::from_utf8(answer.stdout.to_vec()).unwrap();
    let mut names: Vec<_> = text.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    // The shell sets the last one, and LC_ALL is ours.
    assert_eq!(names, ["HOME", "LC_ALL", "PATH", "PWD"], "{text}");
}

#[test]
fn no_more_is_read_than_a_keyring_should_hold() {
    let desktop = Desktop::new("#!/bin/sh\nexec cat /dev/zero\n");
    let answer = Tool::find(desktop.session()).run(&[], None, Duration::from_secs(60)).unwrap();
    assert_eq!((answer.stdout.len(), answer.status.success()), (16 << 10, false));
}
