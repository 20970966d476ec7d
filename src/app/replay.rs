//! Judges recorded evidence again. No sandbox, no network, no toolchain.

use super::tell::{Teller, deliver, fail, failed_to};
use crate::cli::ReplayArgs;
use crate::evidence::file::{OpenLogError, open};
use crate::evidence::log::ReadLogError;
use crate::exit::ExitCode;
use crate::report::Report;
use crate::settings::Reporting;

/// Characters of a message.
const LONGEST: usize = 1000;

/// Replays a log.
pub(super) fn run(args: &ReplayArgs) -> ExitCode {
    let teller = Teller::new(args.reports.format, args.tone.color);
    let reporting = match Reporting::new(&args.reports) {
        Ok(reporting) => reporting,
        Err(error) => return fail(&teller, ExitCode::Usage, error.to_string(), error.hint),
    };
    match open(&args.evidence) {
        Ok(opened) => deliver(&Report::new(&opened.log, &reporting.policy, opened.path.to_str()), &reporting, &teller),
        Err(error) => {
            // It may quote a line of the file.
            let message = failed_to(&error).chars().take(LONGEST).collect();
            fail(&teller, code(&error), message, Some(hint(&error).to_owned()))
        }
    }
}

fn code(error: &OpenLogError) -> ExitCode {
    match error {
        OpenLogError::Missing(_) => ExitCode::NotFound,
        OpenLogError::Log(ReadLogError::Read { .. }) => ExitCode::Internal,
        _ => ExitCode::Usage,
    }
}

fn hint(error: &OpenLogError) -> &'static str {
    match error {
        OpenLogError::Missing(_) => {
            "the report of a run names its evidence; without --evidence, that of a pass is not kept"
        }
        OpenLogError::NoFile { .. } => "name the file itself",
        OpenLogError::Open { .. } | OpenLogError::Log(ReadLogError::Read { .. }) => "the file must be readable for you",
        OpenLogError::Log(ReadLogError::Format { .. }) => "a newer sandbox-check may know it",
        OpenLogError::Log(ReadLogError::NoHeader) => "evidence begins with a header (docs/evidence-format.md)",
        OpenLogError::Log(_) => {
            "nothing in it can be relied on: get the file anew from where it was recorded, or run the check again"
        }
    }
}
