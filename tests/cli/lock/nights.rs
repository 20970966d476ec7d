//! One night after the other, with nothing given but the folder that is kept: exactly what is new is called new.

use super::*;

fn asks(name: &str) -> String {
    format!("fn main() {{ let _ = std::net::ToSocketAddrs::to_socket_addrs(&(\"{name}.invalid\", 80)); }}")
}

/// What a report calls new, as package and code.
fn new(report: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for package in report["packages"].as_array().unwrap() {
        let findings = package["findings"].as_array().unwrap().iter();
        let new = findings.filter(|finding| finding["baseline"] == "new");
        all.extend(new.map(|f| pair(package["id"].as_str().unwrap(), f["code"].as_str().unwrap())));
    }
    all.sort();
    all
}

impl Ground {
    /// The night's report, once all forms agree on how much is new.
    fn night(&self, args: &[&str]) -> Value {
        let at = |name: &str| self.home.path().join(name).display().to_string();
        let outputs = [format!("--output=sarif={}", at("a.sarif")), format!("--output=markdown={}", at("a.md"))];
        let given = ["ws", "--cache-dir=kept", "--advisory-db=db", &outputs[0], &outputs[1]];
        let (report, _) = self.report(&[&given, args].concat());
        assert_eq!(report["completeness"]["status"], "complete", "{}", report["completeness"]);
        let sarif: Value = serde_json::from_slice(&fs::read(at("a.sarif")).unwrap()).unwrap();
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        let in_sarif = results.iter().filter(|result| result["baselineState"] == "new").count();
        let markdown = fs::read_to_string(at("a.md")).unwrap();
        let count = new(&report).len();
        assert_eq!((in_sarif, markdown.matches(" (new):").count()), (count, count), "{markdown}");
        let human = stdout(&self.home.run(["replay", report["evidence"]["path"].as_str().unwrap()]));
        let said = match (report["lock"]["last_run"].is_string(), count) {
            (false, _) => "",
            (true, 0) => "nothing is new since the last run",
            (true, 1) => "1 finding is new since the last run",
            (true, _) => "findings are new since the last run",
        };
        assert!(human.contains(said) && markdown.contains(said), "{said}: {human}{markdown}");
        report
    }

    fn advisory(&self, id: &str, package: &str) {
        let text = format!(
            "```toml\n[advisory]\nid = \"{id}\"\npackage = \"{package}\"\ndate = \"2026-11-20\"\n[versions]\npatched = []\n```\n\n# A hole\n\nWords.\n"
        );
        self.file(&format!("db/crates/{package}/{id}.md"), &text);
    }
}

#[test]
fn each_night_exactly_what_is_new_is_called_new() {
    let ground = Ground::new();
    ground.registry.publish(&Package::new("asks", "1.0.0").file("build.rs", &asks("stays")));
    ground.advisory("RUSTSEC-2026-0001", "nobody");
    let depends = |more: &str| member("app", &format!("[dependencies]\nasks = '1'\nmiddle = '1'\n{more}"));
    ground.file("ws/Cargo.toml", &depends("")).file("ws/src/lib.rs", "").locked();
    let relock = |more: &str| {
        fs::remove_file(ground.home.path().join("ws/Cargo.lock")).unwrap();
        ground.file("ws/Cargo.toml", &depends(more)).locked();
    };
    let first = ground.night(&[]);
    assert_eq!((&first["lock"]["last_run"], new(&first)), (&Value::Null, Vec::new()));
    let unchanged = ground.night(&[]);
    assert!(unchanged["reused"].is_object() && unchanged["lock"]["last_run"].is_string());
    assert_eq!(new(&unchanged), []);
    // One is bumped, and asks for one name more than its version before.
    let two = "fn main() { for name in [\"stays\", \"comes\"] { let _ = std::net::ToSocketAddrs::to_socket_addrs(&(format!(\"{name}.invalid\"), 80)); } }";
    ground.registry.publish(&Package::new("asks", "1.1.0").file("build.rs", two));
    relock("");
    assert_eq!(new(&ground.night(&[])), [pair("asks@1.1.0", "dns-query")]);
    // One is added that tries something.
    ground.registry.publish(&Package::new("added", "1.0.0").file("build.rs", &asks("added")));
    relock("added = '1'\n");
    assert_eq!(new(&ground.night(&[])), [pair("added@1.0.0", "dns-query")]);
    // An advisory is new on a package that is not.
    ground.advisory("RUSTSEC-2026-0002", "leafy");
    let advised = ground.night(&[]);
    assert_eq!(new(&advised), [pair("leafy@1.0.0", "advisory")]);
    assert!(advised["reused"].is_object());
    assert_eq!(new(&ground.night(&[])), []);
    // Somebody accepts it, and a day comes on which that is over.
    let ignore = |expires: &str| {
        let text = format!(
            "[[ignore]]\npackage = 'leafy'\nversion = '1.0.0'\nsource = 'registry'\ncode = 'advisory'\nobject = 'RUSTSEC-2026-0002'\nreason = 'not called'\nexpires = '{expires}'\n"
        );
        ground.file("decisions.toml", &text);
    };
    let decided = ["--config=decisions.toml"];
    ignore("2099-01-01");
    assert_eq!(new(&ground.night(&decided)), []);
    ignore("2020-01-01");
    assert_eq!(new(&ground.night(&decided)), [pair("leafy@1.0.0", "advisory")]);
    // What is looked at in another way is another thing, and nothing is known of before.
    let (deeper, _) = ground.report(&["ws", "--cache-dir=kept", "--depth=check"]);
    assert_eq!(deeper["lock"]["last_run"], Value::Null);
}

#[test]
fn a_record_of_the_last_run_that_somebody_edited_is_told_compared_with_nothing_and_written_anew() {
    let ground = Ground::new();
    ground.registry.publish(&Package::new("asks", "1.0.0").file("build.rs", &asks("name")));
    ground.file("ws/Cargo.toml", &member("app", "[dependencies]\nasks = '1'\n")).file("ws/src/lib.rs", "").locked();
    let args = ["ws", "--cache-dir=kept", "--format=json"];
    let run = || {
        let output = ground.run(&args);
        let said = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        (json(&output)["lock"]["last_run"].is_string(), said.contains("nothing was compared with it"))
    };
    let verify = || ground.home.run(["cache", "verify", "--cache-dir=kept"]);
    assert_eq!([run(), run()], [(false, false), (true, false)]);
    assert_eq!(code(&verify()), 0);
    let kept = fs::read_dir(ground.home.path().join("kept/baselines")).unwrap().map(|entry| entry.unwrap().path());
    let is_last_run = |path: &PathBuf| fs::read_to_string(path).unwrap().contains("sandbox-check-last-run");
    let [record] = &kept.filter(is_last_run).collect::<Vec<_>>()[..] else { panic!("one run is kept") };
    let text = fs::read_to_string(record).unwrap();
    fs::write(record, text.replacen("dns-query", "fs-read", 1)).unwrap();
    let told = verify();
    let is_named = stdout(&told).contains(record.file_name().unwrap().to_str().unwrap());
    assert!(code(&told) == 10 && is_named, "{}", stdout(&told));
    assert_eq!([run(), run()], [(false, true), (true, false)]);
    assert_eq!((code(&verify()), fs::read_to_string(record).unwrap().contains("dns-query")), (0, true));
}
