//! One source of packages: its index, its `.crate` files, its place in cargo's home.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use tame_index::KrateName;
use tame_index::index::IndexConfig;
use tame_index::index::cache::{HttpRevision, Revision as Told, ValidCacheEntry};

use super::config::CargoConfig;
use super::error::AcquireError;
use super::guard::same_server;
use super::http::{self, Client, HttpError, Revision};
use super::index_cache::{IndexCache, Known};
use super::release::{self, Line, Release, Wanted};
use super::settings::Limits;
use super::sources::Source;
use super::vendored;
use crate::ids::{PackageId, Sha256Digest};

/// Configuration files of registries are tiny.
const CONFIG_BYTES: u64 = 64 * 1024;

/// A source with what is needed to use it.
pub(crate) struct Registry<'a> {
    pub(crate) source: Source,
    /// None when offline, and for folders.
    client: Option<Client>,
    home: &'a Path,
    token: Option<String>,
    limits: &'a Limits,
    /// Our own copies of its entries.
    copies: IndexCache,
    config: OnceLock<IndexConfig>,
}

/// What came of a question for an entry.
enum Entry<T> {
    /// It is the one that is known.
    Same,
    /// None: the registry does not know the name.
    Text(Option<Vec<T>>),
}

/// Without the token.
impl fmt::Debug for Registry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("source", &self.source).finish_non_exhaustive()
    }
}

impl<'a> Registry<'a> {
    pub(crate) fn new(
        source: Source,
        config: &CargoConfig,
        client: Option<Client>,
        home: &'a Path,
        (cache, run): (&Path, &Path),
        limits: &'a Limits,
    ) -> Self {
        let token = match &source {
            Source::Sparse(url) => config.token(url),
            Source::Directory(_) | Source::LocalRegistry(_) => None,
        };
        let copies = IndexCache::new(cache, run, &folder_of(&source), limits.index_bytes);
        Self { source, client, home, token, limits, copies, config: OnceLock::new() }
    }

    /// How people know it.
    pub(crate) fn describe(&self) -> String {
        match &self.source {
            Source::Sparse(url) => url.trim_start_matches("sparse+").to_owned(),
            Source::Directory(path) | Source::LocalRegistry(path) => path.display().to_string(),
        }
    }

    /// The folder name that cargo uses for it below `registry/src`, `registry/cache` and `registry/index`.
    pub(crate) fn folder(&self) -> String {
        folder_of(&self.source)
    }

    fn index_folder(&self) -> PathBuf {
        self.home.join("registry/index").join(self.folder())
    }

    /// Cargo's copy of a `.crate` file.
    pub(crate) fn cached_crate(&self, id: &PackageId) -> PathBuf {
        let file = format!("{}-{}.crate", id.name, id.version);
        match &self.source {
            Source::LocalRegistry(path) => path.join(file),
            _ => self.home.join("registry/cache").join(self.folder()).join(file),
        }
    }

    /// True if it may be asked over the network.
    pub(crate) fn is_online(&self) -> bool {
        self.client.is_some()
    }

    /// True for a folder of sources, whose files no checksum of an index holds.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.source, Source::Directory(_))
    }

    /// True for a registry that cannot be asked, so that its index is what this machine has of it.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self.source, Source::Sparse(_)) && self.client.is_none()
    }

    /// The address of its web interface, if its index names one and it may be asked.
    pub(crate) fn web(&self) -> Option<&str> {
        self.config.get()?.api.as_deref().filter(|api| self.is_online() && is_web(api))
    }

    /// All versions of a name, as fresh as can be; none if the registry does not know it.
    pub(crate) fn versions(&self, name: &str) -> Result<Option<Vec<Release>>, AcquireError> {
        self.lines(name, Wanted::All)
    }

    /// The same, of which those that are wanted are read in full, and of the others what a `T` holds of them.
    pub(crate) fn lines<T: Line>(&self, name: &str, wanted: Wanted<'_>) -> Result<Option<Vec<T>>, AcquireError> {
        match (&self.source, &self.client) {
            (Source::Sparse(url), Some(client)) => self.fetch_lines(client, url, name, wanted),
            _ => self.known_lines(name, wanted),
        }
    }

    /// As [`Self::lines`]. What this machine has of it is asked about, not asked for again.
    pub(crate) fn current_lines<T: Line>(
        &self,
        name: &str,
        wanted: Wanted<'_>,
    ) -> Result<Option<Vec<T>>, AcquireError> {
        let (Source::Sparse(url), Some(client)) = (&self.source, &self.client) else {
            return self.known_lines(name, wanted);
        };
        let Ok(krate) = KrateName::try_from(name) else { return Ok(None) };
        // Its lines are read when it is known that they still hold.
        let known = self.known::<Release>(krate, name, Wanted::Versions(&[]))?;
        let Some(revision) = known.and_then(|known| known.revision) else {
            return self.lines(name, wanted);
        };
        match self.fetch_entry(client, url, krate, (name, wanted), Some(&revision))? {
            Entry::Same => self.known_lines(name, wanted),
            Entry::Text(lines) => Ok(lines),
        }
    }

    /// Asks a registry how it wants to be used, before cargo does: cargo takes an answer of any size.
    pub(crate) fn open(&self) -> Result<(), AcquireError> {
        let (Source::Sparse(url), Some(client)) = (&self.source, &self.client) else { return Ok(()) };
        let config = self.fetch_config(client, url)?;
        let _ = self.config.set(config);
        Ok(())
    }

    /// The same, if it is not known yet; a failure is told by the first question.
    pub(crate) fn prepare(&self) {
        if let (Source::Sparse(_), Some(client)) = (&self.source, &self.client) {
            let _ = self.config(client);
        }
    }

    /// All versions of a name that this machine knows of.
    pub(crate) fn known_versions(&self, name: &str) -> Result<Option<Vec<Release>>, AcquireError> {
        self.known_lines(name, Wanted::All)
    }

    /// As [`Self::lines`], of what this machine knows of.
    pub(crate) fn known_lines<T: Line>(&self, name: &str, wanted: Wanted<'_>) -> Result<Option<Vec<T>>, AcquireError> {
        let Ok(krate) = KrateName::try_from(name) else { return Ok(None) };
        match &self.source {
            Source::Sparse(_) => Ok(self.known(krate, name, wanted)?.map(|known| known.lines)),
            Source::LocalRegistry(root) => {
                let path = root.join("index").join(krate.relative_path(None));
                let lines = read_bounded(&path, self.limits.index_bytes)?;
                Ok(lines.map(|bytes| release::lines(&bytes, b'\n', wanted)).filter(some))
            }
            Source::Directory(root) => {
                let releases = vendored::versions(root, name)?;
                Ok(Some(releases.into_iter().map(T::from).collect()).filter(some))
            }
        }
    }

    /// What this machine has of an entry: cargo's copy or ours, whichever is newer; the other one is not read.
    fn known<T: Line>(
        &self,
        krate: KrateName<'_>,
        name: &str,
        wanted: Wanted<'_>,
    ) -> Result<Option<Known<T>>, AcquireError> {
        let of_cargo = self.index_folder().join(".cache").join(krate.relative_path(None));
        let written = fs::metadata(&of_cargo).and_then(|found| found.modified()).ok();
        let ours = || self.copies.read(krate, name, wanted);
        if self.copies.written(krate) > written
            && let Some(ours) = ours()
        {
            return Ok(Some(ours));
        }
        Ok(self.copy_of_cargo(&of_cargo, name, wanted)?.or_else(ours))
    }

    /// Cargo's copy of an entry. Read, not mapped: cargo may be writing the file.
    fn copy_of_cargo<T: Line>(
        &self,
        path: &Path,
        name: &str,
        wanted: Wanted<'_>,
    ) -> Result<Option<Known<T>>, AcquireError> {
        if fs::metadata(path).is_ok_and(|meta| meta.len() > self.limits.index_bytes) {
            return Err(self.too_large(name));
        }
        let Some(bytes) = read_bounded(path, self.limits.index_bytes)? else { return Ok(None) };
        let Ok(entry) = ValidCacheEntry::read(&bytes) else { return Ok(None) };
        // The JSON of each version behind its number, all ended by NUL.
        let lines = release::lines(entry.version_entries, 0, wanted);
        Ok(Some(Known { revision: revision(&entry.revision), lines }).filter(|known| some(&known.lines)))
    }

    fn too_large(&self, name: &str) -> AcquireError {
        let url = format!("the index entry of `{name}` in {}", self.describe());
        HttpError::TooLarge { url, limit: self.limits.index_bytes }.into()
    }

    fn fetch_lines<T: Line>(
        &self,
        client: &Client,
        url: &str,
        name: &str,
        wanted: Wanted<'_>,
    ) -> Result<Option<Vec<T>>, AcquireError> {
        let Ok(krate) = KrateName::try_from(name) else { return Ok(None) };
        match self.fetch_entry(client, url, krate, (name, wanted), None)? {
            Entry::Same => Err(http::unasked(&entry_url(url, krate)).into()),
            Entry::Text(lines) => Ok(lines),
        }
    }

    /// Asks for an entry, and keeps the answer for the next time.
    fn fetch_entry<T: Line>(
        &self,
        client: &Client,
        index: &str,
        krate: KrateName<'_>,
        (name, wanted): (&str, Wanted<'_>),
        known: Option<&Revision>,
    ) -> Result<Entry<T>, AcquireError> {
        let url = entry_url(index, krate);
        let limit = self.limits.index_bytes;
        let answer = match self.ask(|token| client.get_if_changed(&url, token, limit, known)) {
            Ok(None) => return Ok(Entry::Same),
            Ok(Some(answer)) => answer,
            Err(HttpError::NotFound { .. }) => return Ok(Entry::Text(None)),
            Err(error) => return Err(error.into()),
        };
        let lines = read_entry((name, wanted), &url, &answer.bytes)?;
        if lines.is_some()
            && let Err(error) = self.copies.write(krate, answer.revision.as_ref(), &answer.bytes)
        {
            tracing::debug!(name, %error, "the answer of an index is not kept");
        }
        Ok(Entry::Text(lines))
    }

    fn get(&self, client: &Client, url: &str, limit: u64) -> Result<Vec<u8>, HttpError> {
        self.ask(|token| client.get(url, token, limit))
    }

    /// Asks without a token first, unless the registry is known to want one: cargo does the same.
    fn ask<T>(&self, question: impl Fn(Option<&str>) -> Result<T, HttpError>) -> Result<T, HttpError> {
        let known =
            self.config.get().map(|config| config.auth_required).or_else(|| Some(self.stored_config()?.auth_required));
        let token = self.token.as_deref();
        if known == Some(true) && token.is_some() {
            return question(token);
        }
        match question(None) {
            Err(HttpError::Denied { .. }) if token.is_some() => question(token),
            outcome => outcome,
        }
    }

    /// `config.json` as cargo left it.
    fn stored_config(&self) -> Option<IndexConfig> {
        let bytes = read_bounded(&self.index_folder().join("config.json"), CONFIG_BYTES).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    fn config(&self, client: &Client) -> Result<&IndexConfig, AcquireError> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = match (&self.source, self.stored_config()) {
            // Cargo has just resolved with it, so it is fresh.
            (_, Some(config)) => config,
            (Source::Sparse(url), None) => self.fetch_config(client, url)?,
            (_, None) => return Err(AcquireError::Lock { reason: "a folder has no downloads".to_owned() }),
        };
        Ok(self.config.get_or_init(|| config))
    }

    fn fetch_config(&self, client: &Client, url: &str) -> Result<IndexConfig, AcquireError> {
        let url = format!("{}config.json", url.trim_start_matches("sparse+"));
        let refused = |reason: String| HttpError::Refused { url: url.clone(), reason };
        let bytes = self.get(client, &url, CONFIG_BYTES).map_err(|error| match error {
            HttpError::NotFound { .. } => refused("there is no registry: this file does not exist".to_owned()),
            other => other,
        })?;
        let config: IndexConfig = serde_json::from_slice(&bytes)
            .map_err(|error| refused(format!("not the settings of a registry: {error}{}", release::begin(&bytes))))?;
        if !is_web(&config.dl) {
            return Err(refused(format!("its download address {:?} is neither http nor https", config.dl)).into());
        }
        Ok(config)
    }

    /// Downloads a `.crate` file of at most `limit` bytes, unless `stop` is set. The caller compares the checksum.
    pub(crate) fn download(
        &self,
        id: &PackageId,
        checksum: Sha256Digest,
        limit: u64,
        stop: &AtomicBool,
    ) -> Result<Vec<u8>, AcquireError> {
        let Some(client) = &self.client else {
            return Err(AcquireError::OfflineMissing { missing: vec![id.to_string()] });
        };
        let config = self.config(client)?;
        let Ok(krate) = KrateName::try_from(id.name.as_str()) else {
            return Err(AcquireError::Lock { reason: format!("{:?} is not a package name", id.name) });
        };
        let url = download_url(config, krate, &id.version, checksum);
        if !is_web(&url) {
            return Err(HttpError::Refused { url, reason: "only http and https are spoken".to_owned() }.into());
        }
        let token = self.token.as_deref().filter(|_| config.auth_required && may_have_token(&self.describe(), &url));
        Ok(client.get_unless(stop, &url, token, limit)?)
    }
}

fn folder_of(source: &Source) -> String {
    let url = match source {
        Source::Sparse(url) => url.as_str(),
        // Cargo makes no such folder for these; any name that looks usual will do.
        Source::Directory(_) | Source::LocalRegistry(_) => tame_index::CRATES_IO_HTTP_INDEX,
    };
    // `true`: the way of hashing since cargo 1.85. Folders of older ones are not found and not missed.
    tame_index::utils::url_to_local_dir(url, true).map_or_else(|_| "registry".to_owned(), |dir| dir.dir_name)
}

/// Whether the token of the registry at `home` may go to the download address `url`: to the registry's own server,
/// and to the one that it named over a secure line. What came over an open line may be anyone's word.
fn may_have_token(home: &str, url: &str) -> bool {
    same_server(home, url) || home.starts_with("https:") && url.starts_with("https:")
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn download_url(config: &IndexConfig, krate: KrateName<'_>, version: &str, checksum: Sha256Digest) -> String {
    // `tame-index` knows all marks but this one, and then takes a URL with it alone for one without marks.
    let dl = config.dl.replace("{sha256-checksum}", &checksum.hex());
    if dl != config.dl && !dl.contains('{') {
        return dl;
    }
    IndexConfig { dl, api: None, auth_required: config.auth_required }.download_url(krate, version)
}

#[expect(clippy::ptr_arg, reason = "the signature that Option::filter wants")]
fn some<T>(lines: &Vec<T>) -> bool {
    !lines.is_empty()
}

fn entry_url(index: &str, krate: KrateName<'_>) -> String {
    format!("{}{}", index.trim_start_matches("sparse+"), krate.relative_path(Some('/')))
}

fn read_entry<T: Line>(
    (name, wanted): (&str, Wanted<'_>),
    url: &str,
    text: &[u8],
) -> Result<Option<Vec<T>>, AcquireError> {
    let refused = |reason| HttpError::Refused { url: url.to_owned(), reason };
    Ok(Some(release::entry(name, text, wanted).map_err(refused)?).filter(some))
}

/// Which answer cargo has kept.
fn revision(told: &Told<'_>) -> Option<Revision> {
    match told {
        Told::Http(HttpRevision::Etag(tag)) => Some(Revision::etag(tag)),
        Told::Http(HttpRevision::LastModified(time)) => Some(Revision::LastModified((*time).to_owned())),
        Told::Git(_) | Told::Unknown => None,
    }
}

/// A whole file; none if there is none.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, AcquireError> {
    match fs::metadata(path) {
        Ok(meta) if !meta.is_file() => Ok(None),
        Ok(meta) if meta.len() > limit => {
            Err(AcquireError::file("read", path)(std::io::ErrorKind::FileTooLarge.into()))
        }
        Ok(_) => fs::read(path).map(Some).map_err(AcquireError::file("read", path)),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(AcquireError::file("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(dl: &str) -> String {
        let config = IndexConfig { dl: dl.to_owned(), api: None, auth_required: false };
        let checksum = Sha256Digest([0xab; 32]);
        download_url(&config, KrateName::try_from("Serde").unwrap(), "1.0.0", checksum)
    }

    #[test]
    fn every_mark_of_a_download_url_is_filled_in() {
        assert_eq!(url("http://h/{crate}/{version}"), "http://h/Serde/1.0.0");
        assert_eq!(url("http://h/{prefix}/{lowerprefix}/x"), "http://h/Se/rd/se/rd/x");
        assert_eq!(url("http://h/{crate}?{sha256-checksum}"), format!("http://h/Serde?{}", "ab".repeat(32)));
        assert_eq!(url("http://h/{sha256-checksum}"), format!("http://h/{}", "ab".repeat(32)));
    }

    #[test]
    fn a_token_goes_to_the_registrys_own_server_and_where_a_secure_line_says() {
        let secure = "https://index.example/";
        assert!(may_have_token(secure, "https://index.example/dl") && may_have_token(secure, "https://dl.example/x"));
        assert!(!may_have_token(secure, "http://index.example/dl"));
        let open = "http://index.example/";
        assert!(may_have_token(open, "http://index.example/dl"));
        for elsewhere in ["http://dl.example/", "https://dl.example/", "http://index.example:81/"] {
            assert!(!may_have_token(open, elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_download_url_without_marks_gets_the_usual_ending() {
        assert_eq!(url("http://h/dl"), "http://h/dl/Serde/1.0.0/download");
    }
}
