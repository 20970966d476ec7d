//! `explain`: what a finding code means.

use std::io::{self, Write};

use super::human::wrap;
use crate::judge::codes::{self, Code};

/// Why a code cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("find the code {name:?}")]
pub struct ExplainError {
    name: String,
    /// The code that was probably meant.
    pub nearest: Option<&'static str>,
}

/// The text about one code.
pub fn explain(name: &str, width: usize) -> Result<String, ExplainError> {
    match codes::find(name) {
        Some(code) => Ok(page(code, width)),
        None => Err(ExplainError { name: name.to_owned(), nearest: nearest(name) }),
    }
}

/// All codes, one line each.
pub fn explain_all(width: usize, writer: &mut impl Write) -> io::Result<()> {
    let longest = codes::ALL.iter().map(|code| code.name.len()).max().unwrap_or(0);
    for code in codes::ALL {
        let first = code.meaning.split_inclusive(". ").next().unwrap_or(code.meaning).trim_end();
        let text = wrap(&format!("{:longest$}  {first}", code.name), width, longest + 2);
        writeln!(writer, "{text}")?;
    }
    writeln!(writer, "\nsandbox-check explain CODE tells more about one of them.")
}

fn page(code: &Code, width: usize) -> String {
    let part = |title: &str, text: &str| {
        format!("{title}\n  {}\n", wrap(text, width.saturating_sub(2), 0).replace('\n', "\n  "))
    };
    [
        format!("{}\n", code.name),
        part("Severity", code.severity),
        part("ATT&CK", &code.attack.join(", ")),
        part("What it means", code.meaning),
        part("Honest causes", code.honest),
        part("What to do", code.action),
    ]
    .join("\n")
}

/// A code that the word is a part of; else the one with the fewest other letters, if these are few for its length.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace('_', "-");
    let names = codes::ALL.iter().map(|code| code.name);
    let whole = names.clone().find(|code| !name.is_empty() && code.contains(&name));
    let distances = names.map(|code| (strsim::damerau_levenshtein(&name, code), code));
    let likest = distances.min().filter(|(distance, code)| distance * 3 <= code.len());
    whole.or(likest.map(|(_, code)| code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_fits_the_terminal() {
        for code in codes::ALL {
            let text = explain(code.name, 80).unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            assert!(text.contains("Honest causes") && text.starts_with(code.name));
        }
    }

    #[test]
    fn a_mistyped_code_leads_to_the_nearest_one() {
        assert_eq!(explain("dns_querry", 80).unwrap_err().nearest, Some("dns-query"));
        assert_eq!(explain("dns", 80).unwrap_err().nearest, Some("dns-query"));
        assert_eq!(explain("complete nonsense here", 80).unwrap_err().nearest, None);
        assert_eq!(explain("xyz", 80).unwrap_err().nearest, None);
    }

    #[test]
    fn the_list_names_every_code() {
        let mut text = Vec::new();
        explain_all(80, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for code in codes::ALL {
            assert!(text.lines().any(|line| line.starts_with(code.name)), "{}", code.name);
        }
    }
}
