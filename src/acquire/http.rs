//! Fetches small and large files from a registry: bounded, timed, tried again.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error as CallError};

use super::error::ErrorClass;
use super::guard::{Astray, Guard, follow};
use super::settings::Limits;

/// Slower than this for the whole stall time, and a transfer is given up (cargo's own limit).
const SLOWEST: u64 = 10;
/// How often a server may send us elsewhere.
const REDIRECTS: u32 = 5;

/// Why a file could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The server has no such file.
    #[error("{url} does not exist")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// A token is missing or wrong.
    #[error("{url} is not open to us: status {status}")]
    Denied {
        /// What was asked for.
        url: String,
        /// The answer.
        status: u16,
    },
    /// The server could not be reached or did not give the whole file, again and again.
    #[error("{url}: {reason} (tried {tries} time{})", if *tries == 1 { "" } else { "s" })]
    Temporary {
        /// What was asked for.
        url: String,
        /// The last failure.
        reason: String,
        /// How often.
        tries: u32,
    },
    /// More bytes than we take.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// Not what a registry answers, and trying again at once would not change it.
    #[error("{url}: {reason}")]
    Refused {
        /// What was asked for.
        url: String,
        /// What was wrong.
        reason: String,
    },
    /// A setting of cargo's `[http]` that cannot be used.
    #[error("`http.{key}` of cargo's configuration cannot be used: {reason}")]
    Setting {
        /// The key.
        key: &'static str,
        /// Why.
        reason: String,
    },
}

impl HttpError {
    /// What the error means for the exit code.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Denied { .. } | Self::Setting { .. } => ErrorClass::Usage,
            // An answer that makes no sense is none. What it says of a package is not known.
            Self::Temporary { .. } | Self::TooLarge { .. } | Self::Refused { .. } => ErrorClass::Temporary,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Denied { .. } => Some(
                "give cargo a token for this registry (`cargo login`, or CARGO_REGISTRIES_<NAME>_TOKEN); credential \
                 providers other than `cargo:token` are not supported"
                    .to_owned(),
            ),
            Self::Temporary { .. } => Some("check the connection and the proxy, then try again".to_owned()),
            Self::TooLarge { .. } | Self::Refused { .. } => Some(
                "nothing was kept; something on the way, or the registry itself, does not answer as a registry does: \
                 check the network and `[source]` of cargo's configuration, then try again"
                    .to_owned(),
            ),
            Self::NotFound { .. } => {
                Some("nothing was kept; a mirror may lag behind, or the file was withdrawn: try again later".to_owned())
            }
            Self::Setting { .. } => Some("cargo's own documentation has a chapter on `[http]`".to_owned()),
        }
    }
}

/// How to reach servers: what cargo's `[http]` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transport {
    pub(crate) proxy: Option<String>,
    /// Certificates in PEM form, instead of the machine's.
    pub(crate) roots: Option<Vec<u8>>,
    pub(crate) stall: Option<Duration>,
}

/// A client for one registry, whose every request is bounded.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    limits: Limits,
    stall: Duration,
    /// The end of the whole run's requests.
    deadline: Instant,
}

/// Which answer it was, in the server's own words (RFC 9110, 8.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Revision {
    Etag(String),
    LastModified(String),
}

impl Revision {
    pub(crate) fn etag(tag: &str) -> Self {
        Self::Etag(tag.to_owned())
    }

    /// Reads what its `Display` wrote.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        match line.split_once(": ")? {
            ("etag", tag) => Some(Self::etag(tag)),
            ("last-modified", time) => Some(Self::LastModified(time.to_owned())),
            _ => None,
        }
    }

    fn of(response: &Response<Body>) -> Option<Self> {
        let header = |name| response.headers().get(name)?.to_str().ok().filter(|value| value.len() < 1024);
        let etag = header("etag").map(Self::etag);
        etag.or_else(|| header("last-modified").map(|time| Self::LastModified(time.to_owned())))
    }

    /// The header that asks whether it is still the one.
    fn condition(&self) -> (&'static str, &str) {
        match self {
            Self::Etag(tag) => ("if-none-match", tag),
            Self::LastModified(time) => ("if-modified-since", time),
        }
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Etag(tag) => write!(f, "etag: {tag}"),
            Self::LastModified(time) => write!(f, "last-modified: {time}"),
        }
    }
}

/// A whole file, and which one it was.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) revision: Option<Revision>,
}

/// What is asked for, and how.
#[derive(Clone, Copy)]
struct Question<'a> {
    url: &'a str,
    token: Option<&'a str>,
    /// What we have.
    known: Option<&'a Revision>,
}

/// Whether another try may help.
enum Failure {
    Final(HttpError),
    /// Why not yet, and how long the server wants to be left alone.
    Again(String, Option<Duration>),
}

impl Client {
    /// `home` is the URL of the registry's index.
    pub(crate) fn new(
        transport: &Transport,
        limits: &Limits,
        deadline: Instant,
        home: &str,
    ) -> Result<Self, HttpError> {
        let stall = limits.stall.or(transport.stall).unwrap_or(Duration::from_secs(30));
        let wrong = |key, error: CallError| HttpError::Setting { key, reason: error.to_string() };
        let roots = match &transport.roots {
            None => RootCerts::PlatformVerifier,
            Some(pem) => {
                let mut certificates = Vec::new();
                for item in ureq::tls::parse_pem(pem) {
                    if let ureq::tls::PemItem::Certificate(certificate) =
                        item.map_err(|error| wrong("cainfo", error))?
                    {
                        certificates.push(certificate);
                    }
                }
                RootCerts::new_with_certs(&certificates)
            }
        };
        let mut builder = Agent::config_builder()
            .http_status_as_error(false)
            // Followed by us, who say where one leads.
            .max_redirects(0)
            // Each of those who ask at the same time keeps its connection.
            .max_idle_connections(limits.questions)
            .max_idle_connections_per_host(limits.questions)
            .timeout_connect(Some(limits.connect))
            .timeout_recv_response(Some(stall))
            .timeout_per_read(Some(stall))
            .user_agent(concat!("sandbox-check/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build());
        if let Some(proxy) = &transport.proxy {
            let proxy = ureq::Proxy::new(proxy).map_err(|error| wrong("proxy", error))?;
            builder = builder.proxy(Some(proxy));
        }
        let agent = Agent::with_parts(builder.build(), DefaultConnector::default(), Guard::new(home));
        Ok(Self { agent, limits: limits.clone(), stall, deadline })
    }

    /// Fetches a file of at most `limit` bytes. All tries together take no longer than one transfer may.
    pub(crate) fn get(&self, url: &str, token: Option<&str>, limit: u64) -> Result<Vec<u8>, HttpError> {
        self.get_unless(&AtomicBool::new(false), url, token, limit)
    }

    /// The same; none if the server says that it is still the one that is known.
    pub(crate) fn get_if_changed(
        &self,
        url: &str,
        token: Option<&str>,
        limit: u64,
        known: Option<&Revision>,
    ) -> Result<Option<Answer>, HttpError> {
        self.fetch(&AtomicBool::new(false), &Question { url, token, known }, limit)
    }

    /// The same, given up soon after `stop` is set.
    pub(crate) fn get_unless(
        &self,
        stop: &AtomicBool,
        url: &str,
        token: Option<&str>,
        limit: u64,
    ) -> Result<Vec<u8>, HttpError> {
        let answer = self.fetch(stop, &Question { url, token, known: None }, limit)?;
        answer.map(|answer| answer.bytes).ok_or_else(|| unasked(url))
    }

    fn fetch(&self, stop: &AtomicBool, question: &Question<'_>, limit: u64) -> Result<Option<Answer>, HttpError> {
        let url = question.url;
        let deadline = self.deadline.min(Instant::now() + self.limits.transfer);
        let mut wait = self.limits.back_off;
        let mut tries = 0;
        loop {
            tries += 1;
            let (reason, asked) = match self.once(stop, question, limit, deadline) {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(reason, asked)) => (reason, asked),
            };
            tracing::debug!(url, reason, "a request failed");
            let pause = wait.max(asked.unwrap_or_default());
            // Nobody waits as long as a server cares to name.
            let too_long = pause > self.limits.patience || Instant::now() + pause >= deadline;
            if tries >= self.limits.tries || too_long || stop.load(Ordering::Relaxed) {
                return Err(HttpError::Temporary { url: url.to_owned(), reason, tries });
            }
            std::thread::sleep(pause);
            wait = wait.saturating_mul(2);
        }
    }

    fn once(
        &self,
        stop: &AtomicBool,
        question: &Question<'_>,
        limit: u64,
        deadline: Instant,
    ) -> Result<Option<Answer>, Failure> {
        let mut place = question.url.to_owned();
        for count in 0..=REDIRECTS {
            // A token never goes where a redirect leads.
            let token = question.token.filter(|_| count == 0);
            let response = self.ask(&Question { url: &place, token, ..*question }, deadline)?;
            if question.known.is_some() && response.status().as_u16() == 304 {
                return Ok(None);
            }
            if !matches!(response.status().as_u16(), 301..=303 | 307 | 308) {
                let revision = Revision::of(&response);
                let bytes = self.answer(stop, &place, response, limit)?;
                return Ok(Some(Answer { bytes, revision }));
            }
            let location = response.headers().get("location").map(ureq::http::HeaderValue::as_bytes);
            let refused = |reason| Failure::Final(HttpError::Refused { url: place.clone(), reason });
            place = follow(&place, location.unwrap_or_default()).map_err(refused)?;
        }
        let reason = format!("more than {REDIRECTS} redirects");
        Err(Failure::Final(HttpError::Refused { url: question.url.to_owned(), reason }))
    }

    fn ask(&self, question: &Question<'_>, deadline: Instant) -> Result<Response<Body>, Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut request = self.agent.get(question.url);
        if let Some(token) = question.token {
            request = request.header("authorization", token);
        }
        if let Some((header, value)) = question.known.map(Revision::condition) {
            request = request.header(header, value);
        }
        let request = request.config().timeout_global(Some(left)).build();
        request.call().map_err(|error| failure(question.url, &error))
    }

    fn answer(&self, stop: &AtomicBool, url: &str, response: Response<Body>, limit: u64) -> Result<Vec<u8>, Failure> {
        let status = response.status().as_u16();
        match status {
            200 => {}
            404 | 410 | 451 => return Err(Failure::Final(HttpError::NotFound { url: url.to_owned() })),
            401 | 403 => return Err(Failure::Final(HttpError::Denied { url: url.to_owned(), status })),
            408 | 425 | 429 | 500.. => {
                let asked = retry_after(&response);
                let reason = match asked {
                    None => format!("status {status}"),
                    Some(asked) => format!("status {status}, to be asked again after {} s", asked.as_secs()),
                };
                return Err(Failure::Again(reason, asked));
            }
            other => {
                let reason = format!("status {other}");
                return Err(Failure::Final(HttpError::Refused { url: url.to_owned(), reason }));
            }
        }
        self.body(stop, url, response.into_body(), limit)
    }

    fn body(&self, stop: &AtomicBool, url: &str, body: Body, limit: u64) -> Result<Vec<u8>, Failure> {
        let too_large = || Failure::Final(HttpError::TooLarge { url: url.to_owned(), limit });
        let promised = body.content_length();
        if promised.is_some_and(|promised| promised > limit) {
            return Err(too_large());
        }
        let mut reader = body.into_reader();
        let mut bytes = Vec::new();
        let mut chunk = vec![0; 64 * 1024];
        let (mut window, mut in_window) = (Instant::now(), 0_u64);
        loop {
            let count = match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Again(format!("the transfer broke off: {error}"), None)),
            };
            bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
            if length(&bytes) > limit {
                return Err(too_large());
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Failure::Again("it is no longer wanted".to_owned(), None));
            }
            in_window = in_window.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            if window.elapsed() >= self.stall {
                if in_window < SLOWEST.saturating_mul(self.stall.as_secs().max(1)) {
                    return Err(Failure::Again("the transfer is too slow".to_owned(), None));
                }
                (window, in_window) = (Instant::now(), 0);
            }
        }
        match promised {
            Some(promised) if promised != length(&bytes) => {
                Err(Failure::Again(format!("{promised} bytes were promised and {} came", bytes.len()), None))
            }
            _ => Ok(bytes),
        }
    }
}

/// The error of a server that says that nothing has changed, which nobody asked.
pub(crate) fn unasked(url: &str) -> HttpError {
    let reason = "it says that nothing has changed, which nobody asked".to_owned();
    HttpError::Refused { url: url.to_owned(), reason }
}

/// The pause in seconds that a server asks for; the form with a date is rare and not read.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let value = response.headers().get("retry-after")?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn failure(url: &str, error: &CallError) -> Failure {
    let refused = |reason: String| Failure::Final(HttpError::Refused { url: url.to_owned(), reason });
    match error {
        CallError::Other(source) if source.is::<Astray>() => refused(source.to_string()),
        // Neither a wrong address nor a wrong certificate is a passing trouble.
        CallError::BadUri(_)
        | CallError::Http(_)
        | CallError::InvalidProxyUrl
        | CallError::Rustls(_)
        | CallError::Tls(_)
        | CallError::Pem(_) => refused(error.to_string()),
        // How the layer below tells of a certificate, or of a server that speaks no TLS.
        CallError::Io(source) if source.kind() == std::io::ErrorKind::InvalidData => {
            refused(format!("no secure connection: {source}"))
        }
        other => Failure::Again(other.to_string(), None),
    }
}
