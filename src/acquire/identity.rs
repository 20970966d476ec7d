//! Which package is which: a lock file may have several of one name and version, each from a source of its own.
//!
//! That of the default registry keeps its plain name. Each other gets a mark of its source, and all packages of that
//! source lie in a folder of their own: cargo takes a source from one folder, in which a name and a version occur once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Replaced;
use super::archive::make_folders;
use super::error::AcquireError;
use super::needed::Key;
use super::sources::{DEFAULT, is_default};
use crate::ids::{PackageId, Sha256Digest};

/// Where verified packages lie, below the folder of a run.
const VERIFIED: &str = "registry";
/// Digits of a digest that tell sources apart, unless somebody made two alike.
const DIGITS: usize = 8;

/// The packages that others are named like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identities {
    marks: BTreeMap<Key, String>,
    /// By source: its folder below that of the verified packages.
    folders: BTreeMap<String, String>,
}

impl Identities {
    /// Those among all packages of a build.
    pub(crate) fn of(keys: impl Iterator<Item = Key>) -> Self {
        let mut alike: BTreeMap<(String, String), Vec<Key>> = BTreeMap::new();
        for key in keys {
            alike.entry((key.0.clone(), key.1.clone())).or_default().push(key);
        }
        let is_plain = |key: &Key| key.2.as_deref().is_some_and(is_default);
        let several = alike.into_values().filter(|keys| keys.len() > 1).flatten();
        let marked: Vec<Key> = several.filter(|key| !is_plain(key)).collect();
        let sources: BTreeSet<_> = marked.iter().map(|key| key.2.as_deref()).collect();
        let is_clear =
            sources.iter().map(|source| mark(*source, DIGITS)).collect::<BTreeSet<_>>().len() == sources.len();
        let digits = if is_clear { DIGITS } else { usize::MAX };
        let folder = |source: &str| (source.to_owned(), format!("from-{}", mark(Some(source), digits)));
        let folders = sources.iter().copied().flatten().map(folder).collect();
        let marks = marked.into_iter().map(|key| (key.clone(), mark(key.2.as_deref(), digits))).collect();
        Self { marks, folders }
    }

    /// What a package is called everywhere.
    pub(crate) fn id(&self, key: &Key) -> PackageId {
        PackageId::new(&key.0, &key.1).with_mark(self.marks.get(key).cloned())
    }

    /// The folder that all of a source has for itself.
    pub(crate) fn folder(&self, source: &str) -> Option<&str> {
        self.folders.get(source).map(String::as_str)
    }

    /// Where a package of a registry or a repository lies, below the folder of a run.
    pub(crate) fn place(&self, key: &Key) -> PathBuf {
        let folder = key.2.as_deref().and_then(|source| self.folder(source)).unwrap_or_default();
        Path::new(VERIFIED).join(folder).join(format!("{}-{}", key.0, key.1))
    }

    /// Makes the folders that [`Self::place`] names, below that of the run.
    pub(crate) fn make_folders(&self, run: &Path) -> Result<(), AcquireError> {
        for folder in self.folders.values().map(String::as_str).chain([""]) {
            let folder = Path::new(VERIFIED).join(folder);
            make_folders(run, &folder).map_err(AcquireError::file("create", &run.join(&folder)))?;
        }
        Ok(())
    }

    /// The keys of `[source]` that an offline cargo must find replaced.
    pub(crate) fn replaced<'a>(&self, registries: impl Iterator<Item = &'a String>) -> Vec<Replaced> {
        let mut all = vec![Replaced { key: DEFAULT.to_owned(), says: Vec::new(), folder: None }];
        for (index, source) in registries.filter(|source| !is_default(source)).enumerate() {
            let url = source.strip_prefix("registry+").unwrap_or(source).to_owned();
            let (key, folder) = (format!("registry-{}", index + 1), self.folder(source).map(str::to_owned));
            all.push(Replaced { key, says: vec![("registry", url)], folder });
        }
        all
    }

    /// For people: which source each mark stands for.
    pub(crate) fn remarks(&self) -> impl Iterator<Item = String> {
        self.marks.keys().map(|key| {
            let of = key.2.as_ref().map_or_else(|| "a folder".to_owned(), |source| format!("that of {source}"));
            format!("{} is {of}; others have its name and version", self.id(key))
        })
    }
}

/// True if this may be what a package is called.
pub(crate) fn is_called(id: &PackageId, key: &Key) -> bool {
    let of_source =
        |mark_of: &str| [DIGITS, usize::MAX].iter().any(|digits| mark(key.2.as_deref(), *digits) == mark_of);
    id.name == key.0 && id.version == key.1 && id.mark().is_none_or(of_source)
}

/// The same in every run: the commit of a repository is left out.
fn mark(source: Option<&str>, digits: usize) -> String {
    let Some(source) = source else { return "folder".to_owned() };
    let kind = if source.starts_with("git+") { "git" } else { "registry" };
    let address = source.split('#').next().unwrap_or(source);
    let digest = Sha256Digest(Sha256::digest(address).into()).hex();
    format!("{kind}-{}", digest.get(..digits).unwrap_or(&digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, source: Option<&str>) -> Key {
        (name.to_owned(), "1.0.0".to_owned(), source.map(str::to_owned))
    }

    #[test]
    fn only_what_others_are_named_like_is_marked_and_never_that_of_the_default_registry() {
        let default = format!("registry+{}", tame_index::CRATES_IO_INDEX);
        let (git, other) = ("git+https://a.invalid/x?branch=b#0011", "registry+https://b.invalid/index");
        let all = [
            key("twin", Some(&default)),
            key("twin", Some(git)),
            key("twin", None),
            key("alone", Some(git)),
            key("both", Some(other)),
            key("both", None),
            key("free", Some(&default)),
        ];
        let identities = Identities::of(all.iter().cloned());
        let ids: Vec<_> = all.iter().map(|key| identities.id(key).to_string()).collect();
        let of_git = mark(Some("git+https://a.invalid/x?branch=b#ffff"), DIGITS);
        let of_other = mark(Some(other), DIGITS);
        assert_eq!(ids[0], "twin@1.0.0");
        assert_eq!(ids[1], format!("twin@1.0.0~{of_git}"), "whatever the commit");
        assert_eq!((&*ids[2], &*ids[3], &*ids[6]), ("twin@1.0.0~folder", "alone@1.0.0", "free@1.0.0"));
        assert_eq!((&*ids[4], &*ids[5]), (&*format!("both@1.0.0~{of_other}"), "both@1.0.0~folder"));
        // Each name once in each folder.
        assert_eq!(identities.place(&all[0]), Path::new("registry/twin-1.0.0"));
        let folder = Path::new("registry").join(format!("from-{of_git}"));
        assert_eq!(identities.place(&all[1]), folder.join("twin-1.0.0"));
        assert_eq!(identities.place(&all[3]), folder.join("alone-1.0.0"));
        assert_eq!(identities.remarks().count(), 4);
    }
}
