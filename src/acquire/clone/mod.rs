//! A clone of a repository that the user names: its commits, read as data.
//!
//! git runs in an empty repository of ours that borrows the clone's objects (`GIT_OBJECT_DIRECTORY`). So nothing of the
//! clone's configuration has a say: no hook, filter, pager, monitor, text conversion, owner of a folder, nor a server that
//! missing objects would be fetched from. What must lie outside of the clone, or is no plain file, is refused before.
//! A commit and its folders are held against their names, which are digests; no file of the clone is read but the
//! targets of links. The history is believed.

mod commit;
mod history;
mod objects;
mod place;

use std::path::Path;

pub use self::commit::{CommitFiles, Item};
pub use self::history::Past;
use self::objects::Objects;
pub use self::objects::blob_name;
use self::place::Place;

/// A clone, ready to be asked.
#[derive(Debug)]
pub struct LocalClone {
    place: Place,
    /// Where it says that it is from: the addresses of its remotes.
    pub remotes: Vec<String>,
}

impl LocalClone {
    /// Looks a folder over.
    ///
    /// # Errors
    /// When it is no clone, or one that cannot be read safely, in words.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let place = Place::find(folder)?;
        let remotes = place.remotes()?;
        Ok(Self { place, remotes })
    }

    /// True if it has only the last commits.
    pub fn is_shallow(&self) -> bool {
        !self.place.shallow.is_empty()
    }

    /// All files of a commit; none where the clone does not have it.
    ///
    /// # Errors
    /// When the commit cannot be read whole, in words.
    pub fn files(&self, commit: &str) -> Result<Option<CommitFiles>, String> {
        let bare = self.place.bare(commit)?;
        objects::ask(bare.path(), &self.place.objects, |objects| CommitFiles::read(objects, commit))
    }

    /// The commits up to this one, as far as the clone has it, and up to the clone's own last one.
    ///
    /// # Errors
    /// When they cannot be read, in words.
    pub fn past(&self, commit: Option<&str>) -> Result<Past, String> {
        let mut ends = Vec::new();
        for end in commit.into_iter().chain(self.place.head.as_deref()) {
            let bare = self.place.bare(end)?;
            let known = |objects: &mut Objects| Ok(objects.get(end, objects::COMMIT)?.is_some());
            if objects::ask(bare.path(), &self.place.objects, known)? {
                ends.push(end);
            }
        }
        let Some(first) = ends.first() else { return Err("it has no commit to begin with".to_owned()) };
        history::read(self.place.bare(first)?.path(), &self.place.objects, &ends)
    }
}

#[cfg(test)]
mod tests;
