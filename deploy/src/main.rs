//! `deploy`: makes a chain what a manifest says. Everything is in the library; this only starts it.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plimsoll_deploy::cli::main().await
}
