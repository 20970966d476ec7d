//! A build script that makes a new name beside what cargo makes, as some do for a lock among builds or for one copy of a
//! large library.
//!
//! Rules of Landlock's are on whole hierarchies: none grants new names without all that lies there. So what is made is made
//! in a folder of the unit's own, and the name is lent: a link to that. Whatever follows goes by the link, and what may be
//! done where it leads is the kernel's to say. Names that cargo has there, or could give to another unit, are not lent.
//!
//! Compilers may read what lies there, since scripts send them there (`rustc-link-search`); another package's script may
//! not, which could take it for cargo's.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::Handler;
use super::folder::Act;
use crate::supervisor::open::{OpenCall, Opened};
use crate::supervisor::units::Unit;
use crate::supervisor::zones::Shared;

/// Names that one unit can be lent: no honest one makes so many.
const MOST: u8 = 32;

/// What cargo keeps beside its hidden files in the folder of a profile.
const OF_CARGO: [&[u8]; 5] = [b"artifact", b"build", b"deps", b"examples", b"incremental"];

/// What a name is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    File,
    Folder,
}

impl Handler<'_> {
    /// What comes of a call that makes a folder which is then lent; none for any other call.
    pub(super) fn lent_folder(&self, unit: &mut Unit, act: Act, path: &Path) -> Option<Result<(), i32>> {
        let own = self.own_of(unit, path, Made::Folder).filter(|_| act == Act::Make)?;
        (fs::create_dir(&own).is_ok() && lend(unit, &own, path)).then_some(Ok(()))
    }

    /// What came of an open that was refused, of a file which is then lent; none for any other.
    pub(super) fn lent_file(
        &self,
        unit: &mut Unit,
        call: &OpenCall,
        path: &Path,
        open: impl Fn(&Unit, &OpenCall) -> Opened,
    ) -> Option<Opened> {
        let own = self.own_of(unit, path, Made::File).filter(|_| call.makes_by_name())?;
        let opened = open(unit, &call.of(&own));
        (matches!(opened, Opened::Done(_)) && lend(unit, &own, path)).then_some(opened)
    }

    /// Where the unit has as its own what it makes at `path`, if that name can be lent to it.
    fn own_of(&self, unit: &Unit, path: &Path, made: Made) -> Option<PathBuf> {
        let lent = unit.lent.folder.as_ref().filter(|_| unit.lent.names < MOST)?;
        let folder = self.zones.shared_folder(path.parent()?)?;
        let name = path.file_name()?;
        let is_cargos = match folder {
            Shared::Profile => OF_CARGO.contains(&name.as_bytes()),
            // A later cargo may name folders there after packages alone.
            Shared::Build => made == Made::Folder,
        };
        // cargo writes what a program was made of into `NAME.d`, by whatever link is there.
        let is_list = path.extension().is_some_and(|extension| extension == "d");
        let is_cargos = is_cargos || is_list || name.as_bytes().starts_with(b".") || ends_with_hash(name.as_bytes());
        (!is_cargos && fs::symlink_metadata(path).is_err()).then(|| lent.join(name))
    }
}

/// Makes the link. No unit may write in its folder, so that nothing on the way there is one; a name that is taken stays.
fn lend(unit: &mut Unit, own: &Path, path: &Path) -> bool {
    let is_lent = symlink(own, path).is_ok();
    unit.lent.names += u8::from(is_lent);
    is_lent
}

/// True for what ends in a dash and 16 hexadecimal digits: cargo's names for what it makes of a unit.
fn ends_with_hash(name: &[u8]) -> bool {
    let stem = name.split(|byte| *byte == b'.').next().unwrap_or_default();
    let hash = stem.rsplit(|byte| *byte == b'-').next().unwrap_or_default();
    hash.len() == 16 && hash.iter().all(u8::is_ascii_hexdigit)
}
