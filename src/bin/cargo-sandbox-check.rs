//! The same program as `cargo sandbox-check`.

fn main() -> std::process::ExitCode {
    sandbox_check::app::main()
}
