//! The program `plimsoll-deploy`. Everything is in the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plimsoll_deploy::cli::main().await
}
