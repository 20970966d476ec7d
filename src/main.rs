//! The program `sandbox-check`.

fn main() -> std::process::ExitCode {
    sandbox_check::app::main()
}
