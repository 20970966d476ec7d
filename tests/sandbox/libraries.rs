//! Several macro libraries in one rustc: whose each attempt is, held against marks in what they try.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::Value;

use crate::support::sandboxed::{Run, Subject, text};

const LIBRARIES: [&str; 5] = ["m-one", "m-two", "m-three", "m-four", "m-five"];
/// How often each library tries each way.
const NUMBERS: usize = 10;
const FIRST_PORT: usize = 20_000;
const PORTS: usize = 100;

/// A library whose macro does nothing but what macros are for.
const CALM: &str = "extern crate proc_macro;\n#[proc_macro]\npub fn calm(_: proc_macro::TokenStream) -> proc_macro::TokenStream { \
                    \"const _: u8 = 1;\".parse().unwrap() }\n";

fn manifest(name: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n")
}

const HELPER: &str = "pub fn opens(path: &str) { let _ = std::fs::File::open(path); }";

fn library(subject: Subject, at: usize, name: &str) -> Subject {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n\
         [dependencies]\nhelper = {{ path = \"../helper\" }}\n"
    );
    // One of them has code in C, compiled as distributions do.
    let (with_c, script) = if at == 0 {
        let call = "extern \"C\" { fn opens_in_c(path: *const c_char) -> c_int; }\n\
                    fn with_c(path: &CString) { unsafe { opens_in_c(path.as_ptr()); } }";
        let script = r#"
            fn main() {
                let out = std::env::var("OUT_DIR").unwrap();
                let run = |program: &str, args: &[&str]| assert!(std::process::Command::new(program).args(args).status().unwrap().success());
                run("cc", &["-c", "-O2", "-fomit-frame-pointer", "-fPIC", "library.c", "-o", &format!("{out}/library.o")]);
                run("ar", &["rcs", &format!("{out}/liblibrary.a"), &format!("{out}/library.o")]);
                println!("cargo::rustc-link-search=native={out}\ncargo::rustc-link-lib=static=library");
            }"#;
        (call.to_owned(), Some(script))
    } else {
        ("fn with_c(_: &CString) {}".to_owned(), None)
    };
    let source = format!(
        "{}\nconst NUMBERS: usize = {NUMBERS};\nconst PORT: u16 = {};\n{with_c}\n",
        include_str!("payloads/library.rs"),
        FIRST_PORT + at * PORTS,
    );
    let subject = subject.file(&format!("{name}/Cargo.toml"), &manifest).file(&format!("{name}/src/lib.rs"), &source);
    match script {
        Some(script) => subject
            .file(&format!("{name}/build.rs"), script)
            .file(&format!("{name}/library.c"), include_str!("payloads/library.c")),
        None => subject,
    }
}

/// A crate that uses all libraries in turn; between them the compiler itself opens marked files.
static RUN: LazyLock<Run> = LazyLock::new(|| {
    let mut manifest =
        "[package]\nname = \"uses-all\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n".to_owned();
    for name in LIBRARIES {
        writeln!(manifest, "{name} = {{ path = \"../{name}\" }}").unwrap();
    }
    let mut source = String::new();
    for number in 0..NUMBERS {
        for name in LIBRARIES {
            writeln!(source, "{}::act!({number});", name.replace('-', "_")).unwrap();
            writeln!(source, "const _: &str = include_str!(\"/marked/compiler/include/{name}-{number}\");").unwrap();
        }
    }
    let subject = Subject::new("mixes-macros")
        .manifest("[dependencies]\nuses-all = { path = \"uses-all\" }")
        .file("helper/Cargo.toml", "[package]\nname = \"helper\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
        .file("helper/src/lib.rs", HELPER)
        .file("uses-all/Cargo.toml", &manifest)
        .file("uses-all/src/lib.rs", &source);
    LIBRARIES.iter().enumerate().fold(subject, |subject, (at, name)| library(subject, at, name)).run()
});

/// Whose an attempt is by the mark in its path, arguments or port, and the way it was made.
fn mark(attempt: &Value) -> Option<(String, String)> {
    let object = &attempt["object"];
    if attempt["kind"] == "net.connect" {
        let port = usize::try_from(object["port"].as_u64()?).ok()?.checked_sub(FIRST_PORT)?;
        return Some(((*LIBRARIES.get(port / PORTS)?).to_owned(), "connect".to_owned()));
    }
    let own = [
        text(&object["path"]),
        object["argv"].as_array().map(|argv| argv.iter().map(text).collect::<Vec<_>>().join(" ")).unwrap_or_default(),
    ];
    let rest = own.iter().find_map(|text| text.split_once("/marked/"))?.1;
    let (library, rest) = rest.split_once('/')?;
    let way = rest.split('/').next().unwrap_or_default();
    let way = if attempt["kind"] == "exec" { format!("start of {way}") } else { way.to_owned() };
    Some((library.to_owned(), way))
}

/// Whose it is by the evidence.
fn said(attempt: &Value) -> String {
    let library = &attempt["library"];
    match text(&library["is"]).as_str() {
        "macro" => text(&library["package"]).split('@').next().unwrap_or_default().to_owned(),
        "compiler" => "compiler".to_owned(),
        _ => "unknown".to_owned(),
    }
}

/// In a driver there is nothing to tell apart.
fn marked() -> Vec<(String, String, &'static Value)> {
    let in_compilers = RUN.of("attempt").filter(|attempt| attempt["via"] != "driver");
    in_compilers.filter_map(|attempt| mark(attempt).map(|(library, way)| (library, way, attempt))).collect()
}

/// What came of one way of trying.
#[derive(Default)]
struct Way {
    tried: usize,
    wrong: BTreeMap<String, usize>,
}

#[test]
fn attempts_are_the_librarys_that_made_them() {
    let marked = marked();
    let mut table: BTreeMap<(&str, String), usize> = BTreeMap::new();
    let mut ways: BTreeMap<(&str, String), Way> = BTreeMap::new();
    let mut right = 0;
    for (library, way, attempt) in &marked {
        let said = said(attempt);
        right += usize::from(said == *library);
        let of_way = ways.entry((way, text(&attempt["via"]))).or_default();
        of_way.tried += 1;
        if said != *library {
            *of_way.wrong.entry(format!("{library} → {said} ({})", text(&attempt["library"]["why"]))).or_default() += 1;
        }
        *table.entry((library, said)).or_default() += 1;
    }
    eprintln!("whose it is → what the evidence says");
    for ((library, said), count) in &table {
        eprintln!("  {library:10} → {said:10} {count:5}");
    }
    eprintln!("ways, by what it is known");
    for ((way, via), Way { tried, wrong }) in &ways {
        eprintln!("  {way:24} {via:8} {tried:5}  wrong: {wrong:?}");
    }
    let all = marked.len();
    eprintln!("{right} of {all} right");
    let missing: Vec<_> =
        LIBRARIES.iter().filter(|name| !marked.iter().any(|(library, ..)| library == *name)).collect();
    assert!(missing.is_empty(), "{missing:?} tried nothing\n{}", RUN.output());
    assert!(all >= 500, "only {all} attempts\n{}", RUN.output());
    assert!(right * 100 >= all * 95, "{right} of {all} right");
    let blamed = marked.iter().filter(|(library, _, attempt)| {
        let said = said(attempt);
        said != *library && said != "unknown" && said != "compiler"
    });
    assert_eq!(blamed.count(), 0, "another library was blamed");
}

#[test]
fn a_dependency_that_is_linked_into_a_library_is_named_as_a_hint() {
    let marked = marked();
    let hints: Vec<_> = marked
        .iter()
        .filter(|(_, way, _)| way == "dependency")
        .map(|(_, _, attempt)| text(&attempt["library"]["symbol"]))
        .collect();
    let named = hints.iter().filter(|symbol| symbol.starts_with("helper::")).count();
    assert!(hints.len() >= 40 && named * 10 >= hints.len() * 9, "{hints:?}");
}

#[test]
fn calls_that_were_broken_off_are_made_again_and_counted_once() {
    let by_all_registers = marked().iter().filter(|(_, way, _)| way == "dependency").count();
    assert!(by_all_registers > 0, "nothing needed a frame pointer");
    let totals = RUN.of("totals").next().unwrap();
    let number = |name: &str| totals[name].as_u64().unwrap();
    assert_eq!(number("received"), number("recorded") + number("coalesced") + number("counted") + number("dropped"));
    // A file that is made must not be there when the call is made again; what is tried once is there once.
    for (library, way, attempt) in marked() {
        assert_eq!(attempt["count"].as_u64().unwrap_or(1), 1, "{library} {way}");
        assert_ne!(attempt["outcome"], "unknown", "{attempt}");
    }
    let counts = totals["counts"].as_object().unwrap();
    let repeated = marked().iter().filter(|(_, _, attempt)| counts.contains_key(&attempt["seq"].to_string())).count();
    assert_eq!(repeated, 0);
}

/// Two libraries of one rustc open files of the same sort, in turn; one of them means a key.
#[test]
fn of_two_libraries_in_one_compiler_only_the_one_that_misbehaves_is_blamed() {
    let library = |name: &str, path: &str| {
        let source = format!(
            "extern crate proc_macro;\n#[proc_macro]\npub fn look(_: proc_macro::TokenStream) -> proc_macro::TokenStream {{\n\
             let open = |path: &str| std::thread::scope(|scope| scope.spawn(|| drop(std::fs::File::open(path))).join()).unwrap();\n\
             open({path:?});\nproc_macro::TokenStream::new()\n}}\n"
        );
        (manifest(name), source)
    };
    let (calm, calm_source) = library("calm", "/marked/calm/thread/1");
    let (restless, restless_source) = library("restless", "/home/dev/.ssh/id_ed25519");
    let run = Subject::new("mixes-two")
        .manifest("[dependencies]\ncalm = { path = \"calm\" }\nrestless = { path = \"restless\" }")
        .file("src/lib.rs", "calm::look!();\nrestless::look!();\ncalm::look!();\n")
        .file("calm/Cargo.toml", &calm)
        .file("calm/src/lib.rs", &calm_source)
        .file("restless/Cargo.toml", &restless)
        .file("restless/src/lib.rs", &restless_source)
        .run();
    for package in run.report["packages"].as_array().unwrap() {
        let mut codes: Vec<_> =
            package["findings"].as_array().unwrap().iter().map(|finding| text(&finding["code"])).collect();
        // Once in the compiler, and once when the library was driven alone.
        codes.dedup();
        let expected: &[&str] = if package["id"] == "restless@0.1.0" { &["credential-read"] } else { &[] };
        assert_eq!(codes, expected, "{}", package["id"]);
    }
    let packages = run.report["packages"].as_array().unwrap().iter();
    let findings = packages.flat_map(|package| package["findings"].as_array().unwrap());
    // The driver, which may be the first to meet the key, has one library and names none.
    let finding = findings.into_iter().find(|finding| finding["object"]["library"].is_object()).unwrap();
    assert_eq!(
        (&finding["object"]["library"]["is"], &finding["object"]["library"]["via"]),
        (&"macro".into(), &"unwind".into())
    );
    assert!(text(&finding["summary"]).contains("known by the stack"), "{finding}");
}

/// A macro library that loads a shared object, which opens files when it is loaded, when it is called and in a thread.
const LOADER: &str = r#"
    extern crate proc_macro;
    use std::ffi::{c_char, c_int, c_void};
    extern "C" {
        fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
        fn dlsym(object: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    #[proc_macro]
    pub fn load(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
        unsafe {
            let object = dlopen(concat!(env!("OUT_DIR"), "/loaded.so\0").as_ptr().cast(), 2);
            let call: extern "C" fn() = std::mem::transmute(dlsym(object, c"call".as_ptr()));
            call();
        }
        proc_macro::TokenStream::new()
    }
"#;
const LOADED: &str = r#"
    #include <fcntl.h>
    #include <pthread.h>
    __attribute__((constructor)) static void begin(void) { open("/marked/loader/constructor/1", O_RDONLY); }
    static void *thread(void *nothing) { open("/marked/loader/thread/1", O_RDONLY); return nothing; }
    void call(void) {
        pthread_t made;
        open("/marked/loader/call/1", O_RDONLY);
        if (pthread_create(&made, NULL, thread, NULL) == 0) pthread_join(made, NULL);
    }
"#;

#[test]
fn what_a_shared_object_tries_is_the_librarys_that_called_into_it() {
    let build = r#"
        fn main() {
            let out = std::env::var("OUT_DIR").unwrap() + "/loaded.so";
            let built = std::process::Command::new("cc").args(["-shared", "-fPIC", "-pthread", "loaded.c", "-o", &out]).status();
            assert!(built.unwrap().success());
        }
    "#;
    let run = Subject::new("meets-a-loader")
        .manifest("[dependencies]\nneighbour = { path = \"neighbour\" }\nloader = { path = \"loader\" }")
        .file("src/lib.rs", "neighbour::calm!();\nloader::load!();\n")
        .file("neighbour/Cargo.toml", &manifest("neighbour"))
        .file("neighbour/src/lib.rs", CALM)
        .file("loader/Cargo.toml", &manifest("loader"))
        .file("loader/build.rs", build)
        .file("loader/loaded.c", LOADED)
        .file("loader/src/lib.rs", LOADER)
        .run();
    let tried = run.of("attempt").filter(|attempt| attempt["via"] != "driver");
    let told: BTreeMap<_, _> = tried
        .filter_map(|attempt| {
            let path = text(&attempt["object"]["path"]);
            let way = path.strip_prefix("/marked/loader/")?.split('/').next()?.to_owned();
            Some((way, (text(&attempt["via"]), said(attempt))))
        })
        .collect();
    let expected = [("call", "called"), ("constructor", "called"), ("thread", "creator")]
        .map(|(way, via)| (way.to_owned(), (via.to_owned(), "loader".to_owned())));
    assert_eq!(told, BTreeMap::from(expected), "{}", run.output());
}

#[test]
fn what_a_macro_tries_only_where_it_is_really_used_is_told_as_a_difference() {
    let picky = "extern crate proc_macro;\n#[proc_macro]\npub fn look(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n\
                 if std::env::var(\"CARGO_PKG_NAME\").as_deref() == Ok(\"uses-a-macro\") {\n\
                 drop(std::fs::File::open(\"/home/dev/.ssh/id_ed25519\"));\n}\nproc_macro::TokenStream::new()\n}\n";
    let run = Subject::new("uses-a-macro")
        .manifest("[dependencies]\npicky = { path = \"picky\" }")
        .file("src/lib.rs", "picky::look!();\n")
        .file("picky/Cargo.toml", &manifest("picky"))
        .file("picky/src/lib.rs", picky)
        .run();
    let packages = run.report["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["id"] == "picky@0.1.0").unwrap();
    let expected = serde_json::json!([{
        "code": "credential-read", "subject": "~/.ssh/id_ed25519", "seen": ["dependents"], "unseen": ["driven"],
    }]);
    assert_eq!(package["agreement"]["differs"], expected, "{}", run.output());
}

/// It opens a key by code that lies in no file, so that no stack leads to it.
#[test]
fn what_no_stack_tells_is_said_to_be_unknown_and_is_the_compiled_packages() {
    let source = r#"
        extern crate proc_macro;
        use std::ffi::{c_int, c_long, c_void};
        extern "C" {
            fn mmap(at: *mut c_void, length: usize, rights: c_int, flags: c_int, fd: c_int, offset: c_long) -> *mut c_void;
        }
        #[proc_macro]
        pub fn hide(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
            // openat(AT_FDCWD, the first argument, O_RDONLY)
            const CODE: [u8; 18] = [0x48, 0x89, 0xfe, 0xb8, 1, 1, 0, 0, 0xbf, 0x9c, 0xff, 0xff, 0xff, 0x31, 0xd2, 0x0f, 5, 0xc3];
            unsafe {
                let memory = mmap(std::ptr::null_mut(), 4096, 7, 0x22, -1, 0).cast::<u8>();
                std::ptr::copy_nonoverlapping(CODE.as_ptr(), memory, CODE.len());
                let open: extern "C" fn(*const u8) -> c_long = std::mem::transmute(memory);
                open(c"/home/dev/.ssh/id_ed25519".as_ptr().cast());
            }
            proc_macro::TokenStream::new()
        }
    "#;
    let run = Subject::new("hides-its-stack")
        .manifest("[dependencies]\nhider = { path = \"hider\" }")
        .file("src/lib.rs", "hider::hide!();\n")
        .file("hider/Cargo.toml", &manifest("hider"))
        .file("hider/src/lib.rs", source)
        .run();
    let key = run.of("attempt").find(|attempt| text(&attempt["object"]["path"]).ends_with("id_ed25519")).unwrap();
    assert_eq!((&key["via"], &key["library"]["is"]), (&"unit".into(), &"unknown".into()), "{key}");
    let packages = run.report["packages"].as_array().unwrap();
    let told = packages.iter().flat_map(|package| {
        let findings = package["findings"].as_array().unwrap().iter();
        findings.map(|finding| (text(&package["id"]), text(&finding["summary"])))
    });
    let told: Vec<_> = told.collect();
    let [(package, summary), (driven, alone)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(package, "hides-its-stack@0.1.0");
    // Alone in a driver there is no question whose it is.
    assert!(driven == "hider@0.1.0" && alone.starts_with("its macro library, driven alone, tried"), "{alone}");
    assert!(summary.ends_with("(which macro: unknown, code that is no file's)"), "{summary}");
}

/// A known gap. A library shares its address space with all others: it opens a key by a jump into libc, with an address of
/// a neighbour's in the place where the caller's would be.
const FORGER: &str = r#"
    extern crate proc_macro;
    use std::ffi::{c_char, c_int};
    extern "C" { fn open(path: *const c_char, flags: c_int, ...) -> c_int; }
    #[proc_macro]
    pub fn forge(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let Some(line) = maps.lines().find(|line| line.contains("libneighbour-") && line.contains(" r-xp ")) else {
            return proc_macro::TokenStream::new();
        };
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let number = |hex: &str| usize::from_str_radix(hex, 16).unwrap();
        // There the stack leads on to us.
        let ret = (number(start)..number(end)).find(|at| unsafe { *(*at as *const u8) } == 0xc3).unwrap();
        unsafe {
            std::arch::asm!(
                "lea rax, [rip + 2f]", "push rax", "push rax", "push r10", "xor eax, eax", "jmp r11", "2:", "pop rax",
                in("r10") ret, in("r11") open as usize,
                in("rdi") c"/home/dev/.ssh/id_ed25519".as_ptr(), in("rsi") 0, clobber_abi("C"),
            );
        }
        proc_macro::TokenStream::new()
    }
"#;

#[test]
fn a_library_that_forges_its_stack_can_have_a_neighbour_named_and_hides_nothing() {
    let run = Subject::new("meets-a-forger")
        .manifest("[dependencies]\nneighbour = { path = \"neighbour\" }\nforger = { path = \"forger\" }")
        .file("src/lib.rs", "neighbour::calm!();\nforger::forge!();\n")
        .file("neighbour/Cargo.toml", &manifest("neighbour"))
        .file("neighbour/src/lib.rs", CALM)
        .file("forger/Cargo.toml", &manifest("forger"))
        .file("forger/src/lib.rs", FORGER)
        .run();
    // What was tried is recorded exactly, and is a finding whoever is named.
    let key = run.of("attempt").find(|attempt| text(&attempt["object"]["path"]).ends_with("id_ed25519")).unwrap();
    assert_eq!((&key["arg_state"], &key["package"]), (&"exact".into(), &"meets-a-forger@0.1.0".into()), "{key}");
    assert_eq!(said(key), "neighbour", "the gap is closed, and the pages are out of date: {key}");
    let packages = run.report["packages"].as_array().unwrap();
    let mut findings = packages.iter().flat_map(|package| package["findings"].as_array().unwrap());
    let finding = findings.find(|finding| finding["code"] == "credential-read").unwrap();
    assert!(text(&finding["summary"]).contains("known by the stack"), "{finding}");
    assert_eq!(run.report["verdict"], "fail");
}
