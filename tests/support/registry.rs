//! A small package registry on loopback: a sparse index, downloads, and bad manners on demand.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test whose registry fails should end at once")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbox_check::acquire::{AcquireSettings, Environment, Limits};
use sandbox_check::ids::Sha256Digest;
use sha2::{Digest as _, Sha256};

/// How a path is answered instead of with its file. Used up one by one; the last one stays if it is `Always`.
#[derive(Clone, Debug)]
pub(crate) enum Manners {
    /// This status and no body, this many times.
    Status(u16, u32),
    /// Half of the file under the whole file's length, this many times.
    Truncated(u32),
    /// A header, one byte, and then nothing for longer than anyone waits.
    Stalled,
    /// Another body.
    Other(Vec<u8>),
    /// Go there.
    Redirect(String),
    /// Nothing at all, for longer than anyone waits.
    Silent,
    /// These bytes as they are, head and all.
    Raw(Vec<u8>),
    /// These bytes as they are, then `again` after each pause, until nobody listens.
    Endless { start: Vec<u8>, again: Vec<u8>, pause: Duration },
    /// Each in its turn; the last one stays.
    Turns(Vec<Manners>),
}

/// One request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// Who asked, as he calls himself.
    pub(crate) agent: String,
    /// True if it was asked whether a file is still the same.
    pub(crate) conditional: bool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    manners: BTreeMap<String, Manners>,
    seen: Vec<Seen>,
    token: Option<String>,
    /// Files have marks, and one that is still the same is not sent again.
    marks: bool,
}

/// The registry. Answers until the test ends.
pub(crate) struct Registry {
    port: u16,
    state: Arc<Mutex<State>>,
    /// Holds cargo's home and our cache.
    pub(crate) root: tempfile::TempDir,
}

impl Registry {
    /// An empty registry and a cargo home in which it replaces the default one.
    pub(crate) fn start() -> Self {
        let registry = Self::server();
        registry.configure(&format!(
            "[source.crates-io]\nreplace-with = 'test'\n[source.test]\nregistry = '{0}'\n[registries.test]\nindex = '{0}'\n",
            registry.index_url()
        ));
        registry
    }

    /// A server that no configuration names.
    pub(crate) fn server() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let for_threads = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&for_threads);
                std::thread::spawn(move || answer(stream, &state));
            }
        });
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("home")).unwrap();
        let registry = Self { port, state, root };
        registry.put("/index/config.json", format!(r#"{{"dl":"{}/dl"}}"#, registry.url()).into_bytes());
        registry
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn index_url(&self) -> String {
        format!("sparse+{}/index/", self.url())
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    /// Writes cargo's configuration.
    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(self.home().join("config.toml"), text).unwrap();
    }

    /// Adds to cargo's configuration.
    pub(crate) fn configure_more(&self, text: &str) {
        let before = std::fs::read_to_string(self.home().join("config.toml")).unwrap();
        self.configure(&format!("{before}{text}"));
    }

    /// Wants this token for everything from now on.
    pub(crate) fn require(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_owned());
        let config = format!(r#"{{"dl":"{}/dl","auth-required":true}}"#, self.url());
        self.put("/index/config.json", config.into_bytes());
    }

    /// Marks files from now on, and says of one that is asked about whether it is still the same.
    pub(crate) fn mark(&self) {
        self.state.lock().unwrap().marks = true;
    }

    pub(crate) fn put(&self, path: &str, bytes: Vec<u8>) {
        self.state.lock().unwrap().files.insert(path.to_owned(), bytes);
    }

    pub(crate) fn behave(&self, path: &str, manners: Manners) {
        self.state.lock().unwrap().manners.insert(path.to_owned(), manners);
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path == path).count()
    }

    /// Publishes a package.
    pub(crate) fn publish(&self, package: &Package) {
        let packed = package.packed.clone().unwrap_or_else(|| package.pack());
        self.put(&download_path(package.name, package.version), packed);
        let mut state = self.state.lock().unwrap();
        let entry = state.files.entry(index_path(package.name)).or_default();
        entry.extend_from_slice(package.line().as_bytes());
    }

    /// Settings with this registry's home, our own cache and short limits.
    pub(crate) fn settings(&self) -> AcquireSettings {
        let environment = Environment::of_process()
            .with("CARGO_HOME", self.home())
            .with("CARGO_NET_RETRY", "0")
            .with("CARGO_HTTP_TIMEOUT", "5");
        let mut settings = AcquireSettings::in_environment(self.cache(), environment);
        settings.limits = Limits {
            stall: Some(Duration::from_millis(400)),
            transfer: Duration::from_secs(5),
            back_off: Duration::from_millis(10),
            tries: 3,
            ..Limits::default()
        };
        settings
    }

    /// Everything below our cache that is a file, but for the door that all runs use.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        files_below(&self.cache()).into_iter().filter(|file| file != Path::new("runs/door")).collect()
    }
}

/// All files below a folder, relative to it.
pub(crate) fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path().strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

pub(crate) fn digest(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(Sha256::digest(bytes).into())
}

pub(crate) fn download_path(name: &str, version: &str) -> String {
    format!("/dl/{name}/{version}/download")
}

/// The index path of a name.
pub(crate) fn index_path(name: &str) -> String {
    let name = name.to_lowercase();
    match name.len() {
        length @ ..=2 => format!("/index/{length}/{name}"),
        3 => format!("/index/3/{}/{name}", &name[..1]),
        _ => format!("/index/{}/{}/{name}", &name[..2], &name[2..4]),
    }
}

/// A package to publish.
#[derive(Clone)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) manifest: String,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) deps: Vec<String>,
    pub(crate) features: &'static str,
    pub(crate) yanked: bool,
    /// When, as an index writes it.
    pub(crate) published: Option<String>,
    /// Instead of an archive of `files`.
    pub(crate) packed: Option<Vec<u8>>,
}

impl Package {
    pub(crate) fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            manifest: format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\n"),
            files: vec![("src/lib.rs".to_owned(), b"".to_vec())],
            deps: Vec::new(),
            features: "{}",
            yanked: false,
            published: None,
            packed: None,
        }
    }

    pub(crate) fn yanked(mut self) -> Self {
        self.yanked = true;
        self
    }

    pub(crate) fn published(mut self, time: &str) -> Self {
        self.published = Some(time.to_owned());
        self
    }

    pub(crate) fn file(mut self, name: &str, contents: &str) -> Self {
        self.files.push((name.to_owned(), contents.as_bytes().to_vec()));
        self
    }

    pub(crate) fn manifest(mut self, more: &str) -> Self {
        self.manifest.push_str(more);
        self
    }

    /// A normal dependency, in the index and the manifest.
    pub(crate) fn needs(self, name: &str, requirement: &str) -> Self {
        self.needs_on(name, requirement, None)
    }

    pub(crate) fn needs_on(mut self, name: &str, requirement: &str, target: Option<&str>) -> Self {
        let quoted = target.map_or("null".to_owned(), |target| format!("\"{target}\""));
        self.deps.push(format!(
            r#"{{"name":"{name}","req":"{requirement}","features":[],"optional":false,"default_features":true,"target":{quoted},"kind":"normal"}}"#
        ));
        let table = target.map_or("dependencies".to_owned(), |target| format!("target.'{target}'.dependencies"));
        self.manifest(&format!("[{table}.{name}]\nversion = \"{requirement}\"\n"))
    }

    /// Needs it only where a feature of the same name is on.
    pub(crate) fn may_need(mut self, name: &str, requirement: &str) -> Self {
        self.deps.push(format!(
            r#"{{"name":"{name}","req":"{requirement}","features":[],"optional":true,"default_features":true,"target":null,"kind":"normal"}}"#
        ));
        self.manifest(&format!("[dependencies.{name}]\nversion = \"{requirement}\"\noptional = true\n"))
    }

    /// Its line in the index.
    pub(crate) fn line(&self) -> String {
        let packed = self.packed.clone().unwrap_or_else(|| self.pack());
        format!(
            "{{\"name\":\"{}\",\"vers\":\"{}\",\"deps\":[{}],\"cksum\":\"{}\",\"features\":{},\"yanked\":{}{}}}\n",
            self.name,
            self.version,
            self.deps.join(","),
            digest(&packed).hex(),
            self.features,
            self.yanked,
            self.published.as_ref().map_or(String::new(), |time| format!(",\"pubtime\":\"{time}\""))
        )
    }

    /// The `.crate` file.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let manifest = ("Cargo.toml".to_owned(), self.manifest.clone().into_bytes());
        for (name, contents) in std::iter::once(&manifest).chain(&self.files) {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(u64::try_from(contents.len()).unwrap());
            let path = format!("{}-{}/{name}", self.name, self.version);
            builder.append_data(&mut header, path, contents.as_slice()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    if reader.read_line(&mut first).is_err() {
        return;
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut authorization, mut known, mut agent) = (None, None, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = Some(value.trim().to_owned()),
            "user-agent" => value.trim().clone_into(&mut agent),
            "if-none-match" => known = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let (file, manners, denied, marks) = {
        let mut state = state.lock().unwrap();
        let denied = state.token.is_some() && state.token != authorization;
        state.seen.push(Seen { path: path.clone(), authorization, agent, conditional: known.is_some() });
        (state.files.get(&path).cloned(), next_manners(&mut state.manners, &path), denied, state.marks)
    };
    let _ = match (manners, file) {
        _ if denied => {
            respond(&mut stream, 401, "www-authenticate: Cargo login_url=\"http://127.0.0.1/me\"\r\n", b"", 0)
        }
        (Some(Manners::Status(status, _)), _) => respond(&mut stream, status, "", b"", 0),
        (Some(Manners::Redirect(to)), _) => respond(&mut stream, 302, &format!("location: {to}\r\n"), b"", 0),
        (Some(Manners::Silent), _) => {
            std::thread::sleep(Duration::from_secs(20));
            Ok(())
        }
        (Some(Manners::Raw(bytes)), _) => stream.write_all(&bytes),
        (Some(Manners::Endless { start, again, pause }), _) => {
            let mut outcome = stream.write_all(&start);
            while outcome.is_ok() {
                std::thread::sleep(pause);
                outcome = stream.write_all(&again);
            }
            outcome
        }
        (Some(Manners::Other(body)), _) => respond(&mut stream, 200, "", &body, body.len()),
        (Some(Manners::Truncated(_)), Some(file)) => respond(&mut stream, 200, "", &file[..file.len() / 2], file.len()),
        (Some(Manners::Stalled), Some(file)) => {
            let outcome = respond(&mut stream, 200, "", &file[..1], file.len());
            std::thread::sleep(Duration::from_secs(20));
            outcome
        }
        (_, Some(file)) if marks => {
            let mark = format!("\"{}\"", digest(&file).hex());
            if known.as_deref() == Some(&mark) {
                respond(&mut stream, 304, "", b"", 0)
            } else {
                respond(&mut stream, 200, &format!("etag: {mark}\r\n"), &file, file.len())
            }
        }
        (_, Some(file)) => respond(&mut stream, 200, "", &file, file.len()),
        (_, None) => respond(&mut stream, 404, "", b"", 0),
    };
}

fn next_manners(manners: &mut BTreeMap<String, Manners>, path: &str) -> Option<Manners> {
    match manners.get_mut(path) {
        Some(Manners::Status(_, left) | Manners::Truncated(left)) => {
            if *left == 0 {
                return None;
            }
            *left -= 1;
            manners.get(path).cloned()
        }
        Some(Manners::Turns(turns)) if turns.len() > 1 => Some(turns.remove(0)),
        Some(Manners::Turns(turns)) => turns.first().cloned(),
        other => other.cloned(),
    }
}

fn respond(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8], length: usize) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n")?;
    stream.write_all(body)?;
    stream.flush()
}
