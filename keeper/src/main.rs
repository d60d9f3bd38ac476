//! `keeper`: watches a chain, liquidates, harvests. Everything is in the library; this only starts it.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plimsoll_keeper::cli::main().await
}
