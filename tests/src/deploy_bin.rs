//! The deployer's command line, for tests that kill it.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plimsoll_deploy::cli::main().await
}
