//! Recorded blocks of mainnet: replayed, and used as the base of a fork with Plimsoll on it.

mod distant;
mod hardforks;
mod mainnet;
mod recordings;
mod replays;
mod suite;
mod upstream;

use plimsoll_testkit::recording::{ANVILS_OWN, Declared, Read};

/// Returns the reads outside the recording that every fork has.
fn anvils_own_accounts() -> Vec<Declared> {
    let why = "Anvil creates its own accounts on every fork";
    ANVILS_OWN.map(|account| Declared { read: Read::Account(account), why: why.to_owned() }).into()
}
