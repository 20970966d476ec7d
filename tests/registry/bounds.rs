//! What is kept, how long it takes and where a token goes, whatever the registry does.

use super::lies::{CONFIG, LONG, depend, file, index, status, subject};
use super::*;

#[test]
fn of_a_registry_that_was_caught_no_other_file_is_kept_either() {
    let registry = Registry::start();
    registry.publish(&subject());
    registry.publish(&depend());
    // The good file comes first, the bad one at last.
    let bad = Package::new("depend", "1.0.0").file("evil.rs", "").pack();
    let head = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n", bad.len()).into_bytes();
    let (first, rest) = bad.split_at(bad.len() - 1);
    let start = [head, first.to_vec()].concat();
    let slow = Manners::Endless { start, again: rest.to_vec(), pause: Duration::from_millis(300) };
    registry.behave(&download_path("depend", "1.0.0"), slow);
    assert_eq!(get("subject", &registry.settings()).unwrap_err().code(), "checksum-mismatch");
    assert_eq!(registry.count(&file()), 1);
    assert_eq!(registry.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_lie_is_told_without_waiting_for_what_still_comes() {
    let registry = Registry::start();
    registry.publish(&subject());
    registry.publish(&depend());
    registry.behave(&file(), Manners::Other(b"x".to_vec()));
    let (start, again) = (b"HTTP/1.1 200 X\r\n\r\n".to_vec(), vec![b'x'; 1000]);
    let slow = Manners::Endless { start, again, pause: Duration::from_millis(100) };
    registry.behave(&download_path("depend", "1.0.0"), slow);
    let mut settings = registry.settings();
    settings.limits.transfer = Duration::from_mins(5);
    let start = Instant::now();
    assert_eq!(get("subject", &settings).unwrap_err().code(), "checksum-mismatch");
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
}

#[test]
fn what_came_before_a_passing_trouble_is_kept() {
    let registry = Registry::start();
    registry.publish(&subject());
    registry.publish(&depend());
    registry.behave(&file(), Manners::Stalled);
    assert_eq!(get("subject", &registry.settings()).unwrap_err().class(), ErrorClass::Temporary);
    let kept = format!("crates/{}.crate", digest(&depend().pack()).hex());
    assert_eq!(registry.left(), [std::path::PathBuf::from(kept)]);
}

#[test]
fn all_tries_together_are_bounded_in_time() {
    let registry = Registry::start();
    registry.publish(&subject());
    registry.publish(&depend());
    registry.behave(&file(), Manners::Silent);
    let mut settings = registry.settings();
    settings.limits.tries = 1000;
    settings.limits.transfer = Duration::from_secs(2);
    let start = Instant::now();
    assert_eq!(get("subject", &settings).unwrap_err().class(), ErrorClass::Temporary);
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    settings.limits.transfer = Duration::from_mins(1);
    settings.limits.total = Duration::from_secs(2);
    assert_eq!(get("subject", &settings).unwrap_err().class(), ErrorClass::Temporary);
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
}

#[test]
fn a_server_that_asks_for_a_short_pause_gets_it() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0"));
    let line = Manners::Other(Package::new("subject", "1.0.0").line().into_bytes());
    registry.behave(&index(), Manners::Turns(vec![status("429 X\r\nretry-after: 1"), line]));
    let start = Instant::now();
    get("subject", &registry.settings()).unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

/// A full queue of connections: the kernel answers no further one.
#[test]
fn a_server_that_takes_no_connection_is_given_up() {
    use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket};
    let queue = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(std::os::fd::AsRawFd::as_raw_fd(&queue), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    listen(&queue, Backlog::new(0).unwrap()).unwrap();
    let port = getsockname::<SockaddrIn>(std::os::fd::AsRawFd::as_raw_fd(&queue)).unwrap().port();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let wait = Duration::from_millis(300);
    let held: Vec<_> = (0..8).map_while(|_| std::net::TcpStream::connect_timeout(&address, wait).ok()).collect();
    assert!(held.len() < 8, "the queue is never full");
    let registry = Registry::server();
    registry.configure(&format!(
        "[source.crates-io]\nreplace-with = 'test'\n[source.test]\nregistry = 'sparse+http://{address}/index/'\n"
    ));
    let mut settings = registry.settings();
    settings.limits.connect = Duration::from_millis(300);
    let start = Instant::now();
    let error = get("subject", &settings).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Temporary, "{error:?}");
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    assert_eq!(registry.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_server_that_speaks_no_tls_where_it_should_is_told_at_once() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let registry = Registry::server();
    registry.configure(&format!(
        "[source.crates-io]\nreplace-with = 'test'\n[source.test]\nregistry = 'sparse+https://{address}/index/'\n"
    ));
    let error = get("subject", &registry.settings()).unwrap_err();
    assert!(matches!(error, AcquireError::Http(HttpError::Refused { .. })), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Temporary);
    assert!(error.to_string().contains("no secure connection"), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(registry.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_token_does_not_follow_a_download_address_that_came_over_an_open_line() {
    let (registry, elsewhere) = (Registry::start(), Registry::server());
    let package = Package::new("subject", "1.0.0");
    registry.publish(&package);
    registry.require("secret-word");
    registry.put(CONFIG, format!(r#"{{"dl":"{}/there","auth-required":true}}"#, elsewhere.url()).into_bytes());
    elsewhere.put("/there/subject/1.0.0/download", package.pack());
    registry.configure_more("[registry]\nglobal-credential-providers = ['cargo:token']\n");
    let credentials = "[registries.test]\ntoken = 'secret-word'\n";
    fs::write(registry.home().join("credentials.toml"), credentials).unwrap();
    get("subject", &registry.settings()).unwrap();
    assert_eq!(elsewhere.seen().len(), 1);
    assert!(elsewhere.seen().iter().all(|seen| seen.authorization.is_none()), "{:?}", elsewhere.seen());
}
