//! Within rustc: whose an attempt is, where a stack told.

use serde_json::{Value, json};

use super::context::Tried;
use crate::evidence::line::{Attempt, Library, UnitKind, Via};
use crate::ids::PackageId;

/// The package whose code tried it: that of the macro library if one is known, else the unit's.
pub(super) fn package_of(tried: &Tried<'_>) -> Option<PackageId> {
    match &tried.attempt.library {
        Some(Library::Macro { package: Some(package), .. }) if runs_macros(tried) => Some(package.clone()),
        _ => tried.unit.package.clone(),
    }
}

fn runs_macros(tried: &Tried<'_>) -> bool {
    !matches!(tried.unit.kind(), UnitKind::RunBuildScript | UnitKind::SelfTest)
}

/// Who it was, in a sentence about the package of [`package_of`]; none if nobody looked at a stack.
pub(super) fn actor(attempt: &Attempt) -> Option<&'static str> {
    Some(match attempt.library.as_ref()? {
        Library::Macro { .. } => "a macro of it",
        Library::Compiler => "rustc",
        Library::Unknown { .. } => "rustc, or a macro inside it,",
    })
}

/// How that is known, to stand behind a sentence.
pub(super) fn words(attempt: &Attempt) -> Option<String> {
    let whose = match attempt.via {
        Via::Called => "the stack, below code that was loaded",
        Via::Creator => "the stack of who made the thread",
        Via::Lineage => "the stack of who started the program",
        Via::Unit | Via::Unwind | Via::Driver => "the stack",
    };
    Some(match attempt.library.as_ref()? {
        Library::Macro { symbol: Some(symbol), .. } => format!("known by {whose}, in {symbol}"),
        Library::Macro { .. } => format!("known by {whose}"),
        Library::Compiler => format!("by {whose}, no macro did it itself"),
        Library::Unknown { why } => format!("which macro: unknown, {why}"),
    })
}

/// The same for programs.
pub(super) fn object(attempt: &Attempt) -> Option<Value> {
    let library = attempt.library.as_ref()?;
    let mut object = json!(library);
    if let Value::Object(fields) = &mut object
        && !matches!(library, Library::Unknown { .. })
    {
        fields.insert("via".to_owned(), json!(attempt.via));
    }
    Some(object)
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{Library, UnitKind, Via};
    use crate::evidence::testing::LogBuilder;
    use crate::ids::PackageId;
    use crate::judge::judge;
    use crate::policy::Policy;

    /// Package, severity and summary of each finding about a key that was opened in the consumer's rustc.
    fn told(via: Via, library: Option<Library>) -> Vec<(String, String)> {
        let log =
            LogBuilder::new().proc_macro(&["A"]).dependency("macros", false).rustc(UnitKind::CompileConsumer, |u| {
                u.open("/home/dev/.ssh/id_ed25519").with(|attempt| {
                    attempt.via = via;
                    attempt.library = library;
                })
            });
        let judgement = judge(&log.log(), &Policy::shipped());
        let of = |package: &crate::judge::JudgedPackage| {
            let name = package.id.to_string();
            package.findings.iter().map(move |finding| (name.clone(), finding.summary.clone())).collect::<Vec<_>>()
        };
        judgement.packages.iter().flat_map(of).collect()
    }

    fn library(symbol: Option<&str>) -> Library {
        let package = Some(PackageId::new("macros", "2.0.0"));
        Library::Macro { package, file: "libmacros-1.so".to_owned(), symbol: symbol.map(Into::into) }
    }

    #[test]
    fn what_a_stack_told_is_the_librarys_package_and_is_said_to_be_by_the_stack() {
        for (via, symbol, words) in [
            (Via::Unwind, None, "(known by the stack)"),
            (Via::Unwind, Some("helper::send"), "(known by the stack, in helper::send)"),
            (Via::Called, None, "(known by the stack, below code that was loaded)"),
            (Via::Creator, None, "(known by the stack of who made the thread)"),
            (Via::Lineage, None, "(known by the stack of who started the program)"),
        ] {
            let told = told(via, Some(library(symbol)));
            let [(package, summary)] = told.as_slice() else { panic!("{told:?}") };
            assert_eq!(package, "macros@2.0.0");
            assert!(summary.starts_with("a macro of it ") && summary.ends_with(words), "{summary}");
        }
    }

    #[test]
    fn what_no_stack_told_stays_with_the_package_that_was_compiled() {
        let unknown = Some(Library::Unknown { why: "it took too long".to_owned() });
        for (library, words) in [
            (None, ""),
            (Some(Library::Compiler), "(by the stack, no macro did it itself)"),
            (unknown, "(which macro: unknown, it took too long)"),
        ] {
            let told = told(Via::Unit, library);
            let [(package, summary)] = told.as_slice() else { panic!("{told:?}") };
            assert_eq!(package, "subject@1.0.0");
            assert!(summary.ends_with(words), "{summary}");
        }
    }
}
