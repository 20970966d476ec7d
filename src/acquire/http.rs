//! Fetches small and large files from a registry: bounded, timed, tried again.

use std::io::Read as _;
use std::time::{Duration, Instant};

use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Error as CallError};

use super::error::ErrorClass;
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
    #[error("{url}: {reason} (tried {tries} times)")]
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
    /// An answer that trying again would not change.
    #[error("{url}: {reason}")]
    Refused {
        /// What was asked for.
        url: String,
        /// What was wrong.
        reason: String,
    },
}

impl HttpError {
    /// What the error means for the exit code.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Denied { .. } => ErrorClass::Usage,
            Self::Temporary { .. } => ErrorClass::Temporary,
            Self::TooLarge { .. } => ErrorClass::Refused,
            Self::Refused { .. } => ErrorClass::Internal,
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
            _ => None,
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

/// A client whose every request is bounded.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    limits: Limits,
    stall: Duration,
}

/// Whether another try may help.
enum Failure {
    Final(HttpError),
    Again(String),
}

impl Client {
    pub(crate) fn new(transport: Transport, limits: &Limits) -> Result<Self, HttpError> {
        let stall = limits.stall.or(transport.stall).unwrap_or(Duration::from_secs(30));
        let refused =
            |what: &str, error: CallError| HttpError::Refused { url: what.to_owned(), reason: error.to_string() };
        let roots = match transport.roots {
            None => RootCerts::PlatformVerifier,
            Some(pem) => {
                let mut certificates = Vec::new();
                for item in ureq::tls::parse_pem(&pem) {
                    if let ureq::tls::PemItem::Certificate(certificate) =
                        item.map_err(|error| refused("http.cainfo", error))?
                    {
                        certificates.push(certificate);
                    }
                }
                RootCerts::new_with_certs(&certificates)
            }
        };
        let mut builder = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(REDIRECTS)
            // ureq's default too: a token never goes where a redirect leads.
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::Never)
            .timeout_connect(Some(limits.connect))
            .timeout_recv_response(Some(stall))
            .timeout_per_read(Some(stall))
            .timeout_global(Some(limits.transfer))
            .user_agent(concat!("sandbox-check/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build());
        if let Some(proxy) = transport.proxy {
            let proxy = ureq::Proxy::new(&proxy).map_err(|error| refused("http.proxy", error))?;
            builder = builder.proxy(Some(proxy));
        }
        Ok(Self { agent: builder.build().new_agent(), limits: limits.clone(), stall })
    }

    /// Fetches a file of at most `limit` bytes.
    pub(crate) fn get(&self, url: &str, token: Option<&str>, limit: u64) -> Result<Vec<u8>, HttpError> {
        let tries = self.limits.tries.max(1);
        let mut wait = self.limits.back_off;
        let mut reason = String::new();
        for count in 0..tries {
            if count > 0 {
                std::thread::sleep(wait);
                wait = wait.saturating_mul(2);
            }
            match self.once(url, token, limit) {
                Ok(body) => return Ok(body),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(why)) => {
                    tracing::debug!(url, why, "a request failed");
                    reason = why;
                }
            }
        }
        Err(HttpError::Temporary { url: url.to_owned(), reason, tries })
    }

    fn once(&self, url: &str, token: Option<&str>, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut request = self.agent.get(url);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        // A secure request never becomes an insecure one on the way.
        let secure = url.starts_with("https:");
        let response = request.config().https_only(secure).build().call().map_err(|error| failure(url, &error))?;
        let status = response.status().as_u16();
        match status {
            200 => {}
            404 | 410 | 451 => return Err(Failure::Final(HttpError::NotFound { url: url.to_owned() })),
            401 | 403 => return Err(Failure::Final(HttpError::Denied { url: url.to_owned(), status })),
            408 | 425 | 429 | 500.. => return Err(Failure::Again(format!("status {status}"))),
            other => {
                let reason = format!("status {other}");
                return Err(Failure::Final(HttpError::Refused { url: url.to_owned(), reason }));
            }
        }
        self.body(url, response.into_body(), limit)
    }

    fn body(&self, url: &str, body: ureq::Body, limit: u64) -> Result<Vec<u8>, Failure> {
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
                Err(error) => return Err(Failure::Again(format!("the transfer broke off: {error}"))),
            };
            bytes.extend(chunk.iter().take(count));
            if length(&bytes) > limit {
                return Err(too_large());
            }
            in_window = in_window.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            if window.elapsed() >= self.stall {
                if in_window < SLOWEST.saturating_mul(self.stall.as_secs().max(1)) {
                    return Err(Failure::Again("the transfer is too slow".to_owned()));
                }
                (window, in_window) = (Instant::now(), 0);
            }
        }
        match promised {
            Some(promised) if promised != length(&bytes) => {
                Err(Failure::Again(format!("{promised} bytes were promised and {} came", bytes.len())))
            }
            _ => Ok(bytes),
        }
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn failure(url: &str, error: &CallError) -> Failure {
    let refused = |reason: String| Failure::Final(HttpError::Refused { url: url.to_owned(), reason });
    match error {
        CallError::TooManyRedirects => refused(format!("more than {REDIRECTS} redirects")),
        CallError::RequireHttpsOnly(_) => refused("it was redirected from https to something else".to_owned()),
        CallError::RedirectFailed => refused("a redirect that cannot be followed".to_owned()),
        // Neither a wrong address nor a wrong certificate is a passing trouble.
        CallError::BadUri(_)
        | CallError::Http(_)
        | CallError::InvalidProxyUrl
        | CallError::Rustls(_)
        | CallError::Tls(_)
        | CallError::Pem(_) => refused(error.to_string()),
        other => Failure::Again(other.to_string()),
    }
}
