//! What keeper.toml says, as the sender's settings.

use plimsoll_contracts::market::BPS;

use super::{
    core::{self, PrivateFirst},
    fees::{FeePolicy, PriceStyle},
    shell::Settings,
};
use crate::{
    config::{Config, GasSource, Role, TransactionType},
    safety,
};

/// After so many blocks a transaction that no private node got mined is shown to everybody: some relays forget what they
/// were shown at about this age.
const PUBLIC_AFTER_BLOCKS: u64 = 25;

/// The gas that a transfer takes where it is the same always.
const TRANSFER_GAS: u64 = 21_000;

/// The gas that is enough for a transfer where its data's way to another chain is in it, too. What is not used is not
/// paid.
const ROOMY_TRANSFER_GAS: u64 = 400_000;

impl Settings {
    /// What a configuration says, and what only a command line does: whether anything is sent, and whether to begin
    /// where journal and chain do not agree.
    #[must_use]
    pub fn of(config: &Config, is_live: bool, adopt_nonce: bool) -> Self {
        let (chain, fees, safety) = (&config.chain, &config.fees, &config.safety);
        let style = match chain.transaction_type {
            TransactionType::Eip1559 => PriceStyle::MaximumAndTip,
            TransactionType::Legacy => PriceStyle::GasPrice,
        };
        let policy = FeePolicy {
            style,
            least_tip: fees.least_tip,
            most_per_gas: fees.highest_price,
            // A gas price is paid in full: it has room for one full block, and is replaced after that.
            base_fee_percent: match style {
                PriceStyle::MaximumAndTip => 200,
                PriceStyle::GasPrice => 113,
            },
            kept_bps: config.liquidate.min_margin_bps.min(BPS),
            urgent_tip_bps: u32::from(fees.profit_share_bps),
            ..FeePolicy::default()
        };
        let has_private = config.endpoints.iter().any(|endpoint| endpoint.role == Role::Private);
        let core = core::Settings {
            fees: policy,
            most_pending: usize::try_from(safety.most_pending).unwrap_or(usize::MAX),
            replace_after_blocks: fees.replace_after,
            final_after_blocks: chain.final_after,
            private: has_private.then_some(PrivateFirst { public_after_blocks: Some(PUBLIC_AFTER_BLOCKS) }),
            cancel_gas: match chain.gas {
                GasSource::Table => TRANSFER_GAS,
                GasSource::Estimate => ROOMY_TRANSFER_GAS,
            },
        };
        let safety_settings = safety::Settings {
            is_live,
            loss_cap_per_day: safety.loss_cap_per_day,
            breaker_reverts: usize::try_from(safety.breaker_reverts).unwrap_or(usize::MAX),
            breaker_window_secs: safety.breaker_window.as_secs(),
            breaker_pause_secs: safety.breaker_pause.as_secs(),
            minimum_balance: safety.minimum_balance,
        };
        Self {
            chain_id: chain.id,
            core,
            safety: safety_settings,
            kill_file: Some(safety.kill_file.clone()),
            adopt_nonce,
            lock_folder: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;

    const TEXT: &str = r#"
        [deployment]
        chain_id = 31337
        core = "0x0101010101010101010101010101010101010101"
        lens = "0x0202020202020202020202020202020202020202"
        [fees]
        replace_after = 5
        [[endpoints]]
        url = "http://127.0.0.1:1"
        [[endpoints]]
        url = "http://127.0.0.1:2"
        role = "private"
    "#;

    #[test]
    fn what_the_file_says_is_how_it_is_sent() {
        let config = Config::parse(Path::new("keeper.toml"), TEXT, &BTreeMap::new()).unwrap();
        let settings = Settings::of(&config, false, false);
        assert_eq!((settings.core.most_pending, settings.core.replace_after_blocks), (16, 5));
        let private = Some(PrivateFirst { public_after_blocks: Some(25) });
        assert_eq!((settings.core.cancel_gas, settings.core.private), (21_000, private));
        assert_eq!((settings.core.fees.style, settings.core.fees.bump_percent), (PriceStyle::MaximumAndTip, 10));
        assert!(!settings.safety.is_live && settings.kill_file.is_some());
    }
}
