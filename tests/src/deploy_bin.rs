//! The command line of plimsoll-deploy, for tests that kill it.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plimsoll_deploy::cli::main().await
}
