//! The request for one expansion, as a compiler of the consumer's would be seen to make it.

use std::path::Path;

use serde_json::{Value, json};

use super::shapes::Shape;

/// What cargo sets for the rustc of a program of the consumer's. Values that a manifest may leave out are empty, as the
/// consumer's are.
const VARIABLES: [(&str, &str); 15] = [
    ("CARGO_PRIMARY_PACKAGE", "1"),
    ("CARGO_PKG_VERSION", "0.1.0"),
    ("CARGO_PKG_VERSION_MAJOR", "0"),
    ("CARGO_PKG_VERSION_MINOR", "1"),
    ("CARGO_PKG_VERSION_PATCH", "0"),
    ("CARGO_PKG_VERSION_PRE", ""),
    ("CARGO_PKG_AUTHORS", ""),
    ("CARGO_PKG_DESCRIPTION", ""),
    ("CARGO_PKG_HOMEPAGE", ""),
    ("CARGO_PKG_REPOSITORY", ""),
    ("CARGO_PKG_LICENSE", ""),
    ("CARGO_PKG_LICENSE_FILE", ""),
    ("CARGO_PKG_RUST_VERSION", ""),
    ("CARGO_PKG_README", "README.md"),
    ("CARGO_BIN_NAME", "job_01"),
];

pub(super) fn expansion(library: &str, consumer: &str, name: &str, shape: &Shape) -> Value {
    let none = json!({"def_site": 0, "call_site": 0, "mixed_site": 0});
    json!({"ExpandMacro": {
        "lib": library,
        "env": variables(consumer),
        "current_dir": consumer,
        "macro_body": shape.body,
        "macro_name": name,
        "attributes": shape.arguments,
        "has_global_spans": none,
        "span_data_table": [],
    }})
}

fn variables(consumer: &str) -> Vec<(&str, String)> {
    let package = Path::new(consumer).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let of_place = [
        ("CARGO_MANIFEST_DIR", consumer.to_owned()),
        ("CARGO_MANIFEST_PATH", format!("{consumer}/Cargo.toml")),
        ("CARGO_CRATE_NAME", "job_01".to_owned()),
        ("CARGO_PKG_NAME", package),
    ];
    of_place.into_iter().chain(VARIABLES.map(|(name, value)| (name, value.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_macro_sees_the_package_that_uses_it() {
        let variables = super::variables("/workspace/orders-service");
        let of = |wanted: &str| variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        assert_eq!(of("CARGO_PKG_NAME"), Some("orders-service"));
        assert_eq!(of("CARGO_MANIFEST_PATH"), Some("/workspace/orders-service/Cargo.toml"));
        let mut names: Vec<_> = variables.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), variables.len(), "a name twice");
    }
}
