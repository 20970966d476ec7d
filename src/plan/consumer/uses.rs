//! Programs that load macro libraries and use macros.

use super::MacroUse;
use crate::evidence::line::{MacroKind, MacroName};

/// How many macros get a program of their own; each costs a run of rustc.
const OWN_PROGRAMS: usize = 16;

/// A program that only loads libraries: constructors run, no macro does.
pub(super) fn worker(crate_names: &[&str]) -> String {
    let loads: Vec<_> = crate_names.iter().map(|name| format!("extern crate {name} as _;\n")).collect();
    format!("//! The background worker.\n\n{}\nfn main() {{\n    println!(\"worker is idle\");\n}}\n", loads.concat())
}

/// A program for each of the first macros and one for the rest of them.
pub(super) fn jobs(crate_name: Option<&str>, macros: &[MacroName]) -> Vec<(MacroUse, String)> {
    let Some(crate_name) = crate_name else { return Vec::new() };
    let (own, rest) = macros.split_at(macros.len().min(OWN_PROGRAMS));
    let mut jobs: Vec<_> = own
        .iter()
        .enumerate()
        .map(|(number, found)| job(format!("job_{:02}", number + 1), crate_name, std::slice::from_ref(found)))
        .collect();
    if !rest.is_empty() {
        jobs.push(job("jobs_rest".to_owned(), crate_name, rest));
    }
    jobs
}

fn job(target: String, crate_name: &str, macros: &[MacroName]) -> (MacroUse, String) {
    let uses: Vec<_> = macros.iter().enumerate().map(|(number, found)| module(number, crate_name, found)).collect();
    let text = format!("//! A job of the service.\n#![allow(dead_code)]\n\n{}fn main() {{}}\n", uses.concat());
    (MacroUse { target, macros: macros.to_vec() }, text)
}

/// One use, in a module of its own, so that what it defines meets nothing else.
fn module(number: usize, crate_name: &str, found: &MacroName) -> String {
    let path = format!("::{crate_name}::{}", found.name);
    let body = match found.kind {
        MacroKind::Derive => format!(
            "    #[derive({path})]\n    pub struct OrderLine {{\n        pub quantity: u32,\n    }}\n    #[derive({path})]\n    \
             pub struct Customer {{\n        pub email: String,\n        pub password: String,\n    }}\n    \
             #[derive({path})]\n    pub enum State {{\n        Open = 1,\n        Paid = 2,\n    }}\n"
        ),
        MacroKind::Attribute => format!(
            "    #[{path}]\n    pub fn settle(order: u64) -> u64 {{\n        order\n    }}\n    #[{path}]\n    async fn \
             main() {{}}\n    #[{path}]\n    pub struct Customer {{\n        pub email: String,\n        pub password: \
             String,\n    }}\n"
        ),
        // Once without input where items stand, with `()` and with a text where statements stand.
        MacroKind::Function => format!(
            "    {path}! {{}}\n    pub fn settle() {{\n        {path}!(());\n        {path}!(\"SELECT id FROM orders\");\n    \
             }}\n"
        ),
    };
    format!("mod part_{number} {{\n{body}}}\n\n")
}
