//! Opens that go on and opens on behalf, against the kernel's own: every object, every flag, every call.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::attack::{Attack, outside};

fn read<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    lines.map(|line| line.rsplit_once(": ").unwrap()).map(|(what, came)| (what.to_owned(), came.to_owned())).collect()
}

#[test]
fn nobody_can_tell_an_open_on_behalf_from_his_own() {
    let attack = Attack::run(&["OPENS", "WALKS"].map(str::to_owned));
    nobody_can_tell(&attack, "OPENS", 5000);
    nobody_can_tell(&attack, "WALKS", 900);
}

fn nobody_can_tell(attack: &Attack, payload: &str, least: usize) {
    assert_eq!(attack.met.get(payload).map(String::as_str), Some("0"), "{:?}", attack.met);
    let told = attack.run.told();
    let parts = told.iter().filter(|(name, _)| name.starts_with(&format!("{payload}#")));
    let told: Vec<String> = parts.map(|(_, text)| text.replace('\\', "/")).collect();
    let inside = read(told.iter().flat_map(|text| text.split('|')));
    // In memory, as the folders of units are.
    let out = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::set_permissions(out.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(outside()).arg(payload).env("OUT_DIR", out.path()).output().unwrap();
    // An ordinary user removes no folder that he cannot list.
    let _ = fs::set_permissions(out.path().join("opens/closed-folder"), fs::Permissions::from_mode(0o700));
    let own = String::from_utf8(output.stdout).unwrap();
    let own = read(own.lines());
    assert!(own.len() > least, "{} {}", own.len(), String::from_utf8_lossy(&output.stderr));
    assert_eq!(own.len(), inside.len());
    let differs: Vec<_> = own
        .iter()
        .filter(|(what, came)| inside.get(*what) != Some(came))
        .map(|(what, came)| format!("{what}: {} inside, {came} outside", inside[what]))
        .collect();
    assert!(differs.is_empty(), "{} of {}:\n{}", differs.len(), own.len(), differs.join("\n"));
}
