//! What the registry's web interface says about the subject. One question a run, by the address that the index names.

use std::time::Duration;

use serde_json::Value;

use super::http::Client;
use super::registry::Registry;
use super::release::Release;
use super::settings::Limits;
use crate::evidence::fact;

/// Packages with thousands of releases have answers of some megabytes.
const ANSWER: u64 = 16 * 1024 * 1024;
/// Nobody waits for this: it is worth little and often not there.
const PATIENCE: Duration = Duration::from_secs(8);
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

/// Asks about a release. No token is sent: the answer is public.
pub(super) fn ask(registry: &Registry<'_>, client: &Client, release: &Release) -> Reputation {
    let Some(api) = registry.web() else { return Reputation::missing("the registry's index names no web interface") };
    let url = format!("{}/api/v1/crates/{}", api.trim_end_matches('/'), release.id.name);
    let answer = client.get(&url, None, ANSWER).map_err(|error| error.to_string());
    match answer.and_then(|bytes| read(&bytes, &release.id.version)) {
        Ok(said) => Reputation::Here(said),
        Err(reason) => Reputation::missing(reason),
    }
}

fn read(bytes: &[u8], version: &str) -> Result<fact::Reputation, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("its answer is no JSON: {error}"))?;
    let package =
        value.get("crate").filter(|package| package.is_object()).ok_or("its answer is not about a package")?;
    let text = |value: Option<&Value>| Some(value?.as_str()?.chars().take(TEXT).collect::<String>());
    let releases = value.get("versions").and_then(Value::as_array).into_iter().flatten();
    let release = releases.into_iter().find(|release| release.get("num").and_then(Value::as_str) == Some(version));
    let of_release = |pointer: &str| release.and_then(|release| release.pointer(pointer));
    Ok(fact::Reputation {
        downloads: package.get("downloads").and_then(Value::as_u64),
        recent: package.get("recent_downloads").and_then(Value::as_u64),
        repository: text(package.get("repository")),
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
    fn another_answer_says_nothing() {
        for text in ["", "<html>", "[]", r#"{"errors":[]}"#, r#"{"crate":7}"#] {
            read(text.as_bytes(), "1.0.0").unwrap_err();
        }
    }
}
