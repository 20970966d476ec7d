//! Sources that were refused: nothing was unpacked, nothing runs, and that is evidence.

use super::tell::{Teller, deliver, fail};
use super::written;
use crate::acquire::{self, AcquireError, ErrorClass};
use crate::evidence::line::{Fact, Line, Note, Package, PackageSource, Target, TargetKind, note};
use crate::exit::ExitCode;
use crate::report::Report;
use crate::settings::Settings;
use crate::toolchain::HostToolchain;

/// Nothing was unpacked: a refused archive or checksum is judged like any other evidence, the rest is an error.
pub(super) fn refuse(
    error: &AcquireError,
    settings: &Settings,
    toolchain: &HostToolchain,
    teller: &Teller,
) -> ExitCode {
    if let Some(fact) = error.fact() {
        return match tell(fact, error.hint(), settings, toolchain, teller) {
            Ok(report) => match deliver(&report, &settings.reporting, teller) {
                ExitCode::Internal => ExitCode::Internal,
                _ => ExitCode::Fail,
            },
            Err(why) => fail(teller, ExitCode::Internal, why, Some(crate::error_chain(error))),
        };
    }
    let code = match error.class() {
        ErrorClass::Usage => ExitCode::Usage,
        ErrorClass::NotFound => ExitCode::NotFound,
        ErrorClass::Refused => ExitCode::Fail,
        ErrorClass::Temporary => ExitCode::Temporary,
        ErrorClass::Internal => ExitCode::Internal,
    };
    fail(teller, code, crate::error_chain(error), error.hint())
}

/// Tells of a run that came to nothing: of the one package that was refused, with what to do as a note.
fn tell(
    fact: Fact,
    hint: Option<String>,
    settings: &Settings,
    toolchain: &HostToolchain,
    teller: &Teller,
) -> Result<Report, String> {
    let kind = match settings.request {
        acquire::Request::Release { .. } => TargetKind::Release,
        acquire::Request::Directory(_) => TargetKind::Directory,
        acquire::Request::Archive(_) => TargetKind::Archive,
        acquire::Request::Lock(_) => TargetKind::Lock,
    };
    let id = fact.package.clone();
    let target = Target { kind, name: id.name.clone(), version: id.version.clone(), checksum: None };
    let refused = Package {
        id: id.clone(),
        source: if kind == TargetKind::Archive { PackageSource::Archive } else { PackageSource::Registry },
        checksum: None,
        dir: "".into(),
        subject: true,
        build_script: false,
        proc_macro: None,
    };
    let (code, text) = (note::REFUSED.to_owned(), hint.unwrap_or_default());
    let lines = [Line::Fact(fact), Line::Note(Note { code, package: Some(id), unit: None, text, limit: None })];
    written::tell(written::unbuilt(target, vec![refused], settings, toolchain), &lines, settings, teller)
}
