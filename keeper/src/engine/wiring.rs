//! Translates the configuration into the settings of each part of the keeper. Only what a part calls by another name, in
//! another unit or by more than one setting is translated; the rest is passed on as it is.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, U256, utils::Unit};
use plimsoll_chain::{endpoint::Endpoint, relay::RelayIdentity};

use super::{Mode, executor_listing::ExecutorListing};
use crate::{
    amount::Amount,
    chain::NodesContracts,
    config::{Config, Deployed, EndpointSettings, GasSource, Role, TransactionType},
    routing::router::Router,
    safety,
    sender::{
        self, Nodes,
        core::{self, PrivateFirst},
        fees::{FeePolicy, TxFees},
    },
    strategies::{gas::GasTable, governance, guard, harvest, jobs, liquidate, rebalance, seize, vouchers},
    stream,
};

/// Number of blocks for which a transaction is valid.
const DEADLINE_BLOCKS: u32 = 10;
/// Minimum time for which a transaction is valid.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(60);
/// Time for which tips may accumulate while waiting pays.
const PATIENCE_SECS: u64 = 86_400;
/// Interval between two searches for harvests: rewards take days, so a shorter one finds nothing new.
const LOOK_EVERY_SECS: u64 = 60;
/// Number of blocks after which a transaction that no private node got mined is broadcast to all nodes: some relays
/// forget transactions at about this age.
const PUBLIC_AFTER_BLOCKS: u32 = 25;
/// Gas of a transfer on chains where it is always the same.
const TRANSFER_GAS: u64 = 21_000;
/// Gas that is enough for a transfer on chains whose gas includes the cost of another layer. Unused gas is not paid for.
const ROOMY_TRANSFER_GAS: u64 = 400_000;
/// Part of the present base fee, in percent, that an EIP-1559 transaction's maximum fee covers.
const BASE_FEE_PERCENT: u32 = 200;
/// The same for a legacy gas price, which is paid in full: it has room for one full block, and is replaced after that.
const LEGACY_BASE_FEE_PERCENT: u32 = 113;

/// Settings for following the chain.
pub(super) fn stream(config: &Config) -> stream::StreamSettings {
    let genesis = config.deployed.genesis;
    stream::StreamSettings { genesis, ..stream::StreamSettings::new(config.deployed.chain_id, config.chain.block_time) }
}

/// Nodes by what they are used for; one node can have several uses.
pub(super) struct Roles {
    pub(super) read: Vec<Arc<Endpoint>>,
    pub(super) send: Vec<Arc<Endpoint>>,
    pub(super) private: Vec<Arc<Endpoint>>,
    pub(super) relays: Vec<Arc<Endpoint>>,
}

impl Roles {
    pub(super) fn of(endpoints: Vec<EndpointSettings>) -> Self {
        let mut roles = Self { read: Vec::new(), send: Vec::new(), private: Vec::new(), relays: Vec::new() };
        for EndpointSettings { endpoint, role, .. } in endpoints {
            let endpoint = Arc::new(endpoint);
            if role.reads() {
                roles.read.push(Arc::clone(&endpoint));
            }
            match role {
                Role::Both | Role::Send => roles.send.push(endpoint),
                Role::Private => roles.private.push(endpoint),
                Role::Bundle => roles.relays.push(endpoint),
                Role::Read => {}
            }
        }
        roles
    }

    pub(super) fn nodes(&self, identity: &RelayIdentity) -> Nodes {
        let nodes = Nodes::new(self.read.clone(), self.send.clone(), self.private.clone());
        nodes.with_relays(self.relays.clone(), identity)
    }
}

/// Settings for sending. The command line alone says whether transactions are sent, and whether to begin although
/// journal and chain disagree on the next nonce.
pub(super) fn sender(config: &Config, mode: Mode) -> sender::SenderSettings {
    let (is_live, adopt_nonce) = match mode {
        Mode::DryRun => (false, false),
        Mode::Live { adopt_nonce } => (true, adopt_nonce),
    };
    let Config { chain, fees, safety, .. } = config;
    let (style, base_fee_percent) = match chain.transaction_type {
        TransactionType::Eip1559 => (TxFees::Eip1559, BASE_FEE_PERCENT),
        TransactionType::Legacy => (TxFees::Legacy, LEGACY_BASE_FEE_PERCENT),
    };
    sender::SenderSettings {
        chain_id: chain.id,
        core: core::CoreSettings {
            fees: FeePolicy {
                style,
                min_priority_fee: fees.min_priority_fee,
                max_fee_per_gas: fees.max_gas_price,
                base_fee_percent,
                max_cost: safety.max_cost_per_transaction,
                ..FeePolicy::default()
            },
            max_pending: safety.max_pending,
            replace_after_blocks: fees.replace_after,
            finality_depth: chain.finality_depth,
            in_bundles: has_role(config, Role::Bundle),
            private: has_role(config, Role::Private)
                .then_some(PrivateFirst { public_after_blocks: Some(PUBLIC_AFTER_BLOCKS.into()) }),
            cancel_gas: match chain.gas {
                GasSource::Table => TRANSFER_GAS,
                GasSource::Estimate => ROOMY_TRANSFER_GAS,
            },
        },
        safety: safety::SafetySettings {
            is_live,
            loss_cap_per_day: safety.loss_cap_per_day,
            scope_loss_cap_per_day: safety.market_loss_cap_per_day,
            breaker_reverts: usize::try_from(safety.breaker_reverts).unwrap_or(usize::MAX),
            breaker_window_secs: safety.breaker_window.as_secs(),
            breaker_pause_secs: safety.breaker_pause.as_secs(),
            minimum_balance: safety.min_balance,
            contracts: contracts(config),
        },
        kill_file: Some(safety.kill_file.clone()),
        adopt_nonce,
        lock_folder: None,
    }
}

/// Seconds between two looks at published vouchers, at least.
const VOUCHERS_EVERY_SECS: u64 = 12;
/// Number of transactions that may fail at their highest cost before the day's loss reaches its cap.
const FAILURES_PER_DAY: u64 = 5;

/// Limits that do not fit one another, each with the settings to change. Nothing of it matters with private endpoints
/// alone, where what reverts is not mined.
pub(super) fn limit_warnings(config: &Config) -> Vec<String> {
    let (coin, safety) = (&config.chain.coin, &config.safety);
    let amount = |wei| Amount::of_wei(wei, coin);
    let mut warnings = Vec::new();
    let is_public = has_role(config, Role::Both) || has_role(config, Role::Send);
    if !is_public || has_role(config, Role::Bundle) {
        return warnings;
    }
    let most = safety.loss_cap_per_day / U256::from(FAILURES_PER_DAY);
    if safety.max_cost_per_transaction > most {
        warnings.push(format!(
            "fewer than {FAILURES_PER_DAY} transactions that revert may end the day: lower max_cost_per_transaction from {} \
             to {}, or raise loss_cap_per_day from {}",
            amount(safety.max_cost_per_transaction),
            amount(most),
            amount(safety.loss_cap_per_day),
        ));
    }
    let table = gas(config);
    let smallest = U256::from(table.gas_limit(table.liquidation_gas(1, 1)));
    let dearest = smallest.saturating_mul(U256::from(config.fees.max_gas_price));
    if dearest > safety.max_cost_per_transaction {
        warnings.push(format!(
            "not even one liquidation fits max_cost_per_transaction above {} gwei: raise it from {} to {} and \
             loss_cap_per_day with it, or lower max_gas_price",
            safety.max_cost_per_transaction / smallest / U256::from(1_000_000_000),
            amount(safety.max_cost_per_transaction),
            amount(dearest),
        ));
    }
    let node_cap = Unit::ETHER.wei();
    if safety.max_cost_per_transaction > node_cap {
        warnings.push(format!(
            "geth's nodes refuse transactions whose fees may exceed {}, unless they are started with another \
             --rpc.txfeecap: lower max_cost_per_transaction from {}, or make sure that yours takes them",
            amount(node_cap),
            amount(safety.max_cost_per_transaction),
        ));
    }
    warnings
}

/// Contracts whose events tell what a transaction did.
pub(super) const fn contracts(config: &Config) -> safety::Contracts {
    let Deployed { core, liquidator, rewards, guard, order_executor, .. } = config.deployed;
    let executor = match &config.protocols.executor {
        Some(executor) => Some(executor.address),
        None => None,
    };
    let jobs = match config.jobs.contracts {
        Some(NodesContracts { jobs, .. }) => Some(jobs),
        None => None,
    };
    safety::Contracts { core, liquidator, rewards, guard, order_executor, executor, jobs }
}

/// Settings for liquidating, with a sender that works so.
pub(super) fn liquidate(config: &Config, keeper: Address, sender: &core::CoreSettings) -> liquidate::LiquidateSettings {
    let enabled = config.liquidate.markets.iter().filter(|(_, market)| config.liquidate.enabled && market.enabled);
    let wrapped_coin = config.tokens.wrapped_coin();
    // What is left of collateral in the wrapped coin need not be exchanged for it.
    let keeps_collateral = |market: &crate::config::MarketSettings| {
        config.liquidate.profit_in_wrapped_coin && wrapped_coin.is_some() && market.collateral_token == wrapped_coin
    };
    let route = |market: &crate::config::MarketSettings| {
        let route = market.route.clone()?;
        Some(liquidate::SwapRoute { profit_in_collateral: keeps_collateral(market), ..route })
    };
    let market = |market: &crate::config::MarketSettings| liquidate::MarketSettings {
        routes: route(market).into_iter().collect(),
        from_inventory: market.from_inventory,
        max_repay: market.max_repay,
    };
    liquidate::LiquidateSettings {
        keeper,
        receiver: config.liquidate.receiver.unwrap_or(keeper),
        core: config.deployed.core,
        liquidator: config.deployed.liquidator,
        markets: enabled.map(|(id, settings)| (id.0, market(settings))).collect(),
        gas: gas(config),
        max_slippage_bps: config.liquidate.max_slippage_bps,
        bid_share_bps: config.fees.bid_share_bps,
        ordering: config.chain.ordering,
        builders_coin: wrapped_coin.filter(|_| sender.in_bundles),
        reverts_are_mined: !stays_private(config, sender),
        deadline_secs: deadline_secs(config),
    }
}

/// Settings for executing orders, with a sender that works so; `None` if there is no guard or it is disabled.
pub(super) fn guard(config: &Config, keeper: Address, sender: &core::CoreSettings) -> Option<guard::GuardSettings> {
    let Config { deployed, liquidate, .. } = config;
    let enabled = liquidate.markets.iter().filter(|(_, market)| market.enabled);
    let routes = |market: &crate::config::MarketSettings| market.route.iter().cloned().collect();
    Some(guard::GuardSettings {
        receiver: liquidate.receiver.unwrap_or(keeper),
        executor: deployed.order_executor.filter(|_| config.guard.enabled && deployed.guard.is_some())?,
        markets: enabled.map(|(id, market)| (id.0, routes(market))).collect(),
        gas: gas(config),
        max_slippage_bps: liquidate.max_slippage_bps,
        bid_share_bps: config.fees.bid_share_bps,
        reverts_are_mined: !stays_private(config, sender),
        deadline_secs: deadline_secs(config),
    })
}

/// The strategy that liquidates on other protocols by an executor of these contents, with a sender that works so.
pub(super) fn seize(
    config: &Config,
    listed: ExecutorListing,
    keeper: Address,
    sender: &core::CoreSettings,
) -> seize::Seize {
    let wrapped_coin = config.tokens.wrapped_coin();
    let settings = seize::SeizeSettings {
        executor: listed.address,
        targets: listed.targets.into_iter().map(|(address, (index, _))| (address, index)).collect(),
        receiver: config.liquidate.receiver.unwrap_or(keeper),
        gas: gas(config),
        max_slippage_bps: config.liquidate.max_slippage_bps,
        bid_share_bps: config.fees.bid_share_bps,
        exchanged_for: wrapped_coin.filter(|_| config.liquidate.profit_in_wrapped_coin),
        builders_coin: wrapped_coin.filter(|coin| sender.in_bundles && *coin == listed.wrapped_coin),
        reverts_are_mined: !stays_private(config, sender),
        deadline_secs: deadline_secs(config),
    };
    let hubs = config.protocols.executor.as_ref().map(|executor| executor.hubs.clone()).unwrap_or_default();
    seize::Seize::new(settings, Router::new(listed.venues, hubs))
}

/// Settings for harvesting; `None` if there are no rewards or harvesting is disabled.
pub(super) fn harvest(config: &Config, keeper: Address) -> Option<harvest::HarvestSettings> {
    let Config { harvest: settings, deployed, .. } = config;
    Some(harvest::HarvestSettings {
        keeper,
        rewards: deployed.rewards.filter(|_| settings.enabled)?,
        programmes: deployed.programme_names.keys().copied().collect(),
        gas: gas(config),
        timing: harvest::HarvestTiming { patience_secs: PATIENCE_SECS, max_wait_secs: settings.max_wait.as_secs() },
        max_batch: settings.max_batch,
        interval_secs: LOOK_EVERY_SECS,
        own: settings.own_rewards,
        own_interval_secs: settings.own_rewards_every.as_secs(),
        deadline_secs: deadline_secs(config),
    })
}

/// Settings for rebalancing; `None` if there are no vaults or rebalancing is disabled.
pub(super) fn rebalance(config: &Config, keeper: Address) -> Option<rebalance::RebalanceSettings> {
    let settings = &config.rebalance;
    (settings.enabled && !settings.vaults.is_empty()).then(|| rebalance::RebalanceSettings {
        keeper,
        vaults: settings.vaults.values().copied().collect(),
        gas: gas(config),
        horizon_secs: settings.horizon.as_secs(),
        dead_band_bps: settings.dead_band_bps,
        limits: settings.limits(),
        budget_per_day: settings.budget_per_day,
        interval_secs: settings.interval.as_secs(),
        deadline_secs: deadline_secs(config),
    })
}

/// Settings for executing what governance has due; `None` if there is no manager or nothing is executed.
pub(super) fn governance(config: &Config, keeper: Address) -> Option<governance::GovernanceSettings> {
    let settings = &config.governance;
    let contracts = settings.contracts.as_ref().filter(|_| settings.execute)?;
    Some(governance::GovernanceSettings {
        keeper,
        manager: contracts.manager,
        gas: gas(config),
        max_gas_price: config.fees.max_gas_price,
        budget_per_day: settings.budget_per_day,
        deadline_secs: deadline_secs(config),
    })
}

/// Settings for claiming published vouchers; `None` if no service publishes any.
pub(super) fn vouchers(config: &Config, keeper: Address) -> Option<vouchers::VouchersSettings> {
    let settings = &config.vouchers;
    (!settings.publishers.is_empty()).then(|| vouchers::VouchersSettings {
        keeper,
        gas: gas(config),
        budget_per_day: settings.budget_per_day,
        interval_secs: VOUCHERS_EVERY_SECS,
        deadline_secs: deadline_secs(config),
    })
}

/// Settings for bringing jobs of nodes on, whose contracts were created with `terms`; `None` if there are none or nothing is
/// done.
pub(super) fn jobs(config: &Config, terms: Option<jobs::JobTerms>, keeper: Address) -> Option<jobs::JobsSettings> {
    let settings = &config.jobs;
    let contracts = settings.contracts.filter(|_| settings.execute)?;
    Some(jobs::JobsSettings {
        keeper,
        jobs: contracts.jobs,
        registry: contracts.registry,
        terms: terms?,
        posters: settings.posters.clone(),
        harvested: settings.harvest.clone(),
        harvest_every_secs: settings.harvest_every.as_secs(),
        gas: gas(config),
        max_gas_price: config.fees.max_gas_price,
        budget_per_day: settings.budget_per_day,
        deadline_secs: deadline_secs(config),
    })
}

fn gas(config: &Config) -> GasTable {
    GasTable { use_simulated_gas: config.chain.gas == GasSource::Estimate, ..GasTable::default() }
}

fn has_role(config: &Config, role: Role) -> bool {
    config.endpoints.iter().any(|endpoint| endpoint.role == role)
}

/// Whether transactions go in bundles, or to private endpoints alone for as long as they are valid. Those include nothing
/// that reverts.
fn stays_private(config: &Config, sender: &core::CoreSettings) -> bool {
    let public_after = |private: PrivateFirst| private.public_after_blocks.map(u32::try_from);
    sender.in_bundles
        || sender.private.is_some_and(|private| match public_after(private) {
            Some(Ok(blocks)) => deadline(config) <= config.chain.block_time * blocks,
            Some(Err(_)) | None => true,
        })
}

fn deadline_secs(config: &Config) -> u64 {
    deadline(config).as_secs()
}

fn deadline(config: &Config) -> Duration {
    (config.chain.block_time * DEADLINE_BLOCKS).max(SHORTEST_DEADLINE)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use alloy::primitives::address;

    use super::*;

    const TEXT: &str = r#"
        [deployment]
        chain_id = 31337
        core = "0x0101010101010101010101010101010101010101"
        [fees]
        replace_after = 5
        [[endpoints]]
        url = "http://127.0.0.1:1"
        [[endpoints]]
        url = "http://127.0.0.1:2"
        role = "private"
    "#;

    fn sender_settings(text: &str) -> sender::SenderSettings {
        sender(&Config::parse(Path::new("keeper.toml"), text, &BTreeMap::new()).unwrap(), Mode::DryRun)
    }

    #[test]
    fn with_a_relay_one_transaction_at_a_time_goes_in_bundles_and_no_revert_is_paid_for() {
        let bundled = TEXT.replace("role = \"private\"", "role = \"bundle\"");
        let settings = sender_settings(&bundled);
        assert_eq!((settings.core.in_bundles, settings.core.private), (true, None));
        let reverts_are_mined = |text: &str| {
            let config = Config::parse(Path::new("keeper.toml"), text, &BTreeMap::new()).unwrap();
            liquidate(&config, Address::ZERO, &sender(&config, Mode::DryRun).core).reverts_are_mined
        };
        assert!(!reverts_are_mined(&bundled));
        let builders_coin = |text: &str| {
            let text = text.replace("chain_id = 31337", "chain_id = 1");
            let config = Config::parse(Path::new("keeper.toml"), &text, &BTreeMap::new()).unwrap();
            liquidate(&config, Address::ZERO, &sender(&config, Mode::DryRun).core).builders_coin
        };
        // The wrapped coin of that chain.
        assert_eq!(builders_coin(&bundled), Some(address!("C02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")));
        assert_eq!(builders_coin(TEXT), None);
        assert!(reverts_are_mined(&TEXT.replace("role = \"private\"", "role = \"send\"")));
    }

    #[test]
    fn the_sender_works_as_the_file_says() {
        let settings = sender_settings(TEXT);
        assert_eq!((settings.core.max_pending, settings.core.replace_after_blocks), (16, 5));
        let private = Some(PrivateFirst { public_after_blocks: Some(25) });
        assert_eq!((settings.core.cancel_gas, settings.core.private), (21_000, private));
        assert_eq!((settings.core.fees.style, settings.core.fees.bump_percent), (TxFees::Eip1559, 10));
        assert!(!settings.safety.is_live && settings.kill_file.is_some());
    }

    #[test]
    fn reverts_are_paid_for_unless_transactions_stay_private_until_their_deadline() {
        let reverts_are_mined = |text: &str| {
            let mut config = Config::parse(Path::new("keeper.toml"), text, &BTreeMap::new()).unwrap();
            let sender = sender(&config, Mode::DryRun).core;
            // As at a start, which takes the endpoints.
            config.endpoints.clear();
            liquidate(&config, Address::ZERO, &sender).reverts_are_mined
        };
        let slow = format!("{TEXT}\n[chain]\nblock_time = \"12 seconds\"");
        assert!(!reverts_are_mined(&slow));
        assert!(reverts_are_mined(&slow.replace("private", "send")));
        // A minute is more than 25 blocks.
        assert!(reverts_are_mined(&slow.replace("12 seconds", "2 seconds")));
    }

    #[test]
    fn profits_go_to_the_signer_unless_another_account_is_named() {
        let (keeper, treasury) = (Address::repeat_byte(0x55), "0x7777777777777777777777777777777777777777");
        let receiver = |text: &str| {
            let config = Config::parse(Path::new("keeper.toml"), text, &BTreeMap::new()).unwrap();
            liquidate(&config, keeper, &sender(&config, Mode::DryRun).core).receiver
        };
        assert_eq!(receiver(TEXT), keeper);
        let named = format!("{TEXT}\n[liquidate]\nreceiver = \"{treasury}\"");
        assert_eq!(receiver(&named), treasury.parse::<Address>().unwrap());
    }

    #[test]
    fn limits_that_do_not_fit_one_another_are_named_with_the_remedy_and_the_defaults_fit() {
        let warnings = |more: &str| {
            let text = TEXT.replace("role = \"private\"", "role = \"send\"");
            limit_warnings(
                &Config::parse(Path::new("keeper.toml"), &format!("{text}\n{more}"), &BTreeMap::new()).unwrap(),
            )
        };
        assert_eq!(warnings(""), [""; 0]);
        let one_ends_the_day = warnings("[safety]\nloss_cap_per_day = \"0.05\"");
        assert!(
            one_ends_the_day[0].contains("lower max_cost_per_transaction from 0.1 ETH to 0.01 ETH"),
            "{one_ends_the_day:?}"
        );
        let nothing_fits = warnings("[safety]\nmax_cost_per_transaction = \"0.01\"");
        assert!(nothing_fits[0].contains("above 24 gwei"), "{nothing_fits:?}");
        let more = |cost: &str| {
            warnings(&format!("[safety]\nloss_cap_per_day = \"50\"\nmax_cost_per_transaction = \"{cost}\""))
        };
        assert_eq!(more("1"), [""; 0]);
        assert!(
            more("1.5")[0].contains("may exceed 1 ETH") && more("1.5")[0].contains("from 1.5 ETH"),
            "{:?}",
            more("1.5")
        );
    }

    #[test]
    fn a_legacy_gas_price_has_room_for_one_full_block() {
        let settings = sender_settings(&format!("{TEXT}\n[chain]\ntransaction_type = \"legacy\"\ngas = \"estimate\""));
        assert_eq!((settings.core.fees.style, settings.core.fees.base_fee_percent), (TxFees::Legacy, 113));
        assert_eq!(settings.core.cancel_gas, 400_000);
    }
}
