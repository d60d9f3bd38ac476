//! The command line of plimsoll-keeper, for tests that run it as a process of its own.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plimsoll_keeper::cli::main().await
}
