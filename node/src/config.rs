//! The daemon's configuration file.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use alloy::primitives::Address;
use eyre::{WrapErr, ensure};
use plimsoll_chain::{endpoint::Endpoint, signer::SignerSource};
use plimsoll_channels::{ERC3009_COLLECTOR, SETTLEMENT};
use serde::Deserialize;

use crate::x402::Amount;

/// The configuration, as `node.example.toml` explains it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) store: PathBuf,
    pub(crate) model: PathBuf,
    pub(crate) kind: Option<PathBuf>,
    pub(crate) chain: ChainConfig,
    pub(crate) price: Price,
    pub(crate) payment: PaymentConfig,
    pub(crate) keys: Keys,
    #[serde(default)]
    pub(crate) claims: Claims,
    #[serde(default)]
    pub(crate) receipts: Receipts,
    #[serde(default)]
    pub(crate) jobs: Jobs,
    #[serde(default)]
    pub(crate) fees: Fees,
    #[serde(default)]
    pub(crate) limits: Limits,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainConfig {
    pub(crate) chain_id: u64,
    pub(crate) rpc: Option<String>,
    pub(crate) rpc_env: Option<String>,
    #[serde(default = "settlement")]
    pub(crate) channels: Address,
    #[serde(default = "collector")]
    pub(crate) collector: Address,
    #[serde(default = "one")]
    pub(crate) confirmations: u64,
    #[serde(default = "thirty")]
    pub(crate) max_silence_seconds: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    pub(crate) base: Amount,
    pub(crate) per_prompt_token: Amount,
    pub(crate) per_completion_token: Amount,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PaymentConfig {
    pub(crate) receiver: Address,
    pub(crate) token: Address,
    pub(crate) token_name: String,
    pub(crate) token_version: String,
    #[serde(default = "one_day")]
    pub(crate) withdraw_delay_seconds: u64,
    pub(crate) min_deposit: Amount,
    pub(crate) max_unclaimed: Amount,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    pub(crate) authorizer: SignerSource,
    pub(crate) sender: SignerSource,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Claims {
    pub(crate) min: Amount,
    pub(crate) interval_seconds: u64,
    pub(crate) publish: bool,
    pub(crate) patience_seconds: u64,
}

impl Default for Claims {
    fn default() -> Self {
        Self { min: Amount(1_000_000), interval_seconds: 12, publish: false, patience_seconds: 3_600 }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Receipts {
    pub(crate) node: u32,
    pub(crate) jobs: Address,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Jobs {
    pub(crate) answer: bool,
    pub(crate) interval_seconds: u64,
    pub(crate) challenges_per_day: Amount,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { answer: false, interval_seconds: 12, challenges_per_day: Amount(0) }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Fees {
    /// In wei.
    pub(crate) max_fee_per_gas: Amount,
    pub(crate) bump_seconds: u64,
}

impl Default for Fees {
    fn default() -> Self {
        Self { max_fee_per_gas: Amount(500_000_000_000), bump_seconds: 24 }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    pub(crate) queue: usize,
    pub(crate) unpaid_per_second: u32,
    pub(crate) replay_minutes: u64,
    pub(crate) sponsored_per_day: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: 8, unpaid_per_second: 20, replay_minutes: 15, sponsored_per_day: 200 }
    }
}

const fn settlement() -> Address {
    SETTLEMENT
}

const fn collector() -> Address {
    ERC3009_COLLECTOR
}

const fn one() -> u64 {
    1
}

const fn thirty() -> u64 {
    30
}

const fn one_day() -> u64 {
    86_400
}

const DELAYS: std::ops::RangeInclusive<u64> = 3_600..=2_592_000;

impl Config {
    pub(crate) fn load(path: &Path) -> eyre::Result<Self> {
        let text = fs::read_to_string(path).wrap_err_with(|| format!("{}", path.display()))?;
        Self::parse(&text).wrap_err_with(|| format!("{}", path.display()))
    }

    pub(crate) fn parse(text: &str) -> eyre::Result<Self> {
        let config: Self = toml::from_str(text)?;
        let delay = config.payment.withdraw_delay_seconds;
        ensure!(
            DELAYS.contains(&delay),
            "payment.withdraw_delay_seconds is {delay}: 3600 (an outage of an hour would lose what is not claimed) to 2592000"
        );
        ensure!((1..=1_000).contains(&config.limits.queue), "limits.queue is {}: 1 to 1000", config.limits.queue);
        let (claim, most) = (config.claims.min, config.payment.max_unclaimed);
        ensure!(
            claim <= most,
            "claims.min ({}) is above payment.max_unclaimed ({}): nothing would be claimed",
            claim.0,
            most.0
        );
        ensure!(
            (1..=120).contains(&config.fees.bump_seconds),
            "fees.bump_seconds is {}: 1 to 120",
            config.fees.bump_seconds
        );
        let named = config.receipts.node != 0 && config.receipts.jobs != Address::ZERO;
        ensure!(
            named || !config.jobs.answer,
            "jobs.answer needs receipts.node and receipts.jobs: which node was drawn?"
        );
        // So that no sum of prices can overflow: a request has at most 2^17 tokens.
        for (name, price) in [
            ("base", config.price.base),
            ("per_prompt_token", config.price.per_prompt_token),
            ("per_completion_token", config.price.per_completion_token),
        ] {
            ensure!(price.0 <= u128::MAX >> 20, "price.{name} is {}: at most 2^108", price.0);
        }
        Ok(config)
    }
}

impl ChainConfig {
    pub(crate) fn endpoint(&self) -> eyre::Result<Endpoint> {
        let url = match (&self.rpc, &self.rpc_env) {
            (Some(url), None) => url.clone(),
            (None, Some(name)) => {
                env::var(name).wrap_err_with(|| format!("chain.rpc_env names {name}, which is not set"))?
            }
            _ => eyre::bail!(
                "[chain] names the node by rpc (a URL without a key) or by rpc_env (a variable), one of both"
            ),
        };
        url.parse().wrap_err("the node's URL in [chain]")
    }
}

impl Price {
    pub(crate) fn of(&self, prompt_tokens: u32, completion_tokens: u32) -> u128 {
        self.base.0
            + self.per_prompt_token.0 * u128::from(prompt_tokens)
            + self.per_completion_token.0 * u128::from(completion_tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../node.example.toml");

    #[test]
    fn the_example_is_valid_and_says_the_defaults() {
        let config = Config::parse(EXAMPLE).unwrap();
        assert!(config.chain.endpoint().is_ok());
        assert_eq!((config.chain.channels, config.chain.collector), (SETTLEMENT, ERC3009_COLLECTOR));
        assert_eq!(format!("{:?}", config.limits), format!("{:?}", Limits::default()));
        assert_eq!(format!("{:?}", config.claims), format!("{:?}", Claims::default()));
        assert_eq!(format!("{:?}", config.jobs), format!("{:?}", Jobs::default()));
        assert_eq!(format!("{:?}", config.fees), format!("{:?}", Fees::default()));
        assert_eq!(config.payment.withdraw_delay_seconds, one_day());
        assert_eq!((config.chain.confirmations, config.chain.max_silence_seconds), (one(), thirty()));
    }

    #[test]
    fn wrong_values_are_named() {
        for (from, to, named) in [
            ("withdraw_delay_seconds = 86400", "withdraw_delay_seconds = 3599", "withdraw_delay_seconds is 3599"),
            ("queue = 8", "queue = 0", "limits.queue is 0"),
            ("queue = 8", "que = 8", "que"),
            ("base = \"100\"", "base = \"0100\"", "0100"),
            ("base = \"100\"", "base = \"340282366920938463463374607431768211455\"", "price.base"),
            ("answer = false", "answer = true", "jobs.answer needs"),
            ("bump_seconds = 24", "bump_seconds = 0", "fees.bump_seconds is 0"),
            ("min = \"1000000\"", "min = \"99000000\"", "claims.min (99000000)"),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            let error = format!("{:#}", Config::parse(&EXAMPLE.replace(from, to)).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
