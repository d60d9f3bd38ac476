//! The `plimsoll-keeper` program; all of it is in the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plimsoll_keeper::cli::main().await
}
