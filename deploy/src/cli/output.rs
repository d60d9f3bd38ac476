//! Results on stdout, progress and questions on stderr.

use std::io::{self, BufRead, IsTerminal, Write};

use eyre::{bail, ensure};
use serde::Serialize;

use super::context::Context;
use crate::{apply::Progress, toolchain::progress::say};

impl Context {
    /// Writes a result to stdout, as JSON or as text.
    pub(super) fn print(&self, value: &impl Serialize, text: &str) -> eyre::Result<()> {
        let json = if self.json { Some(serde_json::to_string_pretty(value)? + "\n") } else { None };
        write_stdout(json.as_deref().unwrap_or(text).as_bytes())?;
        Ok(())
    }
}

/// Writes to stdout at once.
pub(super) fn write_stdout(bytes: &[u8]) -> eyre::Result<bool> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(true)
}

/// Joins an error and its causes, without those that the text contains already.
pub(super) fn with_causes(error: &eyre::Report) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Reports what happens to a transaction.
pub(super) fn report_progress(progress: Progress<'_>, is_local: bool) {
    match progress {
        // On a local chain it is mined before this can be read.
        Progress::Sent { .. } if is_local => {}
        Progress::Sent { step, transaction } => say(format_args!("  {step}: sent {transaction}")),
        Progress::Mined { step, sent } => say(format_args!("  {step}: {} in block {}", sent.transaction, sent.block)),
        Progress::BroadcastAgain { step, transaction } => {
            say(format_args!("  {step}: the node had dropped {transaction}, which was sent again"));
        }
        Progress::Displaced { step, transaction } => {
            say(format_args!("  {step}: another transaction took the nonce of {transaction}"));
        }
        Progress::WaitingForOthers { transactions } => {
            say(format_args!("waiting for {transactions} other transactions of the deployer to be mined"));
        }
        Progress::AlreadyPaid { step } => say(format_args!("  {step}: was paid before, and is in the record now")),
    }
}

/// Asks for the network's name, which nobody types by mistake. Fails unless it is typed.
pub(super) fn confirm(network: &str) -> eyre::Result<()> {
    ensure!(io::stdin().is_terminal(), "stdin is not a terminal, so nobody can confirm this: pass --yes");
    say(format_args!("Type the network's name, {network}, to send this:"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() != network {
        bail!("not confirmed, and nothing was sent");
    }
    Ok(())
}
