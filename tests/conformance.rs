//! The conformance suite, played on the server that was just built: `complement-tests/cases/`.

use std::process::ExitCode;

fn main() -> ExitCode {
    complement_cases::main(env!("CARGO_BIN_EXE_kontor"))
}
