//! `plimsoll-deploy`: deploys what a manifest describes. Everything is in the library; this only starts it.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plimsoll_deploy::cli::main().await
}
