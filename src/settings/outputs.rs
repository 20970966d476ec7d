//! `--output FORMAT=FILE` and `--evidence DIR`: what they say, and whether that can be there. A run is long, and its report
//! comes last.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use nix::unistd::{AccessFlags, eaccess};

use super::SettingsError;
use crate::cli::Format;

/// Forms and files, each of which can be written now. Nothing is created: a run that comes to no judgement leaves none.
pub(super) fn outputs(given: &[String]) -> Result<Vec<(Format, PathBuf)>, SettingsError> {
    given
        .iter()
        .map(|text| {
            let (format, file) = output(text)?;
            can_be_written(&file).map_err(|error| {
                SettingsError::new(
                    format!("--output {text}: {error}"),
                    "name a file that you may write, in a folder that is there",
                )
            })?;
            Ok((format, file))
        })
        .collect()
}

/// A directory in which evidence can be kept. It is made when there is some.
pub(super) fn evidence(given: Option<&Path>) -> Result<Option<PathBuf>, SettingsError> {
    let Some(dir) = given else { return Ok(None) };
    can_be_made(dir).map_err(|error| {
        SettingsError::new(
            format!("--evidence {}: {error}", dir.display()),
            "name a directory that you may write, or that you may make",
        )
    })?;
    Ok(Some(dir.to_owned()))
}

fn output(text: &str) -> Result<(Format, PathBuf), SettingsError> {
    let wrong = || {
        SettingsError::new(
            format!("--output {text}: not FORMAT=FILE"),
            "write --output json=FILE; the formats are human, json, ndjson, sarif, junit, markdown and in-toto",
        )
    };
    let (format, file) = text.split_once('=').ok_or_else(wrong)?;
    let format = Format::from_str(format, false).map_err(|_| wrong())?;
    if file.is_empty() { Err(wrong()) } else { Ok((format, PathBuf::from(file))) }
}

fn can_be_made(dir: &Path) -> io::Result<()> {
    let whole = std::path::absolute(dir)?;
    let there = whole.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
    if !there.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(eaccess(there, AccessFlags::W_OK | AccessFlags::X_OK)?)
}

fn can_be_written(file: &Path) -> io::Result<()> {
    match fs::metadata(file) {
        Ok(known) if known.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(eaccess(file, AccessFlags::W_OK)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(eaccess(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_name_a_format_and_a_file() {
        assert_eq!(output("json=a=b").unwrap(), (Format::Json, PathBuf::from("a=b")));
        for format in Format::value_variants() {
            let name = format.to_possible_value().unwrap();
            assert_eq!(output(&format!("{}=a", name.get_name())).unwrap().0, *format);
        }
        for wrong in ["json", "json=", "xml=a"] {
            output(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_known_before_anything_runs_and_none_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").unwrap();
        for good in [at("file"), at("new"), PathBuf::from("here"), PathBuf::from("/dev/stdout")] {
            can_be_written(&good).unwrap();
        }
        for bad in [folder.path().to_owned(), at("no/such"), at("file/below")] {
            can_be_written(&bad).unwrap_err();
        }
        assert!(!at("new").exists() && !Path::new("here").exists());
    }

    #[test]
    fn a_directory_that_cannot_be_made_for_evidence_is_known_before_anything_runs_and_none_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").unwrap();
        for good in [folder.path().to_owned(), at("new"), at("new/below"), PathBuf::from("here/below")] {
            assert_eq!(evidence(Some(&good)).unwrap(), Some(good));
        }
        for bad in [at("file"), at("file/below")] {
            evidence(Some(&bad)).unwrap_err();
        }
        assert!(!at("new").exists() && !Path::new("here").exists());
    }
}
