//! The `safelight` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    safelight::cli::main()
}
