//! The rows of the confinement suite on pages: each probe with its layers, and each layer with its probes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::table::{self, GROUPS, Layer, Probe};

/// Everything up to and with this line is written by hand.
const MARK: &str = "<!-- probes: made from tests/confinement/probes/ by tests/docs.rs; do not edit below. -->\n";

fn layers(probe: &Probe) -> String {
    let mut names = probe.layers.iter().map(|layer| layer.name());
    let first = names.next().unwrap_or_default().to_owned();
    let rest: Vec<_> = names.collect();
    if rest.is_empty() { format!("{first} | –") } else { format!("{first} | {}", rest.join(", ")) }
}

fn shown(probe: &Probe) -> String {
    if let Some(why) = &probe.not_tried {
        return format!("not tried: {why}");
    }
    if !probe.held_by.is_empty() {
        let test = |test: &String| {
            let (file, name) = test.split_once(": ").unwrap();
            format!("{} in `{file}`", name.replace('_', " "))
        };
        return probe.held_by.iter().map(test).collect::<Vec<_>>().join("; ");
    }
    let met = probe.meets.as_deref().unwrap_or_default().replace('|', " or ");
    let record = probe.record.as_deref().unwrap_or_default().replace('|', " or ");
    let gap = probe.gap.as_ref().map_or(String::new(), |gap| format!("; **gap**: {gap}"));
    format!("meets {met}; record {record}{gap}")
}

/// The page's own words, and the tables after them.
fn page_of_probes(head: &str) -> String {
    let all = table::all();
    let rows = || all.iter().flat_map(|(_, rows)| rows);
    let count = |fits: &dyn Fn(&Probe) -> bool| rows().filter(|probe| fits(probe)).count();
    let mut text = head.to_owned();
    writeln!(
        text,
        "\n{} rows for the specification's 233 numbers and for units against each other: {} are run ({} with a control \
         outside, {} of them gaps), {} are held by other tests, {} are not tried.\n",
        count(&|_| true),
        count(&Probe::is_run),
        count(&|probe| probe.is_run() && !probe.control.as_deref().unwrap_or_default().starts_with("none: ")),
        count(&|probe| probe.is_run() && probe.gap.is_some()),
        count(&|probe| !probe.held_by.is_empty()),
        count(&|probe| probe.not_tried.is_some()),
    )
    .unwrap();
    for (file, rows) in &all {
        let group = GROUPS.iter().find(|(_, name, _)| name == file).map_or("UNIT", |(group, ..)| group);
        writeln!(
            text,
            "### {group}: {file}\n\n| probe | tries | first layer | behind it | what is shown |\n|---|---|---|---|---|"
        )
        .unwrap();
        for probe in rows {
            writeln!(text, "| {} | {} | {} | {} |", probe.id, probe.tries, layers(probe), shown(probe)).unwrap();
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

/// Which probes each layer carries, first of all and behind others.
fn page_of_layers(head: &str) -> String {
    let mut found: BTreeMap<Layer, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for probe in table::all().into_iter().flat_map(|(_, rows)| rows) {
        for (at, layer) in probe.layers.iter().enumerate() {
            let (first, behind) = found.entry(*layer).or_default();
            let list = if at == 0 { first } else { behind };
            let number = probe.number().to_owned();
            if !list.contains(&number) {
                list.push(number);
            }
        }
    }
    let mut text = format!("{head}\n| layer | carries | stands behind |\n|---|---|---|\n");
    for (layer, (first, behind)) in found {
        let list = |numbers: Vec<String>| if numbers.is_empty() { "–".to_owned() } else { numbers.join(", ") };
        writeln!(text, "| {} | {} | {} |", layer.name(), list(first), list(behind)).unwrap();
    }
    text
}

/// The text between two marks of a page, or up to its end, is what it should be.
fn part(name: &str, mark: &str, until: Option<&str>, wanted: impl Fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    let text = fs::read_to_string(&path).unwrap();
    let at = text.find(mark).unwrap_or_else(|| panic!("docs/{name} has no {mark:?}")) + mark.len();
    let end = until.map_or(text.len(), |until| at + text[at..].find(until).unwrap());
    crate::page(name, &(wanted(&text[..at]) + &text[end..]));
}

pub(crate) fn check() {
    part("confinement.md", MARK, None, page_of_probes);
    let mark = "<!-- layers: made from tests/confinement/probes/ by tests/docs.rs; do not edit this table. -->\n";
    part("threat-model.md", mark, Some("\n## "), page_of_layers);
}
