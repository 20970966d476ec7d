//! Proposes decisions from evidence: as a difference to read, or written. What is critical is never among them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use similar::TextDiff;

use super::tell::{Teller, fail, failed_to, refuse_settings, warn};
use crate::cli::{DecideArgs, Format, IgnoreArgs};
use crate::decisions::{DecidedVersions, Entry, Kind, KnownCode, Text, add, parse};
use crate::evidence::EvidenceLog;
use crate::evidence::file::{Opened, open};
use crate::evidence::known::last_of;
use crate::evidence::line::PackageSource;
use crate::exit::ExitCode;
use crate::judge::{Finding, JudgedPackage, Judgement, judge_decided, known_code};
use crate::policy::Severity;
use crate::settings::Deciding;

/// Which findings are meant.
#[derive(Debug, Default)]
struct Chosen<'a> {
    codes: &'a [String],
    object: Option<&'a str>,
}

/// Why nothing is proposed: the exit code, what is wrong, what to do.
struct Refusal(ExitCode, String, Option<&'static str>);

/// Proposes to hide findings.
pub(super) fn add_ignores(args: &IgnoreArgs) -> ExitCode {
    run(&args.decide, Kind::Ignore, &Chosen { codes: &args.code, object: args.object.as_deref() })
}

/// Proposes to declare behaviour.
pub(super) fn accept(args: &DecideArgs) -> ExitCode {
    run(args, Kind::Expect, &Chosen::default())
}

fn run(args: &DecideArgs, kind: Kind, chosen: &Chosen<'_>) -> ExitCode {
    let teller = Teller::new(Format::Human, args.tone.color);
    let deciding = match Deciding::new(args) {
        Ok(deciding) => deciding,
        Err(error) => return refuse_settings(&teller, error),
    };
    match propose(args, kind, chosen, &deciding, &teller) {
        Ok(()) => ExitCode::Pass,
        Err(Refusal(code, message, hint)) => fail(&teller, code, message, hint.map(str::to_owned)),
    }
}

fn propose(
    args: &DecideArgs,
    kind: Kind,
    chosen: &Chosen<'_>,
    deciding: &Deciding,
    teller: &Teller,
) -> Result<(), Refusal> {
    let unknown = |code: &&String| !matches!(known_code(code), KnownCode::Finding | KnownCode::Reason);
    if let Some(code) = chosen.codes.iter().find(unknown) {
        let what = if let KnownCode::Never(why) = known_code(code) {
            format!("{code} cannot be accepted: {why}")
        } else {
            format!("there is no finding code {code:?}")
        };
        return Err(Refusal(ExitCode::Usage, what, Some("sandbox-check explain lists all codes")));
    }
    let opened = evidence(args, deciding)?;
    let judgement = judge_decided(&opened.log, &deciding.reporting.policy, &deciding.reporting.decisions);
    let package = package(&args.package, &judgement, &opened.log)?;
    if let Some(finding) = package.findings.iter().find(|finding| finding.severity == Severity::Critical) {
        let what = format!("{}: {} is critical, and nothing of such a package is accepted", package.id, finding.code);
        return Err(Refusal(ExitCode::Usage, what, Some("do not use this version; report it to the registry")));
    }
    let entries = entries(package, kind, chosen, &judgement, args, deciding, teller)?;
    if entries.is_empty() {
        let what = format!("{}: no finding that counts and is meant, so there is nothing to decide", package.id);
        let mild = match kind {
            Kind::Ignore => "--code names mild findings, too",
            Kind::Expect => "`sandbox-check ignore add --code CODE` names mild findings, too",
        };
        return Err(Refusal(ExitCode::NotFound, what, Some(mild)));
    }
    let old = match fs::read_to_string(&deciding.file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(Refusal(ExitCode::Usage, format!("failed to read {}: {error}", deciding.shown), None));
        }
    };
    let new =
        add(&old, &entries).map_err(|error| Refusal(ExitCode::Usage, format!("{}: {error}", deciding.shown), None))?;
    // What we would not read is not written.
    let text = Text { file: &deciding.shown, text: &new, codes: known_code, may_have_settings: true, may_extend: true };
    parse(text, &mut Vec::new()).map_err(|error| Refusal(ExitCode::Internal, error.to_string(), None))?;
    let before = if old.is_empty() { "/dev/null".to_owned() } else { format!("a/{}", deciding.shown) };
    let difference = TextDiff::from_lines(&old, &new);
    let difference = difference.unified_diff().header(&before, &format!("b/{}", deciding.shown)).to_string();
    let internal = |error: io::Error| Refusal(ExitCode::Internal, format!("failed to write: {error}"), None);
    io::stdout().lock().write_all(difference.as_bytes()).map_err(internal)?;
    if args.write {
        write(&deciding.file, &new).map_err(|error| {
            Refusal(ExitCode::Internal, format!("failed to write {}: {error}", deciding.shown), None)
        })?;
    } else {
        warn("nothing is written; --write does, and `git apply` reads the difference", teller);
    }
    Ok(())
}

/// The evidence that was named, or the last one of the package.
fn evidence(args: &DecideArgs, deciding: &Deciding) -> Result<Opened, Refusal> {
    if let Some(path) = &args.evidence {
        return open(path).map_err(|error| Refusal(ExitCode::Usage, failed_to(&error), None));
    }
    let (name, version) = named(&args.package);
    let found = last_of(&deciding.known, name, version)
        .map_err(|error| Refusal(ExitCode::Usage, failed_to(&error), Some("name another one with --evidence FILE")))?;
    found.ok_or_else(|| {
        let what = format!("no evidence of {} is kept in {}", args.package, deciding.known.display());
        Refusal(ExitCode::NotFound, what, Some("check it first, or name the evidence with --evidence FILE"))
    })
}

fn named(package: &str) -> (&str, Option<&str>) {
    package.rsplit_once('@').map_or((package, None), |(name, version)| (name, Some(version)))
}

fn package<'j>(word: &str, judgement: &'j Judgement, log: &EvidenceLog) -> Result<&'j JudgedPackage, Refusal> {
    let (name, version) = named(word);
    let is_it = |package: &&JudgedPackage| package.id.to_string() == word;
    let is_meant = |package: &&JudgedPackage| {
        let is_named = package.id.name == name && version.is_none_or(|version| version == package.id.version);
        (is_named || is_it(package)) && package.source != PackageSource::Consumer
    };
    let all: Vec<_> = judgement.packages.iter().filter(is_meant).collect();
    match (all.iter().find(|package| is_it(package)), all.as_slice()) {
        (Some(one), _) | (None, [one]) => Ok(one),
        (None, []) => {
            let what = format!("the evidence of {} tells of no {word}", log.header.target.label());
            Err(Refusal(ExitCode::NotFound, what, Some("name the evidence with --evidence FILE")))
        }
        (None, several) => {
            let ids: Vec<_> = several.iter().map(|package| package.id.to_string()).collect();
            let what = format!("the evidence has several of them: {}", ids.join(", "));
            Err(Refusal(ExitCode::Usage, what, Some("name one, as it stands here")))
        }
    }
}

/// One entry for each finding that counts, and for each reason that can be accepted.
fn entries(
    package: &JudgedPackage,
    kind: Kind,
    chosen: &Chosen<'_>,
    judgement: &Judgement,
    args: &DecideArgs,
    deciding: &Deciding,
    teller: &Teller,
) -> Result<Vec<Entry>, Refusal> {
    let version = DecidedVersions::parse(&package.id.version)
        .map_err(|error| Refusal(ExitCode::Usage, format!("{}: {error}", package.id), None))?;
    let entry = |kind, code: &str, object, severity| Entry {
        kind,
        package: package.id.name.clone(),
        version: version.clone(),
        source: package.source,
        code: code.to_owned(),
        object,
        severity,
        reason: args.reason.clone(),
        expires: deciding.expires,
        file: deciding.shown.clone(),
        line: 0,
    };
    let mut worst: BTreeMap<(&str, &str), &Finding> = BTreeMap::new();
    for finding in package.findings.iter().filter(|finding| chosen.means(finding) && !finding.is_hidden()) {
        if finding.object.get("subjects").is_some() {
            warn(
                &format!("{}: {} of {} stand for many; decide about each", package.id, finding.subject, finding.code),
                teller,
            );
            continue;
        }
        let known = worst.entry((finding.code, &finding.stable)).or_insert(finding);
        if finding.severity > known.severity {
            *known = finding;
        }
    }
    let of_finding = |finding: &&Finding| {
        // What a chain or known facts have raised would be raised again.
        let is_raised = ["chain", "facts"].iter().any(|key| finding.object.get(key).is_some());
        let kind = if finding.unit.is_none() || is_raised { Kind::Ignore } else { kind };
        entry(kind, finding.code, Some(finding.stable.clone()), finding.severity)
    };
    let mut all: Vec<_> = worst.values().map(of_finding).collect();
    let id = package.id.to_string();
    let reasons = judgement.completeness.reasons.iter().filter(|reason| {
        let is_meant =
            chosen.object.is_none() && (chosen.codes.is_empty() || chosen.codes.iter().any(|c| c == reason.code));
        is_meant && reason.package.as_ref() == Some(&id) && !reason.is_accepted()
    });
    let mut codes: Vec<_> = reasons.map(|reason| reason.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let acceptable = codes.into_iter().filter(|code| known_code(code) == KnownCode::Reason);
    all.extend(acceptable.map(|code| entry(Kind::Ignore, code, None, Severity::High)));
    Ok(all)
}

impl Chosen<'_> {
    fn means(&self, finding: &Finding) -> bool {
        let is_object = self.object.is_none_or(|object| object == finding.subject || object == finding.stable);
        let is_code = if self.codes.is_empty() {
            finding.severity >= Severity::Medium
        } else {
            self.codes.iter().any(|code| code == finding.code)
        };
        is_object && is_code
    }
}

/// All of the file or nothing, with the permissions that it had.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".sandbox-check-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    let permissions = match fs::metadata(path) {
        Ok(meta) => meta.permissions(),
        Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
    };
    file.as_file().set_permissions(permissions)?;
    file.persist(path)?;
    Ok(())
}
