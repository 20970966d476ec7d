//! What is known of packages, and nothing more: no sandbox, no build.

use std::path::Path;

use super::check::watch;
use super::refused::refuse;
use super::tell::{Teller, deliver, fail, failed_to, refuse_settings};
use super::written;
use crate::acquire::{self, AcquireError, Acquired, Silent, Survey};
use crate::cli::FactsArgs;
use crate::evidence::line::{Fact, Header, Line, Note, Package, PackageSource, Target, TargetKind, note};
use crate::exit::ExitCode;
use crate::facts::{self, FactsError};
use crate::ids::{PackageId, Sha256Digest};
use crate::report::Report;
use crate::settings::Settings;
use crate::toolchain::{self, HostToolchain};

/// What is told of.
struct Told {
    target: Target,
    packages: Vec<Package>,
    facts: Vec<Fact>,
}

/// Why nothing can be told.
enum Failed {
    Acquire(AcquireError),
    Facts(FactsError),
}

/// Tells the known facts.
pub(super) fn run(args: &FactsArgs) -> ExitCode {
    let teller = Teller::new(args.reports.format, args.tone.color);
    let mut settings = match Settings::of_facts(args) {
        Ok(settings) => settings,
        Err(error) => return refuse_settings(&teller, error),
    };
    let _signals = match watch(teller) {
        Ok(signals) => signals,
        Err(code) => return code,
    };
    let is_lock = Path::new(&args.target).extension().is_some_and(|extension| extension == "lock");
    let found = if is_lock {
        // Only the header needs the toolchain, whose programs take their time.
        std::thread::scope(|scope| {
            let finder = scope.spawn(|| toolchain::find(None));
            let told = of_lock(Path::new(&args.target), &settings);
            finder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(|toolchain| (toolchain, told))
        })
    } else {
        toolchain::find(None).map(|toolchain| {
            settings.acquire.cargo.clone_from(&toolchain.cargo);
            let told = of_target(&settings);
            (toolchain, told)
        })
    };
    let (toolchain, told) = match found {
        Ok(found) => found,
        Err(error) => return fail(&teller, ExitCode::Usage, failed_to(&error), Some(error.hint())),
    };
    match told {
        Ok(told) => match tell(told, &settings, &toolchain, &teller) {
            Ok(report) => deliver(&report, &settings.reporting, &teller),
            Err(why) => fail(&teller, ExitCode::Internal, why, None),
        },
        Err(Failed::Acquire(error)) => refuse(&error, &settings, &toolchain, &teller),
        Err(Failed::Facts(error)) => fail(&teller, ExitCode::Usage, error.to_string(), Some(error.hint())),
    }
}

fn of_target(settings: &Settings) -> Result<Told, Failed> {
    let mut acquired = acquire::acquire(&settings.request, &settings.acquire, &Silent).map_err(Failed::Acquire)?;
    let facts = facts::of_acquired(&acquired, &settings.facts).map_err(Failed::Facts)?;
    acquired.facts.extend(facts);
    Ok(Told { packages: packages(&acquired), facts: acquired.facts, target: acquired.target })
}

fn packages(acquired: &Acquired) -> Vec<Package> {
    let mut all: Vec<Package> =
        acquired.packages.iter().map(|p| package(&p.id, p.source, p.checksum, p.subject)).collect();
    for entry in acquired.index.iter().filter(|entry| entry.needed) {
        if !all.iter().any(|package| package.id == entry.id) {
            all.push(package(&entry.id, PackageSource::Registry, entry.checksum, false));
        }
    }
    all
}

/// Nothing of it is to run, so what it would run is not asked.
fn package(id: &PackageId, source: PackageSource, checksum: Option<Sha256Digest>, subject: bool) -> Package {
    Package { id: id.clone(), source, checksum, dir: "".into(), subject, build_script: false, proc_macro: None }
}

fn of_lock(path: &Path, settings: &Settings) -> Result<Told, Failed> {
    let survey = acquire::survey(path, &settings.acquire, &Silent).map_err(Failed::Acquire)?;
    let facts = facts::of_survey(&survey, &settings.facts).map_err(Failed::Facts)?;
    let Survey { subject, index, unknown, .. } = survey;
    let ids: Vec<PackageId> =
        index.iter().map(|entry| &entry.id).chain(unknown.iter().map(|(id, _)| id)).cloned().collect();
    let checksum = |id: &PackageId| index.iter().find(|entry| entry.id == *id).and_then(|entry| entry.checksum);
    let mut packages = vec![package(&subject, PackageSource::Directory, None, true)];
    let of_registry = ids.iter().filter(|id| **id != subject);
    packages.extend(of_registry.map(|id| package(id, PackageSource::Registry, checksum(id), false)));
    let target =
        Target { kind: TargetKind::Directory, name: subject.name.clone(), version: subject.version, checksum: None };
    Ok(Told { target, packages, facts })
}

/// Tells of a run without a build.
fn tell(told: Told, settings: &Settings, toolchain: &HostToolchain, teller: &Teller) -> Result<Report, String> {
    let unbuilt = written::unbuilt(told.target, told.packages, settings, toolchain);
    let header = Header { given: settings.given.clone(), ..unbuilt };
    let text = "nothing was built".to_owned();
    let note = Note { code: note::FACTS_ONLY.to_owned(), package: None, unit: None, text, limit: None };
    let lines: Vec<Line> = told.facts.into_iter().map(Line::Fact).chain([Line::Note(note)]).collect();
    written::tell(header, &lines, settings, teller)
}
