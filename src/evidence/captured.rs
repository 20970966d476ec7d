//! Captured bytes beside kept evidence: `EVIDENCE.captured/`, with one file for each digest.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What the folder's name has after the name of the evidence.
pub const SUFFIX: &str = ".captured";

/// The folder that belongs to a file of evidence.
pub fn folder_of(evidence: &Path) -> PathBuf {
    let mut name = evidence.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

/// Copies what a run captured to the folder that belongs to `evidence`. Where nothing was captured there is no folder.
///
/// # Errors
/// When a file cannot be copied.
pub fn keep(from: &Path, evidence: &Path) -> io::Result<()> {
    let folder = folder_of(evidence);
    let mut is_made = false;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_digest = name.len() == 64 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit);
        if !is_digest || !entry.file_type()?.is_file() {
            continue;
        }
        if !is_made {
            DirBuilder::new().mode(0o700).create(&folder)?;
            is_made = true;
        }
        let mut source = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(entry.path())?;
        let mut copy: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(&name))?;
        io::copy(&mut source, &mut copy)?;
    }
    Ok(())
}

/// True for the name of a folder that belongs to evidence, whether that is there or not.
pub fn is_folder(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(b".jsonl.captured"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::evidence::line::{Artifact, Captured};

    #[test]
    fn a_line_of_before_there_were_reasons_reads() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let old = format!(r#"{{"unit":1,"path":"/x","sha256":"{digest}","size":3}}"#);
        let read: Artifact = serde_json::from_str(&old).unwrap();
        assert_eq!((read.what, read.attempt, read.kept, read.truncated), (Captured::Dropped, None, 0, false));
        assert!(read.sha256.is_some());
    }

    #[test]
    fn only_files_with_a_digest_for_a_name_are_kept() {
        let run = tempfile::tempdir().unwrap();
        let kept = tempfile::tempdir().unwrap();
        let evidence = kept.path().join("x.jsonl");
        keep(run.path(), &evidence).unwrap();
        assert!(!folder_of(&evidence).exists());

        fs::write(run.path().join("a".repeat(64)), "payload").unwrap();
        fs::write(run.path().join("partial-1"), "half").unwrap();
        symlink("/etc/passwd", run.path().join("b".repeat(64))).unwrap();
        keep(run.path(), &evidence).unwrap();
        let names: Vec<_> = fs::read_dir(folder_of(&evidence)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names, [kept.path().join("x.jsonl.captured").join("a".repeat(64))]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&folder_of(&evidence)), mode(&names[0])), (0o700, 0o600));
        assert!(is_folder(&folder_of(&evidence)) && !is_folder(&evidence));
    }
}
