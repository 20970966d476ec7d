//! The whole story: one file for each command, one line for each stage.

mod base;
mod baseline;
mod cache;
mod check;
mod doctor;
mod facts;
mod ignore;
mod inputs;
mod keep;
mod known;
mod lock;
mod refused;
mod replay;
mod tell;
mod written;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use crate::cli::{Cli, Command, Format, IgnoreCommand};
use crate::evidence::Bytes;
use crate::exit::ExitCode;
use crate::report;
use crate::sandbox::launch::launch;
use tell::{Teller, fail, printed};

/// Runs the program with the arguments of the process.
pub fn main() -> std::process::ExitCode {
    // Evidence and reports that cannot be written are errors that are told, not a silent end.
    let _ = crate::sys::process::meet_file_size_limit_as_error();
    crate::sys::memory::give_back_soon();
    let mut args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|arg| arg == "__launch") {
        let spec = args.get(2).map(PathBuf::from).unwrap_or_default();
        return u8::try_from(launch(&spec)).unwrap_or(1).into();
    }
    // As `cargo sandbox-check`, cargo passes the command's own name first.
    if args
        .first()
        .is_some_and(|program| Path::new(program).file_name().is_some_and(|name| name == "cargo-sandbox-check"))
        && args.get(1).is_some_and(|arg| arg == "sandbox-check")
    {
        args.remove(1);
    }
    match Cli::try_parse_from(&args) {
        Ok(cli) => carry_out(cli),
        Err(error) => usage(&error, &args),
    }
    .into()
}

/// Runs the command.
fn carry_out(cli: Cli) -> ExitCode {
    let Some(command) = cli.command else { return check::run(&cli.check) };
    match command {
        Command::Lock(args) => lock::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Facts(args) => facts::run(&args),
        Command::Cache(args) => cache::run(&args),
        Command::Ignore { command: IgnoreCommand::Add(args) } => ignore::add_ignores(&args),
        Command::Accept(args) => ignore::accept(&args),
        Command::Completions { shell } => print_made(|command, out| {
            clap_complete::generate(shell, command, "sandbox-check", out);
            Ok(())
        }),
        Command::Man => print_made(|command, out| clap_mangen::Man::new(command.clone()).render(out)),
        Command::Explain { code } => explain(code.as_deref()),
    }
}

/// True if the arguments, which may be wrong otherwise, ask for JSON.
fn want_json(args: &[OsString]) -> bool {
    let has_two =
        args.windows(2).any(|pair| matches!(pair, [option, value] if option == "--format" && value == "json"));
    has_two || args.iter().any(|arg| arg == "--format=json")
}

fn usage(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let wants_json = want_json(args);
    if error.kind() == ErrorKind::InvalidUtf8
        && let Some(arg) = args.iter().find(|arg| arg.to_str().is_none())
    {
        let message = format!("an argument is not UTF-8: {}", Bytes::from(arg.as_bytes()));
        let hint = "give a copy of the file or folder with another name".to_owned();
        let format = if wants_json { Format::Json } else { Format::Human };
        return fail(&Teller::plain(format), ExitCode::Usage, message, Some(hint));
    }
    if wants_json && !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        return fail(
            &Teller::plain(Format::Json),
            ExitCode::Usage,
            message,
            Some("see sandbox-check --help".to_owned()),
        );
    }
    let printed = error.print();
    if error.use_stderr() { ExitCode::Usage } else { said(printed) }
}

/// Prints what is made from the command line's own description. All of it at once.
fn print_made(make: impl FnOnce(&mut clap::Command, &mut Vec<u8>) -> io::Result<()>) -> ExitCode {
    let mut text = Vec::new();
    said(make(&mut Cli::command(), &mut text).and_then(|()| io::stdout().lock().write_all(&text)))
}

/// What came of printing what is no report.
fn said(done: io::Result<()>) -> ExitCode {
    printed(done, ExitCode::Pass, &Teller::plain(Format::Human))
}

fn explain(code: Option<&str>) -> ExitCode {
    let width = Teller::plain(Format::Human).width;
    let mut out = io::stdout().lock();
    let done = match code {
        None => report::explain_all(width, &mut out),
        Some(code) => match report::explain(code, width) {
            Ok(text) => out.write_all(text.as_bytes()),
            Err(error) => {
                let meant =
                    error.nearest.map(|nearest| format!("did you mean {nearest}? Without a code, all are listed"));
                let hint = meant.or_else(|| Some("sandbox-check explain lists all codes".to_owned()));
                return fail(
                    &Teller::plain(Format::Human),
                    ExitCode::Usage,
                    format!("there is no finding code {code:?}"),
                    hint,
                );
            }
        },
    };
    said(done)
}
