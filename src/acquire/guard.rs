//! Where a registry may send us: not to this machine, and not to addresses that only this machine's network has.
//!
//! A redirect or the download address of an index is a wish of the registry's.
//! Without a bound it could have us knock at the services that trust whoever
//! reaches them: on loopback, and those that hand out a cloud machine's keys.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error as CallError;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::evidence::bytes::Bytes;

/// A name that leads where a registry has no business.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it leads to {address}, {reach}, where this registry may not send us")]
pub(super) struct Astray {
    address: IpAddr,
    reach: Reach,
}

/// Who can be reached at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// This machine.
    Loopback,
    /// What hangs on the same cable: among it whoever hands out cloud credentials.
    Link,
    /// Everybody else.
    Wide,
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Loopback => "this machine itself",
            Self::Link => "an address of the machine's own network",
            Self::Wide => "an address of others",
        })
    }
}

/// Looks names up for the requests to one registry.
#[derive(Debug)]
pub(super) struct Guard {
    inner: DefaultResolver,
    /// `host:port` of the index. The user named it, so it may be anywhere.
    home: Option<String>,
    home_is_local: bool,
    /// What `host:port` was found to be, and when: the client asks before each request, also where it has a connection.
    found: Mutex<HashMap<String, (Instant, ResolvedSocketAddrs)>>,
}

/// So long an address is good without another question.
const FOR: Duration = Duration::from_mins(1);

impl Guard {
    /// `home` is the URL of the registry's index.
    pub(super) fn new(home: &str) -> Self {
        let uri: Option<Uri> = home.parse().ok();
        let home_is_local = uri.as_ref().and_then(Uri::host).is_some_and(is_this_machine);
        let (inner, found) = (DefaultResolver::default(), Mutex::default());
        Self { inner, home: uri.as_ref().and_then(place), home_is_local, found }
    }

    fn check(&self, uri: &Uri, address: IpAddr) -> Result<(), Astray> {
        let reach = reach(address);
        let at_home = self.home.is_some() && place(uri) == self.home;
        match reach {
            Reach::Wide => Ok(()),
            _ if at_home => Ok(()),
            Reach::Loopback if self.home_is_local => Ok(()),
            _ => Err(Astray { address, reach }),
        }
    }
}

impl Guard {
    /// Those who ask for a name at the same time wait for one answer.
    fn look_up(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, CallError> {
        let Some(place) = place(uri) else { return self.inner.resolve(uri, config, timeout) };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, addresses)) = found.get(&place)
            && when.elapsed() < FOR
        {
            return Ok(addresses.clone());
        }
        let addresses = self.inner.resolve(uri, config, timeout)?;
        found.insert(place, (Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

impl Resolver for Guard {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, CallError> {
        let found = self.look_up(uri, config, timeout)?;
        // The user's own proxy may be anywhere; it looks up the names behind it.
        if config.proxy().is_some_and(|proxy| place(proxy.uri()) == place(uri)) {
            return Ok(found);
        }
        for address in &found {
            self.check(uri, address.ip()).map_err(|astray| CallError::Other(Box::new(astray)))?;
        }
        Ok(found)
    }
}

/// `host:port` of a URL.
fn place(uri: &Uri) -> Option<String> {
    DefaultResolver::host_and_port(uri.scheme()?, uri.authority()?).map(|place| place.to_ascii_lowercase())
}

/// True if two URLs have scheme, host and port in common.
pub(super) fn same_server(one: &str, other: &str) -> bool {
    let server = |url: &str| {
        let uri: Uri = url.parse().ok()?;
        Some((uri.scheme_str()?.to_owned(), place(&uri)?))
    };
    server(one).is_some_and(|one| server(other) == Some(one))
}

/// Where a redirect leads. A secure request never becomes an insecure one on the way.
pub(super) fn follow(from: &str, location: &[u8]) -> Result<String, String> {
    let shown = Bytes(location.iter().take(200).copied().collect());
    let location = std::str::from_utf8(location).ok().filter(|text| !text.is_empty());
    let location = location.ok_or_else(|| format!("a redirect to nowhere: {:?}", shown.to_string()))?;
    let odd = || format!("it sends us to {:?}, which is neither http nor https", shown.to_string());
    let uri: Uri = from.parse().map_err(|_| odd())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(odd()) };
    let to = if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.contains("://") || location.split_once(':').is_some_and(|(word, _)| !word.contains(['/', '?'])) {
        location.to_owned()
    } else {
        let folder = uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let to_scheme = to.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match to_scheme.as_deref() {
        Some("https") => Ok(to),
        Some("http") if scheme == "http" => Ok(to),
        Some("http") => Err(format!("it sends us from https to {:?}", shown.to_string())),
        _ => Err(odd()),
    }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|address| reach(address) == Reach::Loopback)
}

fn reach(address: IpAddr) -> Reach {
    match address.to_canonical() {
        IpAddr::V4(address) if address.is_loopback() || address.is_unspecified() => Reach::Loopback,
        IpAddr::V6(address) if address.is_loopback() || address.is_unspecified() => Reach::Loopback,
        IpAddr::V4(address) if address.is_link_local() || METADATA_V4.contains(&address) => Reach::Link,
        IpAddr::V6(address) if address.is_unicast_link_local() || address == METADATA_V6 => Reach::Link,
        _ => Reach::Wide,
    }
}

/// Metadata services outside 169.254.0.0/16.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(home: &str, to: &str, address: &str) -> bool {
        Guard::new(home).check(&to.parse().unwrap(), address.parse().unwrap()).is_ok()
    }

    #[test]
    fn a_registry_elsewhere_sends_nobody_to_this_machine_or_its_own_network() {
        let home = "https://index.example/";
        for address in
            ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1"]
        {
            assert!(!leads(home, "http://any.example/x", address), "{address}");
        }
        for address in ["100.100.100.200", "192.0.0.192", "fd00:ec2::254", "::ffff:169.254.169.254"] {
            assert!(!leads(home, "http://any.example/x", address), "{address}");
        }
        // A mirror inside a company is no such place.
        for address in ["10.0.0.1", "192.168.1.1", "198.51.100.7", "2001:db8::1", "fd12::1"] {
            assert!(leads(home, "http://any.example/x", address), "{address}");
        }
    }

    #[test]
    fn a_registry_on_this_machine_may_name_another_port_and_still_no_metadata_service() {
        for home in ["http://127.0.0.1:80/index/", "http://localhost/index/", "http://[::1]:9/"] {
            assert!(leads(home, "http://127.0.0.1:81/x", "127.0.0.1"), "{home}");
            assert!(!leads(home, "http://169.254.169.254/x", "169.254.169.254"), "{home}");
        }
    }

    #[test]
    fn the_index_that_the_user_named_may_be_anywhere() {
        assert!(leads("http://169.254.1.2:8080/i/", "http://169.254.1.2:8080/dl", "169.254.1.2"));
        assert!(leads("https://mirror.example/i/", "https://MIRROR.example:443/dl", "127.0.0.1"));
        assert!(!leads("https://mirror.example/i/", "https://mirror.example:444/dl", "127.0.0.1"));
    }

    #[test]
    fn a_redirect_may_be_written_in_four_ways() {
        for (location, to) in [
            ("https://b.example/y", "https://b.example/y"),
            ("//b.example/y", "https://b.example/y"),
            ("/y?z", "https://a.example:1/y?z"),
            ("y", "https://a.example:1/d/y"),
        ] {
            assert_eq!(follow("https://a.example:1/d/x?q", location.as_bytes()).as_deref(), Ok(to));
        }
        assert_eq!(follow("http://a.example", b"y").as_deref(), Ok("http://a.example/y"));
    }

    #[test]
    fn a_redirect_leads_to_the_web_and_never_from_a_secure_line_to_an_open_one() {
        for location in
            ["", "file:///etc/passwd", "ftp://b.example/", "data:,x", "FILE:/etc/passwd", "http://b.example/"]
        {
            assert!(follow("https://a.example/x", location.as_bytes()).is_err(), "{location}");
        }
        follow("http://a.example/x", b"\xff").unwrap_err();
        let words = follow("http://a.example/x", b"file:/\x1b[2J").unwrap_err();
        assert!(!words.contains('\x1b'), "{words:?}");
        follow("http://a.example/x", b"http://b.example/").unwrap();
    }

    #[test]
    fn a_server_is_its_scheme_host_and_port() {
        assert!(same_server("https://a.example/x", "https://A.example:443/y"));
        for other in ["http://a.example/x", "https://b.example/", "https://a.example:444/", "nonsense"] {
            assert!(!same_server("https://a.example/x", other), "{other}");
        }
    }
}
