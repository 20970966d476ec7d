//! Macro libraries alone in a server: whose attempt it is, during what, and what a library that spoils its server costs.

use serde_json::Value;

use crate::support::sandboxed::{Run, Subject, text};

fn driven(source: &str) -> Run {
    let subject = Subject::new("drives").manifest("[lib]\nproc-macro = true").file("src/lib.rs", source);
    // Nothing but the drivers uses the macros: a rustc would wait for one that never returns.
    subject.read(&subject.command().args(["--depth", "build"]).output().unwrap())
}

fn inputs(run: &Run, name: &str) -> Value {
    run.of("driven").find(|line| line["name"] == name).unwrap_or_else(|| panic!("{name} was not driven")).clone()
}

#[test]
fn an_attempt_of_a_driven_macro_names_the_library_and_the_request() {
    let run = driven(
        r#"
        #[proc_macro_derive(Looks)]
        pub fn looks(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
            let _ = std::fs::File::open("/marked/by-the-macro");
            proc_macro::TokenStream::new()
        }
        "#,
    );
    let unit = run.unit("drive-macros", "drives");
    let marked = |line: &&Value| line["object"]["path"] == "/marked/by-the-macro" && line["unit"] == unit;
    let attempts: Vec<_> = run.of("attempt").filter(marked).collect();
    assert_eq!(attempts.len(), 1, "{attempts:#?}");
    let attempt = attempts[0];
    assert_eq!((&attempt["via"], &attempt["package"]), (&"driver".into(), &"drives@0.1.0".into()));
    assert_eq!(attempt["during"], "derive Looks on unit struct");
    assert_eq!((inputs(&run, "Looks")["clean"].as_u64(), run.end_of(unit)["outcome"].as_str()), (Some(13), Some("ok")));
    let counts = &run.of("totals").next().unwrap()["counts"];
    assert_eq!(counts[attempt["seq"].to_string()], 13, "once for each input");
}

#[test]
fn a_macro_that_spoils_its_server_costs_its_own_inputs_and_no_other_macros() {
    let run = driven(
        r##"
        use proc_macro::TokenStream;
        #[proc_macro]
        pub fn ends(_: TokenStream) -> TokenStream { std::process::exit(0) }
        #[proc_macro]
        pub fn panics(_: TokenStream) -> TokenStream { panic!("no") }
        #[proc_macro]
        pub fn speaks(_: TokenStream) -> TokenStream {
            println!("{}", r#"{"ApiVersionCheck":6}"#);
            TokenStream::new()
        }
        #[proc_macro]
        pub fn waits(_: TokenStream) -> TokenStream { loop { std::thread::sleep(std::time::Duration::from_secs(60)) } }
        #[proc_macro]
        pub fn works(_: TokenStream) -> TokenStream { "fn made() {}".parse().unwrap() }
        #[proc_macro]
        pub fn reads(input: TokenStream) -> TokenStream {
            let kinds = input.into_iter().map(|token| match token {
                proc_macro::TokenTree::Literal(literal) => literal.to_string().starts_with(['"', '1', '2']),
                _ => true,
            });
            assert!(kinds.fold(true, |all, one| all && one), "a literal of another kind");
            TokenStream::new()
        }
        "##,
    );
    let counts = |name: &str| {
        let line = inputs(&run, name);
        ["clean", "panicked", "died", "timed_out", "garbled", "skipped"].map(|way| line[way].as_u64().unwrap())
    };
    assert_eq!(counts("ends"), [0, 0, 3, 0, 0, 15]);
    assert_eq!(counts("panics"), [0, 18, 0, 0, 0, 0]);
    assert_eq!(counts("speaks"), [0, 0, 0, 0, 3, 15]);
    assert_eq!(counts("waits"), [0, 0, 0, 1, 0, 17]);
    assert_eq!(counts("works"), [18, 0, 0, 0, 0, 0]);
    assert_eq!(counts("reads"), [18, 0, 0, 0, 0, 0]);
    let made = run.of("artifact").find(|line| line["what"] == "expansion" && line["path"] == "works");
    assert!(made.is_some_and(|line| line["size"].as_u64() > Some(0)), "{made:?}");
}

#[test]
fn a_library_that_ends_its_server_while_it_is_loaded_is_undriven() {
    let run = driven(
        r#"
        extern "C" fn at_load() {
            if std::env::var_os("RUST_ANALYZER_INTERNALS_DO_NOT_USE").is_some() { std::process::exit(0) }
        }
        #[used]
        #[link_section = ".init_array"]
        static AT_LOAD: extern "C" fn() = at_load;
        #[proc_macro]
        pub fn nothing(_: proc_macro::TokenStream) -> proc_macro::TokenStream { proc_macro::TokenStream::new() }
        "#,
    );
    let reasons = run.report["completeness"]["reasons"].as_array().unwrap();
    let undriven: Vec<_> = reasons.iter().filter(|reason| reason["code"] == "undriven").collect();
    assert_eq!(undriven.len(), 1, "{reasons:#?}");
    assert_eq!(text(&undriven[0]["text"]), "the library ended its driver while it was loaded");
    assert_ne!(run.report["verdict"], "pass");
}

/// A script that sleeps leaves the CPU to the driver of the library that its package needs.
fn sleeps_beside(library: &str, seconds: u8) -> Subject {
    Subject::new("uses")
        .manifest("[dependencies]\nmade = { path = 'made' }")
        .file("src/lib.rs", "")
        .file("build.rs", &format!("fn main() {{ std::thread::sleep(std::time::Duration::from_secs({seconds})); }}"))
        .file(
            "made/Cargo.toml",
            "[package]\nname = 'made'\nversion = '0.1.0'\nedition = '2021'\n[lib]\nproc-macro = true\n",
        )
        .file("made/src/lib.rs", library)
}

/// The lines at which the library's driver starts, and at which the build script that sleeps has ended.
fn order(jobs: &str) -> (usize, usize) {
    let library =
        "#[proc_macro]\npub fn none(_: proc_macro::TokenStream) -> proc_macro::TokenStream { Default::default() }";
    let subject = sleeps_beside(library, 4);
    let run = subject.read(&subject.command().args(["--depth", "build", "--jobs", jobs]).output().unwrap());
    assert_eq!(run.report["completeness"]["status"], "complete", "{:#}", run.report);
    let (script, driver) = (run.unit("run-build-script", "uses"), run.unit("drive-macros", "made"));
    let at = |kind: &str, unit: &Value| {
        run.lines.iter().position(|line| line["line"] == kind && line["unit"] == *unit).unwrap()
    };
    (at("unit-start", &driver.into()), at("unit-end", &script.into()))
}

#[test]
fn a_library_is_driven_beside_cargo_where_that_leaves_a_cpu_idle_and_after_it_where_not() {
    let (driver, script) = order("2");
    assert!(driver < script, "the driver starts at line {driver}, and the build script ends at {script}");
    let (driver, script) = order("1");
    assert!(driver > script, "the driver starts at line {driver}, and the build script ends at {script}");
}

#[test]
fn what_a_macro_spoiled_is_driven_on_though_cargo_ended_meanwhile() {
    let subject = sleeps_beside(
        r"
        use proc_macro::TokenStream;
        #[proc_macro]
        pub fn waits(_: TokenStream) -> TokenStream { loop { std::thread::sleep(std::time::Duration::from_secs(60)) } }
        #[proc_macro]
        pub fn works(_: TokenStream) -> TokenStream { TokenStream::new() }
        ",
        3,
    );
    // The server of the first macro is given up after five seconds, the script sleeps for three.
    let run = subject.read(&subject.command().args(["--depth", "build", "--jobs", "2"]).output().unwrap());
    let (script, driver) = (run.unit("run-build-script", "uses"), run.unit("drive-macros", "made"));
    let ends =
        |unit: u64| run.lines.iter().position(|line| line["line"] == "unit-end" && line["unit"] == unit).unwrap();
    assert!(ends(script) < ends(driver), "the script is to end while the first server is waited for");
    assert_eq!(
        (inputs(&run, "waits")["timed_out"].as_u64(), inputs(&run, "works")["clean"].as_u64()),
        (Some(1), Some(18))
    );
}
