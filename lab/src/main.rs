//! `lab`: shows and measures Plimsoll on a chain of your own. Everything is in the library; this only starts it.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plimsoll_lab::cli::main().await
}
