//! Pages that are made from the code are as the code is now.
//!
//! `SANDBOX_CHECK_WRITE_DOCS=1 cargo test --test docs` writes them again.

#![expect(clippy::unwrap_used, reason = "a helper that fails ends its test")]

#[path = "docs/detections.rs"]
mod detections;
#[expect(clippy::panic, reason = "a page without its mark ends its test")]
#[path = "docs/probes.rs"]
mod probes;
#[path = "confinement/table.rs"]
mod table;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sandbox_check::evidence::Kind;
use sandbox_check::exit::ExitCode;
use sandbox_check::judge::codes;
use sandbox_check::policy::Policy;
use sandbox_check::sandbox::limits::{Limit, Limits, shown};
use sandbox_check::sandbox::table::{Answer, Class, Harmless, Layer, Row, Trace, class_of, class_with};
use syscalls::Sysno;

/// Compares the page with what it should be, or writes it.
fn page(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("SANDBOX_CHECK_WRITE_DOCS").is_some() {
        fs::write(&path, wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let line = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
    let hint = "SANDBOX_CHECK_WRITE_DOCS=1 cargo test --test docs writes it again";
    assert!(found == wanted, "docs/{name} is not what the code says (line {:?}); {hint}", line.map(|at| at + 1));
}

fn name_of(kind: Kind) -> String {
    serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned()
}

fn errno(number: i32) -> String {
    let text = nix::errno::Errno::from_raw(number).to_string();
    text.split(':').next().unwrap_or_default().to_owned()
}

fn layer(layer: Layer) -> &'static str {
    match layer {
        Layer::Landlock => "the unit's Landlock domain",
        Layer::Capabilities => "no capability",
        Layer::MaxUserNamespaces => "`max_user_namespaces` is 0, no capability",
        Layer::PidNamespace => "the unit's PID namespace, Landlock's scopes",
        Layer::NetworkNamespace => "a network namespace without a way out",
        Layer::Keyring => "an empty session keyring",
        Layer::PrivateRoot => "a private root with nothing but the system and decoys",
    }
}

/// What it is answered, and what stands behind the answer.
fn answer(row: Row) -> (String, String) {
    match row.answer {
        Answer::Continue(behind) => ("goes on".to_owned(), layer(behind).to_owned()),
        Answer::OpenOnBehalf => ("opened on behalf".to_owned(), "opened within the unit's Landlock domain".to_owned()),
        Answer::MetadataOnBehalf => {
            ("done on behalf".to_owned(), "only to what is the unit's own, and the decoy home".to_owned())
        }
        Answer::SocketByFamily => (
            "by family".to_owned(),
            "constant for other families, else a network namespace without a way out".to_owned(),
        ),
        Answer::Refuse(number, behind) => (format!("refused, {}", errno(number)), layer(behind).to_owned()),
        Answer::Constant(number) => (format!("constant, {}", errno(number)), "none: decided from registers".to_owned()),
    }
}

fn condition(harmless: &[Harmless]) -> String {
    let one = |harmless: &Harmless| match harmless {
        Harmless::NoBits(register, bits) => format!("register {register} has a bit of {bits:#x}"),
        Harmless::Not(register, value) => format!("register {register} is {value:#x}"),
        Harmless::Is(register, value) => format!("register {register} is not {value:#x}"),
    };
    // All of a list must hold for a call to be harmless, so it is notified when one does not.
    harmless.iter().map(one).collect::<Vec<_>>().join(" or ")
}

#[test]
fn the_table_of_system_calls_is_on_a_page() {
    let (mut allowed, mut rows, mut probes) = (Vec::new(), String::new(), String::new());
    for sysno in Sysno::iter() {
        let number = u32::try_from(sysno.id()).unwrap();
        let (when, row) = match class_of(number).unwrap() {
            Class::Allowed => {
                allowed.push(format!("`{sysno}`"));
                if let Some(Class::Notified(row)) = class_with(number, Trace { probes: true }) {
                    let (answer, behind) = answer(row);
                    writeln!(probes, "| `{sysno}` | always | `{}` | {answer} | {behind} |", name_of(row.kind)).unwrap();
                }
                continue;
            }
            Class::Silent(number) => {
                writeln!(
                    rows,
                    "| `{sysno}` | – | not recorded | silent, {} | none needed: libc falls back |",
                    errno(number)
                )
                .unwrap();
                continue;
            }
            Class::Notified(row) => ("always".to_owned(), row),
            Class::Unless(harmless, row) => (format!("if {}", condition(harmless)), row),
        };
        let (answer, behind) = answer(row);
        writeln!(rows, "| `{sysno}` | {when} | `{}` | {answer} | {behind} |", name_of(row.kind)).unwrap();
    }
    allowed.sort();
    page(
        "system-calls.md",
        &format!(
            "# System calls\n\n<!-- Made from src/sandbox/table/ by tests/docs.rs; do not edit. -->\n\n\
             What filter U does with each system call of x86-64 (numbers up to Linux 6.17). A number that is not in the\n\
             table, and every call by another architecture's table, is recorded and answered ENOSYS. *Behind it* is the\n\
             layer that bounds the call if the answer were to continue, whatever the arguments are by then. An open that writes or\n\
             makes something is recorded as `fs.write`, a question in a message as `dns.query`.\n\n\
             ## Notified\n\n| call | notified | recorded as | answer | behind it |\n|---|---|---|---|---|\n{rows}\n\
             ## Notified where rustc runs\n\n`clone` that shares the caller's memory (a thread, or a child on a stack of its own) is notified in units that\n\
             compile, to know whose the new one is. It is counted and goes on: its flags stand in registers.\n\n\
             ## Notified with `--trace probes`\n\n| call | notified | recorded as | answer | behind it |\n|---|---|---|---|---|\n{probes}\n\
             ## Never notified\n\n{} calls on memory, threads, time and descriptors that are open already, and the\n\
             questions `stat`, `access` and `readlink`:\n\n{}.\n",
            allowed.len(),
            allowed.join(", "),
        ),
    );
}

#[test]
fn the_page_of_probes_is_what_the_suite_says() {
    probes::check();
}

#[test]
fn every_finding_code_has_a_row_and_an_explanation() {
    let mut rows = String::new();
    for code in codes::ALL {
        for text in [code.severity, code.meaning, code.honest, code.action] {
            assert!(text.trim().len() > 2, "{}: an empty text", code.name);
        }
        let escape = |text: &str| text.replace('|', "\\|");
        let attack = if code.attack.is_empty() { "–".to_owned() } else { code.attack.join(", ") };
        let (severity, meaning) = (escape(code.severity), escape(code.meaning));
        writeln!(rows, "| `{}` | {severity} | {attack} | {meaning} |", code.name).unwrap();
    }
    page(
        "findings.md",
        &format!(
            "# Finding codes\n\n<!-- Made from src/judge/codes/ by tests/docs.rs; do not edit. -->\n\n\
             `sandbox-check explain CODE` also tells honest causes and what to do.\n\n\
             | code | severity | ATT&CK | what was seen |\n|---|---|---|---|\n{rows}",
        ),
    );
}

#[test]
fn the_readme_lists_every_exit_code() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for code in ExitCode::ALL {
        let row = format!("| {} | `{}` |", code.number(), code.name());
        assert!(readme.contains(&row), "README.md has no row that begins with {row:?}");
    }
}

#[test]
fn the_example_of_a_policy_is_one() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy-format.md")).unwrap();
    let example = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(Policy::parse(example).unwrap().name, "strict");
}

/// Links between our own pages.
#[test]
fn every_link_to_a_file_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md"), root.join("policies/README.md")];
    pages.extend(fs::read_dir(root.join("docs")).unwrap().flatten().map(|entry| entry.path()));
    let mut links = 0;
    for page in pages.iter().filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            links += 1;
            assert!(page.parent().unwrap().join(file).exists(), "{}: {target}", page.display());
        }
    }
    assert!(links > 5, "{links} links");
}

#[test]
fn the_page_of_limits_and_the_help_have_every_limit() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/limits.md")).unwrap();
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_sandbox-check")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let defaults = Limits::for_machine(0);
    for limit in Limit::ALL {
        let name = if limit == Limit::Time { "--timeout" } else { limit.name() };
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/limits.md has no {name}"));
        // Those that follow the machine or another limit are described in words.
        if ![Limit::Memory, Limit::Disk, Limit::UnitTime].contains(&limit) {
            let default = shown(limit, defaults.of(limit));
            let default = default.trim_end_matches(" s");
            assert!(row.contains(&format!("| {default} |")), "{name} is {default} by default: {row}");
        }
        assert!(help.contains(name), "--help has no {name}");
    }
}
