//! The home that decoys lie in: a believable one, fresh for each run.
//!
//! Nothing in it is real and nothing comes from the host. Secrets have the form
//! of real ones and random contents, so that a value that turns up somewhere
//! else can only have come from here. What honest tools read, such as
//! `.gitconfig`, is valid and changes nothing about a build.

mod desktop;
mod keys;
mod registries;
mod shell;
mod wallets;

pub(crate) use registries::{aws_pair, cargo_token, github_token, npm_token};

use std::collections::BTreeMap;

use super::persona::Persona;
use super::random::Random;
use crate::evidence::line::{DecoyClass, DecoyPath};

/// One planted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoy {
    /// Absolute path inside the sandbox.
    pub path: String,
    /// What it imitates.
    pub class: DecoyClass,
    /// What it holds.
    pub contents: Vec<u8>,
    /// Permission bits, as on a real machine.
    pub mode: u32,
}

/// A folder of the decoy home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecoyFolder {
    /// Absolute path inside the sandbox.
    pub path: String,
    /// Permission bits, as on a real machine.
    pub mode: u32,
}

/// The whole decoy home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecoyHome {
    /// Every folder below the home and below `CARGO_HOME`, parents first; neither of the two themselves.
    pub folders: Vec<DecoyFolder>,
    /// Every file, sorted by path.
    pub files: Vec<Decoy>,
}

impl DecoyHome {
    /// The files without their contents, as the evidence's header lists them.
    pub fn listing(&self) -> Vec<DecoyPath> {
        self.files.iter().map(|file| DecoyPath { path: file.path.clone(), class: file.class }).collect()
    }
}

/// The decoys for a home and a `CARGO_HOME`, both absolute paths inside the sandbox.
///
/// `CARGO_HOME` gets `credentials.toml` and `config.toml` whether it lies in the home or not, and so does
/// `~/.cargo`. The latter `config.toml` is one that cargo itself reads: it says nothing that changes a build.
pub fn decoys(home: &str, cargo_home: &str, persona: &Persona, random: &mut Random) -> DecoyHome {
    let mut plot = Plot { home: home.trim_end_matches('/'), files: BTreeMap::new() };
    keys::plant(&mut plot, persona, random);
    registries::plant(&mut plot, cargo_home.trim_end_matches('/'), persona, random);
    wallets::plant(&mut plot, random);
    desktop::plant(&mut plot, persona, random);
    shell::plant(&mut plot, persona, random);
    let folders = folders(home.trim_end_matches('/'), cargo_home.trim_end_matches('/'), &plot.files);
    DecoyHome { folders, files: plot.files.into_values().collect() }
}

/// Where the parts of the home put their files.
struct Plot<'a> {
    home: &'a str,
    files: BTreeMap<String, Decoy>,
}

impl Plot<'_> {
    /// A file that only its owner may read.
    fn secret(&mut self, path: &str, contents: impl Into<Vec<u8>>) {
        self.put(&format!("{}/{path}", self.home), DecoyClass::Credential, 0o600, contents);
    }

    /// A file with the usual mode.
    fn open(&mut self, path: &str, class: DecoyClass, contents: impl Into<Vec<u8>>) {
        self.put(&format!("{}/{path}", self.home), class, 0o644, contents);
    }

    fn put(&mut self, path: &str, class: DecoyClass, mode: u32, contents: impl Into<Vec<u8>>) {
        let decoy = Decoy { path: path.to_owned(), class, contents: contents.into(), mode };
        self.files.insert(path.to_owned(), decoy);
    }
}

/// Folders that are closed to others on a real machine.
const PRIVATE_FOLDERS: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".gnupg/private-keys-v1.d",
    ".config/google-chrome",
    ".config/google-chrome/Default",
    ".config/gcloud",
    ".mozilla",
    ".bitcoin",
    ".electrum",
    ".electrum/wallets",
    ".ethereum",
    ".ethereum/keystore",
    ".local/share/keyrings",
    ".password-store",
];

fn folders(home: &str, cargo_home: &str, files: &BTreeMap<String, Decoy>) -> Vec<DecoyFolder> {
    let mut modes = BTreeMap::new();
    for path in files.keys() {
        let Some(root) =
            [home, cargo_home].into_iter().filter(|root| is_below(path, root)).min_by_key(|root| root.len())
        else {
            continue;
        };
        let mut folder = parent(path);
        while is_below(folder, root) {
            let relative = folder.strip_prefix(home).map(|rest| rest.trim_start_matches('/'));
            let private = relative.is_some_and(|relative| PRIVATE_FOLDERS.contains(&relative));
            modes.insert(folder.to_owned(), if private { 0o700 } else { 0o755 });
            folder = parent(folder);
        }
    }
    // Sorted by path, so that a parent comes before what it holds.
    modes.into_iter().map(|(path, mode)| DecoyFolder { path, mode }).collect()
}

fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// JSON as tools write it: indented, with a final newline.
fn json(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seed: u8, home: &str, cargo_home: &str) -> DecoyHome {
        let mut random = Random::from_seed([seed; 32]);
        let persona = Persona::new(home, 1_800_000_000, &mut random);
        decoys(home, cargo_home, &persona, &mut random)
    }

    #[test]
    fn every_expected_place_is_there_with_its_class() {
        let home = sample(1, "/home/dev", "/opt/rust/cargo");
        let class = |path: &str| home.files.iter().find(|file| file.path == path).map(|file| (file.class, file.mode));
        for path in [
            "/home/dev/.ssh/id_ed25519",
            "/home/dev/.ssh/id_rsa",
            "/opt/rust/cargo/credentials.toml",
            "/home/dev/.cargo/credentials.toml",
            "/home/dev/.aws/credentials",
            "/home/dev/.config/gcloud/application_default_credentials.json",
            "/home/dev/.azure/msal_token_cache.json",
            "/home/dev/.kube/config",
            "/home/dev/.docker/config.json",
            "/home/dev/.pypirc",
            "/home/dev/.netrc",
            "/home/dev/.git-credentials",
            "/home/dev/.config/gh/hosts.yml",
            "/home/dev/.config/google-chrome/Default/Login Data",
            "/home/dev/.config/google-chrome/Default/Cookies",
            "/home/dev/.config/solana/id.json",
            "/home/dev/.sui/sui_config/sui.keystore",
            "/home/dev/.aptos/config.yaml",
            "/home/dev/.bitcoin/wallet.dat",
            "/home/dev/.electrum/wallets/default_wallet",
            "/home/dev/.bash_history",
            "/home/dev/.zsh_history",
            "/home/dev/.claude/.credentials.json",
        ] {
            assert_eq!(class(path), Some((DecoyClass::Credential, 0o600)), "{path}");
        }
        for path in ["/home/dev/.gitconfig", "/home/dev/.npmrc", "/opt/rust/cargo/config.toml", "/home/dev/.ssh/config"]
        {
            assert_eq!(class(path).map(|found| found.0), Some(DecoyClass::Config), "{path}");
        }
        for path in [".bashrc", ".profile", ".zshrc", ".config/autostart/nextcloud.desktop"] {
            assert_eq!(class(&format!("/home/dev/{path}")).map(|found| found.0), Some(DecoyClass::Startup), "{path}");
        }
    }

    #[test]
    fn secrets_are_fresh_for_each_run() {
        let (one, other) = (sample(1, "/home/dev", "/home/dev/.cargo"), sample(2, "/home/dev", "/home/dev/.cargo"));
        for file in one.files.iter().filter(|file| file.class == DecoyClass::Credential) {
            assert!(!file.contents.is_empty(), "{} is empty", file.path);
            let same = other.files.iter().any(|peer| peer.path == file.path && peer.contents == file.contents);
            assert!(!same, "{} is the same in two runs", file.path);
        }
    }

    #[test]
    fn folders_come_before_what_they_hold_and_cover_every_file() {
        let home = sample(1, "/home/dev", "/home/dev/.cargo");
        let mut made = vec!["/home/dev", "/home/dev/.cargo"];
        for folder in &home.folders {
            assert!(made.contains(&parent(&folder.path)), "{} before its parent", folder.path);
            made.push(&folder.path);
        }
        for file in &home.files {
            assert!(made.contains(&parent(&file.path)), "no folder for {}", file.path);
        }
        let ssh = home.folders.iter().find(|folder| folder.path == "/home/dev/.ssh");
        assert_eq!(ssh.map(|folder| folder.mode), Some(0o700));
    }

    #[test]
    fn nothing_in_the_home_says_that_it_is_a_decoy() {
        for file in sample(1, "/home/dev", "/opt/rust/cargo").files {
            let text = String::from_utf8_lossy(&file.contents).to_lowercase();
            for word in ["decoy", "sandbox", "canary", "honeypot", "fake"] {
                assert!(!text.contains(word) && !file.path.contains(word), "{} says {word}", file.path);
            }
        }
    }

    #[test]
    fn structured_files_parse() {
        for file in sample(1, "/home/dev", "/opt/rust/cargo").files {
            let text = String::from_utf8_lossy(&file.contents);
            let extension = std::path::Path::new(&file.path).extension().unwrap_or_default();
            if extension == "json" {
                serde_json::from_str::<serde_json::Value>(&text)
                    .unwrap_or_else(|error| panic!("{}: {error}", file.path));
            }
            if extension == "toml" {
                text.parse::<toml::Table>().unwrap_or_else(|error| panic!("{}: {error}", file.path));
            }
        }
    }
}
