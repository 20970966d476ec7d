//! Judges recorded evidence again. No sandbox, no network, no toolchain.

use std::path::PathBuf;

use super::known::with_facts;
use super::tell::{Teller, deliver, fail, failed_to, judged, refuse_settings};
use crate::cli::ReplayArgs;
use crate::evidence::EvidenceLog;
use crate::evidence::file::{OpenLogError, open};
use crate::evidence::line::PackageSource;
use crate::evidence::log::ReadLogError;
use crate::exit::ExitCode;
use crate::facts::{self, FactsError, Question};
use crate::ids::PackageId;
use crate::settings::facts::of_databases;
use crate::settings::{Beside, Reporting};

/// Characters of a message.
const LONGEST: usize = 1000;

/// Replays a log.
pub(super) fn run(args: &ReplayArgs) -> ExitCode {
    let teller = Teller::new(args.reports.format, args.tone.color);
    let reporting = match Reporting::new(&args.reports, Beside { config: args.config.as_deref(), ..Beside::default() })
    {
        Ok(reporting) => reporting,
        Err(error) => return refuse_settings(&teller, error),
    };
    match open(&args.evidence) {
        Ok(mut opened) => {
            if !args.advisory_db.is_empty()
                && let Err(error) = look_up(&mut opened.log, &args.advisory_db)
            {
                return fail(&teller, ExitCode::Usage, error.to_string(), Some(error.hint()));
            }
            deliver(&judged(&opened.log, &reporting, opened.path.to_str()), &reporting, &teller)
        }
        Err(error) => {
            // It may quote a line of the file.
            let message = failed_to(&error).chars().take(LONGEST).collect();
            fail(&teller, code(&error), message, Some(hint(&error).to_owned()))
        }
    }
}

/// What databases say today of the packages of a run, in the place of what they said then.
fn look_up(log: &mut EvidenceLog, databases: &[PathBuf]) -> Result<(), FactsError> {
    let of_registries = log.header.packages.iter().filter(|package| package.source != PackageSource::Directory);
    let packages: Vec<PackageId> = of_registries.map(|package| package.id.clone()).collect();
    let subject = PackageId::new(&log.header.target.name, &log.header.target.version);
    let anew = facts::advisories(&Question::of(&subject, &packages, &[]), &of_databases(databases))?;
    log.lines = with_facts(log, anew, facts::is_of_advisories);
    Ok(())
}

fn code(error: &OpenLogError) -> ExitCode {
    match error {
        OpenLogError::Missing(_) => ExitCode::NotFound,
        OpenLogError::Log { source: ReadLogError::Read { .. }, .. } => ExitCode::Internal,
        _ => ExitCode::Usage,
    }
}

fn hint(error: &OpenLogError) -> &'static str {
    const READABLE: &str = "the file must be readable for you";
    match error {
        OpenLogError::Missing(_) => {
            "the report of a run names its evidence; without --evidence, that of a pass is not kept"
        }
        OpenLogError::NoFile { .. } => "name the file itself",
        OpenLogError::Open { .. } => READABLE,
        OpenLogError::Log { source, .. } => match source {
            ReadLogError::Read { .. } => READABLE,
            ReadLogError::Format { .. } => "a newer sandbox-check may know it",
            ReadLogError::NoHeader | ReadLogError::Syntax { line: 1, .. } => {
                "evidence begins with a header (docs/evidence-format.md)"
            }
            _ => "nothing in it can be relied on: get the file anew from where it was recorded, or run the check again",
        },
    }
}
