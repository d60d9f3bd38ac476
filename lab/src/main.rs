//! The `plimsoll-lab` command. Everything is in the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plimsoll_lab::cli::main().await
}
