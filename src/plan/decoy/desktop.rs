//! Browsers, keyrings, autostart and documents: what makes a home look lived in.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json as value;

use super::super::persona::Persona;
use super::super::random::Random;
use super::{Plot, json};
use crate::evidence::line::DecoyClass;

pub(super) fn plant(plot: &mut Plot<'_>, persona: &Persona, random: &mut Random) {
    firefox(plot, random);
    chrome(plot, persona, random);
    plot.secret(".local/share/keyrings/login.keyring", [b"GnomeKeyring\n\r\0\n".to_vec(), random.bytes(912)].concat());
    plot.secret(".config/Slack/Cookies", database(5, random));
    started(plot);
    documents(plot, persona, random);
}

/// A file with the header of an `SQLite` 3 database and pages of noise.
pub(super) fn database(pages: u8, random: &mut Random) -> Vec<u8> {
    let mut file = b"SQLite format 3\0\x10\x00\x01\x01\x00\x40\x20\x20".to_vec();
    file.extend([0, 0, 0, pages, 0, 0, 0, pages]);
    let rest = usize::from(pages) * 4_096 - file.len();
    file.extend(random.bytes(rest));
    file
}

fn firefox(plot: &mut Plot<'_>, random: &mut Random) {
    let profile = format!("{}.default-release", random.text(8, b"abcdefghijklmnopqrstuvwxyz0123456789"));
    let profiles = format!(
        "[Install4F96D1932A9F858E]\nDefault={profile}\nLocked=1\n\n[Profile0]\nName=default-release\nIsRelative=1\nPath={profile}\n\n[General]\nStartWithLastProfile=1\nVersion=2\n",
    );
    plot.open(".mozilla/firefox/profiles.ini", DecoyClass::Config, profiles);
    let folder = format!(".mozilla/firefox/{profile}");
    let encrypted = |random: &mut Random| BASE64_STANDARD.encode(random.bytes(66));
    let logins = value!({"nextId": 3, "logins": [{
        "id": 1, "hostname": "https://accounts.google.com", "encryptedUsername": encrypted(random),
        "encryptedPassword": encrypted(random), "guid": format!("{{{}}}", random.uuid()), "encType": 1,
    }, {
        "id": 2, "hostname": "https://github.com", "encryptedUsername": encrypted(random),
        "encryptedPassword": encrypted(random), "guid": format!("{{{}}}", random.uuid()), "encType": 1,
    }], "version": 3});
    plot.secret(&format!("{folder}/logins.json"), logins.to_string());
    plot.secret(&format!("{folder}/key4.db"), database(9, random));
    plot.secret(&format!("{folder}/cookies.sqlite"), database(12, random));
    let preferences = "user_pref(\"browser.startup.page\", 3);\nuser_pref(\"intl.accept_languages\", \"en-gb,en\");\n";
    plot.open(&format!("{folder}/prefs.js"), DecoyClass::Plain, preferences);
}

fn chrome(plot: &mut Plot<'_>, persona: &Persona, random: &mut Random) {
    let state = value!({"os_crypt": {"portal": {"prev_desktop": "GNOME"}}, "profile": {
        "info_cache": {"Default": {"name": persona.full_name, "user_name": persona.email}}, "last_used": "Default",
    }});
    plot.put(&format!("{}/.config/google-chrome/Local State", plot.home), DecoyClass::Config, 0o600, json(&state));
    plot.secret(".config/google-chrome/Default/Login Data", database(10, random));
    plot.secret(".config/google-chrome/Default/Cookies", database(14, random));
    plot.secret(".config/google-chrome/Default/Web Data", database(8, random));
    // The storage of a wallet extension, where malware looks for one.
    let wallet = ".config/google-chrome/Default/Local Extension Settings/nkbihfbeogaeaoehlefnkodbefgpgknn";
    plot.secret(&format!("{wallet}/000003.log"), random.bytes(2_048));
    plot.secret(&format!("{wallet}/CURRENT"), format!("MANIFEST-{}\n", random.digits(6)));
}

fn started(plot: &mut Plot<'_>) {
    let entry = "[Desktop Entry]\nType=Application\nName=Nextcloud\nExec=nextcloud --background\nTerminal=false\n";
    plot.open(".config/autostart/nextcloud.desktop", DecoyClass::Startup, entry);
    let service = "[Unit]\nDescription=Mail synchronisation\n\n[Service]\nType=oneshot\nExecStart=/usr/bin/mbsync -a\n";
    plot.open(".config/systemd/user/mbsync.service", DecoyClass::Startup, service);
    let timer = "[Unit]\nDescription=Mail synchronisation\n\n[Timer]\nOnUnitActiveSec=10m\n\n[Install]\nWantedBy=timers.target\n";
    plot.open(".config/systemd/user/mbsync.timer", DecoyClass::Startup, timer);
    plot.open(".config/environment.d/10-local.conf", DecoyClass::Startup, "MOZ_ENABLE_WAYLAND=1\n");
}

fn documents(plot: &mut Plot<'_>, persona: &Persona, random: &mut Random) {
    let folders = "XDG_DOCUMENTS_DIR=\"$HOME/Documents\"\nXDG_DOWNLOAD_DIR=\"$HOME/Downloads\"\n";
    plot.open(".config/user-dirs.dirs", DecoyClass::Plain, folders);
    let notes = format!(
        "- ask {} about the import of March\n- renew certificate before the 14th\n- invoices: numbers {} to {} are missing\n",
        persona.full_name.split(' ').next().unwrap_or_default(),
        random.digits(5),
        random.digits(5)
    );
    plot.open("Documents/notes.txt", DecoyClass::Plain, notes);
    let budget: Vec<String> = ["January", "February", "March", "April", "May", "June"]
        .iter()
        .map(|month| format!("{month},{},{},{}\n", 900 + random.below(60), 250 + random.below(200), random.below(300)))
        .collect();
    plot.open("Documents/budget.csv", DecoyClass::Plain, format!("month,rent,food,travel\n{}", budget.concat()));
    let letter = format!(
        "Dear Sir or Madam,\n\nplease find our order of the {}th below. Our customer number is {}.\n\nKind regards\n{}\n",
        1 + random.below(28),
        random.digits(8),
        persona.full_name
    );
    plot.open("Documents/letters/order.txt", DecoyClass::Plain, letter);
    let minutes = format!(
        "Minutes, {}\n\nPresent: {}\n1. Release of orders-service\n2. Holidays\n",
        persona.firm, persona.full_name
    );
    plot.open("Documents/work/minutes.md", DecoyClass::Plain, minutes);
    plot.open(
        "Downloads/export.csv",
        DecoyClass::Plain,
        format!("id,amount\n{},{}\n", random.digits(6), random.digits(4)),
    );
}
