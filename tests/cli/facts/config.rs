//! Where advisories come from, out of the configuration file, and who may say so.

use super::*;

/// The user's own configuration.
fn configure(home: &Home, text: &str) {
    let folder = home.path().join(".config/sandbox-check");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), text).unwrap();
}

fn advisories(home: &Home, registry: &Registry, args: &[&str]) -> (i32, Vec<String>, Value) {
    let output = command(home, registry, args).output().unwrap();
    let report = json(&output);
    (code(&output), findings(&report), source(&report, "advisories").clone())
}

#[test]
fn a_database_and_its_age_may_stand_in_the_users_configuration_and_what_was_typed_wins() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.publish(&release("evilcheck", "0.1.0", 900));
    let asked = ["facts", "evilcheck", "--format=json"];
    let (code, found, said) = advisories(&home, &registry, &asked);
    assert_eq!((code, found), (5, Vec::new()), "without one, nobody knows: {said}");
    configure(&home, &format!("advisory-db = [\"{DATABASE}\"]\nmax-db-age = 1\n"));
    let (code, found, said) = advisories(&home, &registry, &asked);
    assert_eq!((code, found), (10, vec!["known-malicious critical".into()]), "{said}");
    assert!(said["detail"].as_str().unwrap().contains("--max-db-age allows 1 day"), "{said}");
    let (_, _, said) = advisories(&home, &registry, &[&asked[..], &["--max-db-age=36500"]].concat());
    assert_eq!(said["status"], "checked", "{said}");
    // A check and a lock file ask the same; the report names the file.
    let output = command(&home, &registry, &["evilcheck", "--format=json"]).output().unwrap();
    assert!(findings(&json(&output)).contains(&"known-malicious critical".to_owned()), "{}", stdout(&output));
    for output in [output, command(&home, &registry, &asked).output().unwrap()] {
        assert!(json(&output)["given"].to_string().contains("config.toml"), "{}", stdout(&output));
    }
    // A database in the file that is none is as wrong as one that was typed.
    configure(&home, "advisory-db = [\"absent\"]\n");
    let output = command(&home, &registry, &asked).output().unwrap();
    assert!(self::code(&output) == 2 && stdout(&output).contains("absent"), "{}", stdout(&output));
}

#[test]
fn the_address_of_the_database_may_stand_in_the_file_of_config() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.publish(&release("evilcheck", "0.1.0", 900));
    registry.put("/db.tar.gz", anew::packed(Path::new(DATABASE)));
    let file = home.path().join("ours.toml");
    fs::write(&file, format!("advisory-url = \"{}/db.tar.gz\"\n", registry.url())).unwrap();
    let args = ["facts", "evilcheck", "--format=json", "--config", file.to_str().unwrap()];
    let (code, found, said) = advisories(&home, &registry, &args);
    assert_eq!((code, found), (10, vec!["known-malicious critical".into()]), "{said}");
}

/// Who proposes a change to a workspace must not choose what is known of the packages that the change brings.
#[test]
fn a_workspace_cannot_choose_where_advisories_come_from() {
    let (home, registry) = (Home::new(), Registry::start());
    let evil = release("evilcheck", "0.1.0", 900);
    registry.publish(&evil);
    let path = lock::lock(&home, &[("evilcheck", "0.1.0", Some(&evil))]);
    let path = path.to_str().unwrap();
    configure(&home, &format!("advisory-db = [\"{DATABASE}\"]\n"));
    let facts = ["facts", path, "--format=json"];
    assert_eq!(advisories(&home, &registry, &facts).1, ["known-malicious critical"]);
    let empty = home.path().join("empty");
    fs::create_dir_all(empty.join("crates")).unwrap();
    for line in [
        format!("advisory-db = [\"{}\"]\n", empty.display()),
        "advisory-url = \"http://127.0.0.1:1/\"\n".to_owned(),
        "max-db-age = 36500\n".to_owned(),
    ] {
        fs::write(home.path().join("sandbox-check.toml"), &line).unwrap();
        for args in [&facts[..], &["lock", path, "--format=json"], &["evilcheck", "--format=json"]] {
            let output = command(&home, &registry, args).output().unwrap();
            assert_eq!(code(&output), 2, "{args:?} {}", stdout(&output));
            assert!(stdout(&output).contains("sandbox-check.toml:1: settings stand in"), "{}", stdout(&output));
        }
        // The file of a folder that is examined is not even read.
        let package = home.path().join("package");
        fs::create_dir_all(package.join("src")).unwrap();
        fs::write(package.join("Cargo.toml"), "[package]\nname = \"evilcheck\"\nversion = \"0.1.0\"\n").unwrap();
        fs::write(package.join("src/lib.rs"), "").unwrap();
        fs::rename(home.path().join("sandbox-check.toml"), package.join("sandbox-check.toml")).unwrap();
        fs::copy(home.path().join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
        let lock = package.join("Cargo.lock");
        let args = ["facts", lock.to_str().unwrap(), "--format=json"];
        assert_eq!(advisories(&home, &registry, &args).1, ["known-malicious critical"], "{line}");
    }
}
