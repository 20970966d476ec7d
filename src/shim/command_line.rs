//! Reads rustc's command line as cargo writes it, and knows which files may come of it.
//!
//! cargo puts its own arguments before those of build scripts
//! (`cargo::rustc-link-arg`, `cargo::rustc-flags`), so the first occurrence of
//! each is cargo's. The environment is never asked: build scripts write to it.

use alloc::vec::Vec;

/// What cargo's arguments say about a run of rustc.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// `--crate-name`.
    pub crate_name: Vec<u8>,
    /// `-C extra-filename=`, with its hyphen; empty when there is none.
    pub extra: Vec<u8>,
    /// `--out-dir`.
    pub out_dir: Vec<u8>,
    /// The first `--crate-type`.
    pub crate_type: Vec<u8>,
    /// The first `--emit`.
    pub emit: Vec<u8>,
    /// The source file: the first argument that is neither an option nor an option's value.
    pub source: Vec<u8>,
}

impl CommandLine {
    /// Reads the arguments after the program's name. `None` for what names no `--out-dir`, as cargo's
    /// own questions do (see [`is_question`]).
    pub fn parse(args: &[Vec<u8>]) -> Option<Self> {
        let mut line = Self::default();
        let mut rest = args.iter();
        let keep = |field: &mut Vec<u8>, value: &[u8]| {
            if field.is_empty() {
                field.extend_from_slice(value);
            }
        };
        while let Some(arg) = rest.next() {
            match arg.as_slice() {
                b"--crate-name" => keep(&mut line.crate_name, rest.next()?),
                b"--out-dir" => keep(&mut line.out_dir, rest.next()?),
                b"--crate-type" => keep(&mut line.crate_type, rest.next()?),
                b"-C" => {
                    if let Some(value) = rest.next()?.strip_prefix(b"extra-filename=") {
                        keep(&mut line.extra, value);
                    }
                }
                b"--cfg"
                | b"--check-cfg"
                | b"--extern"
                | b"-L"
                | b"-l"
                | b"--cap-lints"
                | b"--target"
                | b"-A"
                | b"-W"
                | b"-D"
                | b"-F"
                | b"--allow"
                | b"--warn"
                | b"--deny"
                | b"--forbid"
                | b"-Z"
                | b"--remap-path-prefix" => {
                    rest.next()?;
                }
                b"-" => return None,
                value if !value.starts_with(b"-") => keep(&mut line.source, value),
                value => keep(&mut line.emit, value.strip_prefix(b"--emit=").unwrap_or_default()),
            }
        }
        (!line.out_dir.is_empty() && !line.crate_name.is_empty()).then_some(line)
    }

    /// True if this compiles a build script: cargo names their crates so.
    pub fn is_build_script(&self) -> bool {
        self.crate_type == b"bin" && self.crate_name.starts_with(b"build_script_")
    }

    /// The names of the files that cargo waits for. Of further crate types it waits for more; those it misses itself.
    pub fn outputs(&self) -> Vec<Vec<u8>> {
        let whole = |before: &[u8], after: &[u8]| [before, &self.crate_name, &self.extra, after].concat();
        let of = |emitted: &[u8]| {
            Some(match (emitted, self.crate_type.as_slice()) {
                (b"dep-info", _) => whole(b"", b".d"),
                (b"metadata", _) => whole(b"lib", b".rmeta"),
                (b"link", b"lib" | b"rlib") => whole(b"lib", b".rlib"),
                (b"link", b"proc-macro" | b"dylib" | b"cdylib") => whole(b"lib", b".so"),
                (b"link", b"staticlib") => whole(b"lib", b".a"),
                (b"link", b"bin") => whole(b"", b""),
                _ => return None,
            })
        };
        self.emit.split(|byte| *byte == b',').filter_map(of).collect()
    }

    /// True if a file of this name in the output folder is one that cargo asked for:
    /// `{,lib}NAME EXTRA`, then nothing or a suffix. Anything else was planted.
    pub fn owns_output(&self, file_name: &[u8]) -> bool {
        let owned = |name: &[u8]| {
            name.strip_prefix(self.crate_name.as_slice())
                .and_then(|rest| rest.strip_prefix(self.extra.as_slice()))
                .is_some_and(|suffix| suffix.is_empty() || suffix.starts_with(b"."))
        };
        owned(file_name) || file_name.strip_prefix(b"lib").is_some_and(owned)
    }
}

/// True for the questions that cargo itself asks of a compiler, by their whole shape. Nothing else may
/// run without a unit: cargo replaces a command line that is too long by `@FILE`, and a build script
/// can make it so long.
pub fn is_question(args: &[Vec<u8>]) -> bool {
    let begins = |with: &[&[u8]]| args.len() >= with.len() && args.iter().zip(with).all(|(arg, word)| arg == word);
    (args.len() == 1 && begins(&[b"-vV"])) || begins(&[b"-", b"--crate-name", b"___"])
}

/// `text` with every `from` replaced by `to`.
pub fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(from).filter(|_| !from.is_empty()) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<Vec<u8>> {
        text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_compile_of_cargos_is_understood() {
        let line = CommandLine::parse(&args(
            "--crate-name att --edition=2021 /src/att-1.0.0/src/lib.rs --error-format=json --crate-type lib \
             --emit=dep-info,metadata -C metadata=1 -C extra-filename=-abc --out-dir /t/deps -L dependency=/t/deps",
        ))
        .unwrap();
        assert_eq!(line.crate_name, b"att");
        assert_eq!(line.extra, b"-abc");
        assert_eq!(line.out_dir, b"/t/deps");
        assert_eq!(line.source, b"/src/att-1.0.0/src/lib.rs");
        assert_eq!(line.outputs(), [b"att-abc.d".to_vec(), b"libatt-abc.rmeta".to_vec()]);
        assert!(!line.is_build_script());
    }

    #[test]
    fn the_first_occurrence_counts_because_it_is_cargos() {
        let line = CommandLine::parse(&args(
            "--crate-name att s.rs --out-dir /t -C extra-filename=-abc -C extra-filename=-evil --crate-name serde --out-dir /u",
        ))
        .unwrap();
        assert_eq!((line.crate_name, line.extra, line.out_dir), (b"att".to_vec(), b"-abc".to_vec(), b"/t".to_vec()));
    }

    #[test]
    fn cargos_questions_are_no_units() {
        for question in ["-vV", "- --crate-name ___ --print=file-names --crate-type bin"] {
            assert_eq!(CommandLine::parse(&args(question)), None, "{question}");
            assert!(is_question(&args(question)), "{question}");
        }
    }

    #[test]
    fn only_cargos_own_questions_run_without_a_unit() {
        for other in
            ["@/tmp/cargo-argfile.x", "--print cfg", "-vV @/x", "- --crate-name att", "--crate-name ___ -", "-", ""]
        {
            assert!(!is_question(&args(other)), "{other}");
        }
        assert!(!is_question(&[]));
    }

    #[test]
    fn what_cargo_waits_for_depends_on_the_crate_type() {
        for (kind, last) in
            [("lib", "liba-1.rlib"), ("proc-macro", "liba-1.so"), ("bin", "a-1"), ("staticlib", "liba-1.a")]
        {
            let text = format!(
                "--crate-name a a.rs --crate-type {kind} --emit=dep-info,link -C extra-filename=-1 --out-dir /t"
            );
            let line = CommandLine::parse(&args(&text)).unwrap();
            assert_eq!(line.outputs(), [b"a-1.d".to_vec(), last.as_bytes().to_vec()]);
            assert!(line.outputs().iter().all(|name| line.owns_output(name)));
        }
    }

    #[test]
    fn only_asked_for_output_names_are_owned() {
        let line = CommandLine { crate_name: b"att".to_vec(), extra: b"-abc".to_vec(), ..CommandLine::default() };
        for owned in ["libatt-abc.rmeta", "att-abc.d", "att-abc", "libatt-abc.so", "att-abc.att.1-cgu.0.rcgu.o"] {
            assert!(line.owns_output(owned.as_bytes()), "{owned}");
        }
        for planted in
            ["librustc_driver-0f.so", "libserde-1.rmeta", "att-abcd.d", "libatt.so", "att", "liblibatt-abc.so"]
        {
            assert!(!line.owns_output(planted.as_bytes()), "{planted}");
        }
    }

    #[test]
    fn replacing_leaves_the_rest_alone() {
        assert_eq!(replace(b"a /t/.p-x/l.rmeta /t/.p-x", b"/t/.p-x", b"/t"), b"a /t/l.rmeta /t");
        assert_eq!(replace(b"abc", b"", b"z"), b"abc");
    }
}
