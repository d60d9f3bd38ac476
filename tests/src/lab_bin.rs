//! The command line of plimsoll-lab, for tests that run it as a process of its own.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plimsoll_lab::cli::main().await
}
