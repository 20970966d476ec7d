//! What the registry's web interface says about the subject, by the address that the index names. It is asked little:
//! answers are kept for a day.

use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::http::{Client, HttpError};
use super::registry::{Registry, read_bounded};
use super::release::Release;
use super::settings::Limits;
use crate::evidence::fact;
use crate::evidence::time::DAY;
use crate::ids::Sha256Digest;

/// Packages with thousands of releases have answers of some megabytes.
const ANSWER: u64 = 16 * 1024 * 1024;
/// Nobody waits for this: it is worth little and often not there.
const PATIENCE: Duration = Duration::from_secs(8);
/// The pause between two questions.
const BETWEEN: Duration = Duration::from_secs(1);
/// How long an answer is used, in seconds.
const LASTS: u64 = DAY;
/// A kept answer is short.
const KEPT: u64 = 64 * 1024;
/// So many owners are taken over.
const OWNERS: usize = 32;
/// The longest text that is taken over.
const TEXT: usize = 200;

/// What is said about a package, or why nothing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reputation {
    /// Nobody answered, or nobody was asked.
    Missing {
        /// Why.
        reason: String,
    },
    /// What was answered.
    Here(fact::Reputation),
}

impl Reputation {
    pub(super) fn missing(reason: impl Into<String>) -> Self {
        Self::Missing { reason: reason.into() }
    }
}

/// Bounds for a question that may as well stay unanswered.
pub(super) fn bounds(limits: &Limits) -> Limits {
    let shorter = |time: Duration| time.min(PATIENCE);
    Limits { tries: 1, connect: shorter(limits.connect), transfer: shorter(limits.transfer), ..limits.clone() }
}

/// Asks about a release, at most once a day, and never faster than registries want to be asked. No token is sent: the
/// answers are public.
pub(super) fn ask(registry: &Registry<'_>, client: &Client, release: &Release, cache: &Path) -> Reputation {
    let Some(api) = registry.web() else { return Reputation::missing("the registry's index names no web interface") };
    let api = api.trim_end_matches('/');
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let folder = cache.join("reputation").join(Sha256Digest(Sha256::digest(api).into()).hex());
    let file = folder.join(format!("{}-{}.json", release.id.name, release.id.version));
    if let Some(kept) = kept(&file, now) {
        return Reputation::Here(kept);
    }
    let pace = Pace::new(&folder);
    let question = |path: &str| {
        pace.wait();
        client.get(&format!("{api}/api/v1/crates/{}{path}", release.id.name), None, ANSWER)
    };
    let answer = question("").map_err(|error| match error {
        // The release is there: it came from this registry.
        HttpError::NotFound { url } => format!("the registry's web interface has no {url}"),
        other => other.to_string(),
    });
    match answer.and_then(|bytes| read(&bytes, &release.id.version)) {
        Ok(mut said) => {
            said.owners = question("/owners").ok().and_then(|bytes| owners(&bytes));
            let kept = Kept { asked: now, said };
            if let Ok(text) = serde_json::to_vec(&kept) {
                // Who cannot keep it asks again.
                let _ = keep(&folder, &file, &text);
            }
            Reputation::Here(kept.said)
        }
        Err(reason) => Reputation::missing(reason),
    }
}

/// An answer with its day.
#[derive(Serialize, Deserialize)]
struct Kept {
    asked: u64,
    said: fact::Reputation,
}

fn kept(file: &Path, now: u64) -> Option<fact::Reputation> {
    let kept: Kept = serde_json::from_slice(&read_bounded(file, KEPT).ok()??).ok()?;
    now.checked_sub(kept.asked).is_some_and(|age| age < LASTS).then_some(kept.said)
}

/// Whoever reads sees all of the old file or all of the new one.
pub(super) fn keep(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// All runs of this machine together ask one question a second: what the great registry asks of those who ask it.
struct Pace {
    /// Its time is that of the last question.
    door: Option<File>,
}

impl Pace {
    /// Without a folder, each run keeps the pace alone.
    fn new(folder: &Path) -> Self {
        let mut options = File::options();
        let door = fs::create_dir_all(folder)
            .and_then(|()| options.write(true).create(true).truncate(false).open(folder.join("door")));
        Self { door: door.ok() }
    }

    fn wait(&self) {
        let Some(door) = &self.door else { return std::thread::sleep(BETWEEN) };
        let asked = door.lock().and_then(|()| door.metadata()).and_then(|meta| Ok((meta.len(), meta.modified()?)));
        if let Ok((1.., last)) = asked {
            // A time in the future is another clock's.
            let since = SystemTime::now().duration_since(last).unwrap_or(BETWEEN);
            std::thread::sleep(BETWEEN.saturating_sub(since));
        }
        let _ = (&*door).write_all(b".").and_then(|()| (&*door).rewind());
        let _ = door.set_modified(SystemTime::now()).and_then(|()| door.unlock());
    }
}

fn owners(bytes: &[u8]) -> Option<Vec<String>> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let login = |user: &Value| Some(user.get("login")?.as_str()?.chars().take(TEXT).collect());
    Some(value.get("users")?.as_array()?.iter().filter_map(login).take(OWNERS).collect())
}

fn read(bytes: &[u8], version: &str) -> Result<fact::Reputation, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("its answer is no JSON: {error}"))?;
    let counts = |package: &&Value| package.get("downloads").is_some_and(Value::is_u64);
    let package = value.get("crate").filter(counts).ok_or("its answer is not about a package")?;
    let text = |value: Option<&Value>| Some(value?.as_str()?.chars().take(TEXT).collect::<String>());
    let releases = value.get("versions").and_then(Value::as_array).into_iter().flatten();
    let release = releases.into_iter().find(|release| release.get("num").and_then(Value::as_str) == Some(version));
    let of_release = |pointer: &str| release.and_then(|release| release.pointer(pointer));
    Ok(fact::Reputation {
        downloads: package.get("downloads").and_then(Value::as_u64),
        recent: package.get("recent_downloads").and_then(Value::as_u64),
        repository: text(package.get("repository")),
        owners: None,
        publisher: text(of_release("/published_by/login")),
        trusted: of_release("/trustpub_data").map(|data| !data.is_null()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_far_as_it_goes() {
        let text = r#"{"crate":{"downloads":7,"recent_downloads":null,"repository":"https://x.invalid"},
            "versions":[{"num":"1.0.0","published_by":{"login":"somebody"},"trustpub_data":{"provider":"x"}},
            {"num":"1.0.1","published_by":null,"trustpub_data":null}]}"#;
        let said = read(text.as_bytes(), "1.0.0").unwrap();
        assert_eq!((said.downloads, said.recent, said.publisher.as_deref()), (Some(7), None, Some("somebody")));
        assert_eq!((said.trusted, said.repository.as_deref()), (Some(true), Some("https://x.invalid")));
        let said = read(text.as_bytes(), "1.0.1").unwrap();
        assert_eq!((said.publisher, said.trusted), (None, Some(false)));
        assert_eq!(read(text.as_bytes(), "9.0.0").unwrap().trusted, None);
    }

    #[test]
    fn owners_are_people_and_teams() {
        let text = br#"{"users":[{"login":"somebody"},{"login":"github:x:y"},{"id":7}]}"#;
        assert_eq!(owners(text).unwrap(), ["somebody", "github:x:y"]);
        assert_eq!(owners(b"{}"), None);
    }

    #[test]
    fn an_answer_lasts_for_a_day_and_the_pace_for_all_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a-1.0.0.json");
        let said = fact::Reputation { downloads: Some(7), ..fact::Reputation::default() };
        let text = serde_json::to_vec(&Kept { asked: 1000, said: said.clone() }).unwrap();
        keep(folder.path(), &file, &text).unwrap();
        assert_eq!(kept(&file, 1000 + LASTS - 1), Some(said));
        assert_eq!((kept(&file, 1000 + LASTS), kept(&file, 999), kept(folder.path(), 1000)), (None, None, None));
        let begun = std::time::Instant::now();
        Pace::new(folder.path()).wait();
        assert!(begun.elapsed() < BETWEEN, "the first one waits for nobody");
        Pace::new(folder.path()).wait();
        assert!(begun.elapsed() >= BETWEEN.mul_f64(0.9), "another run is another one's second");
    }

    #[test]
    fn another_answer_says_nothing() {
        for text in ["", "<html>", "[]", r#"{"errors":[]}"#, r#"{"crate":7}"#, r#"{"crate":{}}"#] {
            read(text.as_bytes(), "1.0.0").unwrap_err();
        }
    }
}
