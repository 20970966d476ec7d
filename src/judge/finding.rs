//! A named conclusion about some attempts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::baseline::BaselineState;
use super::context::{Context, Tried, layout_path};
use super::decided::Decided;
use super::library;
use super::paths::is_below;
use crate::evidence::Bytes;
use crate::evidence::line::{Artifact, UnitKind};
use crate::ids::{PackageId, UnitId};
use crate::policy::Severity;

/// The most attempts that one finding lists by number; `count` has them all.
const MAX_ATTEMPTS: usize = 64;
/// The most subjects of one code in one unit that are findings of their own.
const MAX_SUBJECTS: usize = 40;

/// A named conclusion about some attempts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// One of the codes of [`super::codes::ALL`].
    pub code: &'static str,
    /// How bad it is here.
    pub severity: Severity,
    /// The same for the same code, package name and subject, in every version and run.
    pub fingerprint: String,
    /// Whose code tried it.
    #[serde(skip)]
    pub package: PackageId,
    /// The unit; none for what is known without running anything.
    pub unit: Option<UnitId>,
    /// What it is about, escaped for a reader.
    pub subject: String,
    /// The same for programs.
    pub object: Value,
    /// A sentence that says what was tried.
    pub summary: String,
    /// ATT&CK techniques.
    pub attack: Vec<String>,
    /// The attempts behind it, by number.
    pub attempts: Vec<u64>,
    /// How often it was tried.
    pub count: u64,
    /// The subject in the form that is the same in every version and run, for decisions.
    #[serde(skip)]
    pub stable: String,
    /// What a person has decided about it.
    pub decision: Option<Decided>,
    /// How it stands to the findings of the version before, where these are known.
    pub baseline: Option<BaselineState>,
}

/// What a rule hands in; drafts about the same become one finding.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    pub(crate) package: PackageId,
    pub(crate) unit: Option<UnitId>,
    pub(crate) subject: Bytes,
    pub(crate) object: Value,
    pub(crate) summary: String,
    pub(crate) attack: Vec<String>,
    pub(crate) attempts: Vec<u64>,
    pub(crate) count: u64,
    /// Part of a chain: it sends, or asks for something outside.
    pub(crate) is_egress: bool,
    /// Nothing was there: of drafts about the same, the words of another one are better.
    pub(crate) is_faint: bool,
    /// Within rustc, whose code it was: in words, and for programs.
    library: Option<(String, Value)>,
}

impl Draft {
    /// A draft about one attempt.
    pub(crate) fn new(cx: &Context<'_>, tried: &Tried<'_>, code: &'static str, severity: Severity) -> Option<Self> {
        let package = library::package_of(tried).or_else(|| cx.subject().cloned())?;
        Some(Self {
            code,
            severity,
            package,
            unit: Some(tried.unit.id()),
            subject: Bytes::default(),
            object: Value::Null,
            summary: String::new(),
            attack: Vec::new(),
            attempts: vec![tried.attempt.seq],
            count: tried.attempt.count,
            is_egress: false,
            is_faint: false,
            library: library::words(tried.attempt).zip(library::object(tried.attempt)),
        })
    }

    /// A draft that no attempt is behind.
    pub(crate) fn of_package(package: &PackageId, code: &'static str, severity: Severity) -> Self {
        Self {
            code,
            severity,
            package: package.clone(),
            unit: None,
            subject: Bytes::default(),
            object: json!({}),
            summary: String::new(),
            attack: Vec::new(),
            attempts: Vec::new(),
            count: 1,
            is_egress: false,
            is_faint: false,
            library: None,
        }
    }

    pub(crate) fn about(mut self, subject: impl Into<Bytes>, object: Value) -> Self {
        self.subject = subject.into();
        self.object = object;
        self
    }

    /// About a path.
    pub(crate) fn at(self, cx: &Context<'_>, path: &[u8]) -> Self {
        let subject = short(cx, path);
        self.about(subject, json!({"path": Bytes::from(path)}))
    }

    pub(crate) fn says(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    pub(crate) fn attack(mut self, ids: &[&str]) -> Self {
        self.attack = ids.iter().map(|id| (*id).to_owned()).collect();
        self
    }

    pub(crate) fn egress(mut self) -> Self {
        self.is_egress = true;
        self
    }

    /// Adds a field to the object.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        if let Value::Object(map) = &mut self.object {
            map.insert(key.to_owned(), value);
        }
        self
    }
}

/// Who is meant, in a sentence.
pub(crate) fn actor(tried: &Tried<'_>) -> String {
    let unit = match tried.unit.kind() {
        UnitKind::RunBuildScript => "its build script",
        UnitKind::DriveMacros => "its macro library, driven alone,",
        UnitKind::CompileConsumer => "a macro, or rustc while it used the macros,",
        UnitKind::Compile | UnitKind::CompileProcMacro | UnitKind::CompileBuildScript | UnitKind::SelfTest => {
            "rustc, or a macro inside it,"
        }
    };
    let unit = library::actor(tried.attempt).unwrap_or(unit);
    match tried.who {
        super::context::Who::Subject => unit.to_owned(),
        super::context::Who::Known(crate::policy::Role::Rustc) if tried.unit.kind() != UnitKind::RunBuildScript => {
            unit.to_owned()
        }
        _ if tried.unit.kind() == UnitKind::RunBuildScript => {
            format!("{} below its build script", tried.program_name())
        }
        _ => format!("{} below rustc", tried.program_name()),
    }
}

/// A path as people know it: `~` for the home.
pub(crate) fn short(cx: &Context<'_>, path: &[u8]) -> Bytes {
    let home = layout_path(&cx.layout().home);
    match path.strip_prefix(home) {
        Some(rest) if is_below(path, home) => Bytes([b"~", rest].concat()),
        _ => Bytes::from(path),
    }
}

/// Makes one finding of all drafts of the same code, unit and subject.
pub(crate) fn group(cx: &Context<'_>, drafts: Vec<Draft>) -> Vec<Finding> {
    let mut merged: BTreeMap<(PackageId, Option<UnitId>, &'static str, Bytes), Draft> = BTreeMap::new();
    for draft in drafts {
        let key = (draft.package.clone(), draft.unit, draft.code, draft.subject.clone());
        match merged.get_mut(&key) {
            Some(first) => merge(first, draft),
            None => {
                merged.insert(key, draft);
            }
        }
    }
    let mut findings: Vec<_> = fold(merged.into_values()).into_iter().map(|draft| finish(cx, draft)).collect();
    // What stands for the rest comes after what it is the rest of.
    let is_rest = |finding: &Finding| finding.object.get("subjects").is_some();
    findings.sort_by(|a, b| {
        (&a.package, b.severity, a.unit, a.code, is_rest(a), a.attempts.first(), &a.subject).cmp(&(
            &b.package,
            a.severity,
            b.unit,
            b.code,
            is_rest(b),
            b.attempts.first(),
            &b.subject,
        ))
    });
    findings
}

fn merge(into: &mut Draft, draft: Draft) {
    if draft.severity > into.severity || (draft.severity == into.severity && into.is_faint && !draft.is_faint) {
        into.summary = draft.summary;
        into.object = draft.object;
        into.severity = draft.severity;
        into.is_faint = draft.is_faint;
        into.library = draft.library;
    }
    into.count = into.count.saturating_add(draft.count);
    into.attempts.extend(draft.attempts);
    into.is_egress |= draft.is_egress;
}

/// How many subjects a code has in one unit, and the draft for those beyond the bound.
type Counted = BTreeMap<(PackageId, Option<UnitId>, &'static str), (usize, Option<Draft>)>;

/// A unit that tried ten thousand paths makes forty findings, and one about the rest. The worst are named, and of these
/// what was there, so that dull tries crowd none of them out.
fn fold(drafts: impl Iterator<Item = Draft>) -> Vec<Draft> {
    let mut kept: Vec<Draft> = Vec::new();
    let mut drafts: Vec<_> = drafts.collect();
    drafts.sort_by_key(|draft| (Reverse(draft.severity), draft.is_faint));
    let mut seen = Counted::new();
    for draft in drafts {
        let (count, rest) = seen.entry((draft.package.clone(), draft.unit, draft.code)).or_default();
        *count += 1;
        if *count <= MAX_SUBJECTS {
            kept.push(draft);
        } else if let Some(rest) = rest {
            merge(rest, draft);
        } else {
            *rest = Some(draft);
        }
    }
    for (count, rest) in seen.into_values() {
        if let Some(mut rest) = rest {
            let others = count - MAX_SUBJECTS;
            rest.subject = format!("{others} more").into();
            rest.object = json!({"subjects": others});
            rest.library = None;
            rest.summary = format!("{others} more of the same kind were tried; the evidence lists them");
            kept.push(rest);
        }
    }
    kept
}

fn finish(cx: &Context<'_>, mut draft: Draft) -> Finding {
    draft.attempts.sort_unstable();
    draft.attempts.dedup();
    name_bytes(cx, &mut draft);
    if let (Some((words, library)), Value::Object(object)) = (draft.library.take(), &mut draft.object) {
        draft.summary = format!("{} ({words})", draft.summary);
        object.insert("library".to_owned(), library);
    }
    draft.attempts.truncate(MAX_ATTEMPTS);
    let mut stable = stable(cx, &draft.package, &draft.subject.0);
    let fingerprint = fingerprint(&draft, &stable);
    stable.pop();
    Finding {
        code: draft.code,
        severity: draft.severity,
        fingerprint,
        stable: Bytes(stable).to_string(),
        decision: None,
        baseline: None,
        package: draft.package,
        unit: draft.unit,
        subject: draft.subject.to_string(),
        object: draft.object,
        summary: draft.summary,
        attack: draft.attack,
        attempts: draft.attempts,
        count: draft.count,
    }
}

/// Adds the digest of what was captured of the attempts, of the path in question where there is one. What came
/// last is named; the package's `artifacts` have all.
fn name_bytes(cx: &Context<'_>, draft: &mut Draft) {
    let Value::Object(object) = &mut draft.object else { return };
    if object.contains_key("subjects") {
        return;
    }
    let captured = || draft.attempts.iter().flat_map(|seq| cx.captured(*seq).iter().copied());
    let is_named = |artifact: &&Artifact| object.get("program").is_some_and(|path| *path == json!(artifact.path));
    let last = captured().rfind(is_named).or_else(|| captured().next_back());
    if let Some(digest) = last.and_then(|artifact| artifact.sha256) {
        object.insert("sha256".to_owned(), json!(digest));
    }
}

/// The stable form of a subject, escaped for a reader.
pub(crate) fn stable_text(cx: &Context<'_>, package: &PackageId, subject: &Bytes) -> String {
    let mut text = stable(cx, package, &subject.0);
    // What `stable` adds at the end.
    text.pop();
    Bytes(text).to_string()
}

fn fingerprint(draft: &Draft, stable: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(draft.code);
    hasher.update([0]);
    hasher.update(&draft.package.name);
    hasher.update([0]);
    hasher.update(stable);
    let digest = crate::ids::Sha256Digest(hasher.finalize().into()).hex();
    digest.chars().take(16).collect()
}

/// The subject without what differs between versions and runs: the package's version and cargo's hashes.
pub(crate) fn stable(cx: &Context<'_>, package: &PackageId, subject: &[u8]) -> Vec<u8> {
    let mut text = subject.to_vec();
    for place in cx.log.header.packages.iter().map(|p| short(cx, &p.dir.0)) {
        if is_below(&text, &place.0) {
            let name = place.0.strip_suffix(format!("-{}", package.version).as_bytes()).unwrap_or(&place.0).to_vec();
            let rest = text.get(place.0.len()..).unwrap_or_default().to_vec();
            text = [name, rest].concat();
            break;
        }
    }
    // Each unit has a folder for temporary files, by its number: `/tmp/u2`.
    let tmp = [layout_path(&cx.layout().tmp), b"/u"].concat();
    if let Some(rest) = text.strip_prefix(tmp.as_slice()) {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let rest = rest.get(digits..).unwrap_or_default();
        if digits > 0 && rest.first().is_none_or(|&b| b == b'/') {
            text = [&tmp, &b"#"[..], rest].concat();
        }
    }
    let mut out = Vec::with_capacity(text.len());
    let mut run: Vec<u8> = Vec::new();
    for byte in text.into_iter().chain([b'/']) {
        if byte.is_ascii_hexdigit() {
            run.push(byte);
            continue;
        }
        // cargo's hashes have sixteen digits; shorter runs are words and numbers.
        if run.len() >= 16 {
            out.push(b'#');
        } else {
            out.extend_from_slice(&run);
        }
        run.clear();
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::ProgramFile;
    use crate::evidence::testing::LogBuilder;
    use crate::judge::judge;
    use crate::policy::Policy;

    #[test]
    fn what_is_worse_or_was_there_is_named_among_many() {
        let log = LogBuilder::new().build_script("u", |mut u| {
            for i in 0..100 {
                u = u.open(format!("/home/dev/.ssh/{i}").as_str()).denied(2).connect("127.0.0.1", i + 1);
            }
            u.open("/home/dev/.ssh/id_ed25519").connect("192.0.2.1", 80)
        });
        let judgement = judge(&log.log(), &Policy::shipped());
        let named: Vec<_> = judgement.packages[0].findings.iter().map(|f| f.subject.as_str()).collect();
        assert!(named.contains(&"~/.ssh/id_ed25519") && named.contains(&"192.0.2.1:80"), "{named:?}");
        assert!(named.contains(&"61 more"), "{named:?}");
    }

    #[test]
    fn a_fingerprint_does_not_depend_on_the_number_of_the_unit() {
        let of = |path: &str| {
            let log = LogBuilder::new().build_script("u", |u| u.exec(ProgramFile::Script, &[path], &[])).log();
            judge(&log, &Policy::shipped()).packages[0].findings[0].fingerprint.clone()
        };
        assert_eq!(of("/tmp/u2/setup"), of("/tmp/u17/setup"));
        assert_ne!(of("/tmp/u2/setup"), of("/tmp/u2x/setup"));
        assert_ne!(of("/tmp/u2/setup"), of("/tmp/u2/other"));
    }
}
