//! The compiled contracts. Even where nothing has changed since the last time, finding that out takes a second of a build without
//! optimisation. So each set is compiled once in a process.

use std::sync::{Mutex, OnceLock, PoisonError};

use plimsoll_deploy::{compile::Artifacts, packages};

use crate::workspace::tools;

/// Contracts that are compiled besides the protocol's own, by file. They are for local chains only.
const LOCAL_SOURCES: [&str; 13] = [
    "contracts/test/support/MarketMaker.sol",
    "contracts/test/support/Borrowers.sol",
    "contracts/test/support/MorphoBorrowers.sol",
    "contracts/test/support/StandInPreLiquidation.sol",
    "contracts/test/support/TestToken.sol",
    "contracts/test/support/WrappedCoin.sol",
    "contracts/test/rewards/OddToken.sol",
    "contracts/test/support/OneSlotOracle.sol",
    "contracts/test/support/StakingRewards.sol",
    "contracts/test/nodes/ERC3009Token.sol",
    "contracts/test/support/GuardMathHarness.sol",
    "contracts/test/support/MathHarness.sol",
    "contracts/test/support/RewardsHarness.sol",
];

/// What is made once in a process.
pub(crate) struct Once<T> {
    made: OnceLock<T>,
    making: Mutex<()>,
}

impl<T> Once<T> {
    pub(crate) const fn new() -> Self {
        Self { made: OnceLock::new(), making: Mutex::new(()) }
    }

    /// Returns what was made first. Threads that ask at the same time wait for it. After a failure the next one tries again.
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> eyre::Result<T>) -> eyre::Result<&T> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = make()?;
        Ok(self.made.get_or_init(|| made))
    }
}

/// Returns the contracts that tests use on local chains, those of the suite included. Blocks while they are compiled.
pub(crate) fn local() -> eyre::Result<&'static Artifacts> {
    static LOCAL: Once<Artifacts> = Once::new();
    LOCAL.get_or_make(|| Ok(Artifacts::compile_with(&tools()?, &LOCAL_SOURCES)?))
}

/// Returns the contracts that a deployment may need. Blocks while they are compiled.
///
/// # Errors
/// When the tools cannot be installed, or the contracts do not compile.
pub fn artifacts() -> eyre::Result<&'static Artifacts> {
    static ARTIFACTS: Once<Artifacts> = Once::new();
    ARTIFACTS.get_or_make(|| Ok(packages::all_artifacts(&tools()?)?))
}

#[cfg(test)]
mod tests {
    use eyre::bail;

    use super::*;

    #[test]
    fn what_was_made_is_kept_and_a_failure_is_not() {
        let once = Once::new();
        assert!(once.get_or_make(|| bail!("no tools")).is_err());
        assert_eq!(*once.get_or_make(|| Ok(1)).unwrap(), 1);
        assert_eq!(*once.get_or_make(|| Ok(2)).unwrap(), 1);
    }
}
