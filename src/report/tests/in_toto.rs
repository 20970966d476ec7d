//! The shape of a statement, as the specifications of Statement and runtime trace have it.

use super::*;
use crate::evidence::line::{Object, PathObject, TargetKind};
use crate::evidence::testing::lock;

/// Required fields and types of both specifications.
fn shape() -> jsonschema::Validator {
    let descriptor = serde_json::json!({
        "type": "object",
        "anyOf": [{ "required": ["digest"] }, { "required": ["uri"] }, { "required": ["content"] }],
        "properties": {
            "name": { "type": "string" },
            "digest": { "type": "object", "minProperties": 1, "propertyNames": { "const": "sha256" },
                        "additionalProperties": { "type": "string", "pattern": "^[0-9a-f]{64}$" } },
        },
    });
    let mut subject = descriptor.clone();
    subject["required"] = serde_json::json!(["name", "digest"]);
    jsonschema::draft202012::new(&serde_json::json!({
        "type": "object",
        "required": ["_type", "subject", "predicateType", "predicate"],
        "additionalProperties": false,
        "properties": {
            "_type": { "const": "https://in-toto.io/Statement/v1" },
            "subject": { "type": "array", "minItems": 1, "items": subject },
            "predicateType": { "const": "https://in-toto.io/attestation/runtime-trace/v0.1" },
            "predicate": {
                "type": "object",
                "required": ["monitor", "monitoredProcess", "monitorLog"],
                "properties": {
                    "monitor": {
                        "type": "object",
                        "required": ["type"],
                        "additionalProperties": false,
                        "properties": {
                            "type": { "type": "string", "pattern": "^[a-z]+:" },
                            "configSource": descriptor,
                            "tracePolicy": { "type": "object" },
                        },
                    },
                    "monitoredProcess": {
                        "type": "object",
                        "required": ["hostID", "type", "event"],
                        "additionalProperties": false,
                        "properties": {
                            "hostID": { "type": "string", "pattern": "^[a-z]+:" },
                            "type": { "type": "string", "pattern": "^[a-z]+:" },
                            "event": { "type": "string", "minLength": 1 },
                        },
                    },
                    "monitorLog": {
                        "type": "object",
                        "anyOf": [{ "required": ["process"] }, { "required": ["network"] }, { "required": ["fileAccess"] }],
                        "properties": {
                            "process": { "type": "array", "minItems": 1, "items": { "type": "object" } },
                            "network": { "type": "array", "items": { "type": "object", "anyOf": [
                                { "required": ["ip"] }, { "required": ["hostname"] },
                            ] } },
                            "fileAccess": { "type": "array", "items": { "allOf": [descriptor, { "required": ["name", "uri"] }] } },
                            "sandboxCheckEvidence": { "type": "array", "minItems": 1, "items": descriptor },
                        },
                    },
                    "metadata": {
                        "type": "object",
                        "properties": { "buildStartedOn": { "type": "string", "pattern": "^[0-9-]{10}T[0-9:]{8}Z$" } },
                    },
                },
            },
        },
    }))
    .unwrap()
}

fn program() -> Sha256Digest {
    Sha256Digest([9; 32])
}

/// As it is when it was read from a file.
fn read(builder: LogBuilder) -> EvidenceLog {
    EvidenceLog::read(text_of(&builder.lines()).as_bytes(), None).unwrap()
}

fn statement(log: &EvidenceLog) -> serde_json::Value {
    let mut out = Vec::new();
    in_toto(&report(log), program(), &mut out).unwrap();
    assert!(out.iter().all(|byte| *byte == b'\n' || *byte >= b' '));
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_statement_binds_the_trace_to_the_archive_the_policy_the_program_and_the_evidence() {
    let log = read(LogBuilder::new().build_script("u", |u| u.dns("a\u{1b}.invalid").connect("192.0.2.1", 80)));
    let value = statement(&log);
    let errors: Vec<_> = shape().iter_errors(&value).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let checksum = log.header.packages[0].checksum.unwrap().hex();
    assert_eq!(
        value["subject"],
        serde_json::json!([{ "name": "pkg:cargo/subject@1.0.0", "digest": { "sha256": checksum } }])
    );
    let predicate = &value["predicate"];
    assert_eq!(predicate["monitor"]["configSource"]["digest"]["sha256"], Policy::shipped().record().sha256.hex());
    assert_eq!(predicate["monitor"]["tracePolicy"]["program"]["digest"]["sha256"], program().hex());
    let evidence = log.sha256.unwrap();
    assert_eq!(predicate["monitorLog"]["sandboxCheckEvidence"][0]["digest"]["sha256"], evidence.hex());
    assert_eq!(predicate["monitoredProcess"]["event"], evidence.to_string());
    let network = predicate["monitorLog"]["network"].to_string();
    assert!(network.contains("192.0.2.1") && network.contains(".invalid"), "{network}");
    assert_eq!(predicate["sandboxCheckResult"][0]["verdict"], "review");
}

#[test]
fn files_that_were_tried_stand_in_it_with_the_digests_that_are_known() {
    let key = format!("{HOME}/.ssh/id_ed25519");
    let mut raw = format!("{OUT}/a b\n").into_bytes();
    raw.push(0xff);
    let log = read(LogBuilder::new().build_script("u", |u| {
        u.open(key.as_str())
            .denied(13)
            .write(crate::evidence::Bytes(raw.clone()))
            .run(&["/tmp/x"])
            .captured(Captured::Program, "/tmp/x", b"\x7fELF")
            .run(&["/bin/sh", "/tmp/y"])
            .captured(Captured::Script, "/tmp/y", b"id")
            .remove("/tmp/x")
    }));
    let value = statement(&log);
    let errors: Vec<_> = shape().iter_errors(&value).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let trace = &value["predicate"]["monitorLog"];
    let sha256 = |bytes: &[u8]| {
        use sha2::Digest as _;
        serde_json::Value::from(Sha256Digest(sha2::Sha256::digest(bytes).into()).hex())
    };
    let none = serde_json::Value::Null;
    let told: Vec<_> = trace["fileAccess"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            let about = &file["annotations"];
            (
                file["uri"].as_str().unwrap(),
                about["access"].as_str().unwrap(),
                about["outcome"].as_str().unwrap(),
                file["digest"]["sha256"].clone(),
            )
        })
        .collect();
    let uri = |path: &str| format!("file://{path}");
    let (key, raw) = (uri(&key), uri(&format!("{OUT}/a%20b%0A%FF")));
    assert_eq!(
        told,
        [
            (key.as_str(), "read", "denied", none.clone()),
            (&raw, "write", "allowed", none.clone()),
            ("file:///tmp/x", "run", "allowed", sha256(b"\x7fELF")),
            ("file:///bin/sh", "run", "allowed", none.clone()),
            ("file:///tmp/y", "run", "allowed", sha256(b"id")),
            ("file:///tmp/x", "remove", "allowed", none.clone()),
        ]
    );
    assert_eq!(trace["fileAccess"][0]["annotations"]["package"], "pkg:cargo/subject@1.0.0");
    assert_eq!(trace["sandboxCheckFileAccess"][0]["listed"], 6);
    assert_eq!(trace["sandboxCheckFileAccess"][0]["leftOut"], 0);
}

#[test]
fn a_list_of_files_is_bounded_says_so_and_keeps_what_findings_are_about() {
    let key = format!("{HOME}/.ssh/id_ed25519");
    let log =
        read(LogBuilder::new().build_script("u", |u| {
            (0..2_100).fold(u, |u, at| u.open(format!("/dull/{at}").as_str())).open(key.as_str())
        }));
    let trace = statement(&log)["predicate"]["monitorLog"].clone();
    let told = trace["fileAccess"].as_array().unwrap();
    assert_eq!((told.len(), &trace["sandboxCheckFileAccess"][0]["leftOut"]), (2_000, &101.into()));
    assert_eq!((&told[0]["name"], &told[1_999]["name"]), (&"/dull/0".into(), &key.into()));
    // A path that is not whole has no place.
    let relative = read(LogBuilder::new().build_script("u", |u| {
        u.open("x").with(|attempt| {
            attempt.object = Object::Path(PathObject { path: "x".into(), ..PathObject::default() });
        })
    }));
    let extent = statement(&relative)["predicate"]["monitorLog"]["sandboxCheckFileAccess"][0].clone();
    assert_eq!((&extent["listed"], &extent["leftOut"]), (&0.into(), &1.into()));
}

#[test]
fn the_shape_refuses_what_is_no_statement() {
    let good = statement(&read(LogBuilder::new().build_script("u", |u| u.open("/x"))));
    assert!(shape().is_valid(&good));
    let spoil: [fn(&mut serde_json::Value); 7] = [
        |v| v["subject"] = serde_json::json!([]),
        |v| v["subject"][0]["digest"]["sha256"] = "x".into(),
        |v| v["predicateType"] = "https://in-toto.io/attestation/runtime-trace".into(),
        |v| drop(v["predicate"].as_object_mut().unwrap().remove("monitorLog")),
        |v| v["predicate"]["monitoredProcess"]["event"] = "".into(),
        |v| v["predicate"]["monitorLog"]["sandboxCheckEvidence"][0]["digest"] = serde_json::Value::Null,
        |v| drop(v["predicate"]["monitorLog"]["fileAccess"][0].as_object_mut().unwrap().remove("uri")),
    ];
    for change in spoil {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(!shape().is_valid(&bad), "{bad}");
    }
}

#[test]
fn of_a_lock_file_each_archive_that_ran_is_a_subject() {
    let record = lock(&[("subject@1.0.0", &[]), ("dependency@2.0.0", &[])]);
    let log = |runs: bool| {
        let builder = LogBuilder::new().dependency("dependency", true).header(|header| {
            header.target.kind = TargetKind::Lock;
            header.lock = Some(Box::new(record.clone()));
        });
        let builder = builder.build_script("u", |u| u);
        let id = crate::ids::PackageId::new("dependency", "2.0.0");
        read(if runs {
            builder.unit(UnitKind::RunBuildScript, Some(id), SCRIPT, vec!["/o".into()], |u| u)
        } else {
            builder
        })
    };
    let names = |log: &EvidenceLog| -> Vec<String> {
        let value = statement(log);
        value["subject"]
            .as_array()
            .unwrap()
            .iter()
            .map(|subject| subject["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&log(true)), ["pkg:cargo/subject@1.0.0", "pkg:cargo/dependency@2.0.0"]);
    assert_eq!(names(&log(false)), ["pkg:cargo/subject@1.0.0"]);
}

#[test]
fn without_an_archive_there_is_no_statement() {
    let folder = LogBuilder::new().header(|header| {
        header.packages[0].source = PackageSource::Directory;
        header.packages[0].checksum = None;
        header.target.checksum = None;
    });
    let report = report(&read(folder.build_script("u", |u| u)));
    assert_eq!(report.subjects(), Err(NoSubject));
    in_toto(&report, program(), &mut Vec::new()).unwrap_err();
    // Nor for one of which nothing ran.
    assert_eq!(super::report(&refused()).subjects(), Err(NoSubject));
}
