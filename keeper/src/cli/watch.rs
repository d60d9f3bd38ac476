//! `plimsoll-keeper watch`: positions of a live protocol, from a node alone.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal, Write},
};

use alloy::primitives::Address;
use clap::Args;
use eyre::{bail, eyre};
use plimsoll_chain::{endpoint::Endpoint, redaction::scrub};
use plimsoll_contracts::quantity::Decimal;
use plimsoll_protocols::{Deployment, ProtocolKind, known_deployments, known_deployments_on};

use crate::{
    config::ChainFacts,
    report::watch::WatchReport,
    routing::{pool::Venue, venues::known_venues},
    watch::{Sales, Selection, Watcher, chain_id},
};

/// Decimals of a health factor.
const HEALTH_DECIMALS: u8 = 18;
/// Clears a terminal and puts the cursor into its corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Options of `watch`.
#[derive(Debug, Args)]
pub(super) struct WatchOptions {
    /// Protocol to watch: morpho-blue, aave-v3, compound-v2.
    #[arg(long, value_name = "PROTOCOL", help_heading = "Selection")]
    protocol: ProtocolKind,
    /// Chain id, if the node is to be on this chain and no other.
    #[arg(long, value_name = "CHAIN", help_heading = "Selection")]
    chain: Option<u64>,
    /// Address of the protocol's main contract, a pool's comptroller; else the known one on the chain, if there is one alone.
    #[arg(long, value_name = "ADDRESS", help_heading = "Selection")]
    address: Option<Address>,
    /// Block from which on logs are read: that of the contract's creation, or any before it. Of a known address it is known.
    #[arg(long, value_name = "BLOCK", requires = "address", help_heading = "Selection")]
    from_block: Option<u64>,
    /// Morpho Blue's factory of pre-liquidation contracts; of a known address it is known.
    #[arg(long, value_name = "ADDRESS", requires = "address", help_heading = "Selection")]
    pre_liquidation_factory: Option<Address>,
    /// Token that wraps the coin in which gas is paid; of known chains it is known.
    #[arg(long, value_name = "ADDRESS", help_heading = "What a liquidation brings")]
    wrapped_coin: Option<Address>,
    /// Factory whose pools buy collateral, besides the known ones; may be given several times.
    ///
    /// uniswap-v2:DEPLOYER or uniswap-v3:DEPLOYER, followed by :CODE_HASH where the pools' creation code is not Uniswap's.
    #[arg(long = "venue", value_name = "VENUE", help_heading = "What a liquidation brings")]
    venues: Vec<Venue>,
    /// Token that sales may lead over, besides the wrapped coin; may be given several times.
    #[arg(long = "hub", value_name = "ADDRESS", help_heading = "What a liquidation brings")]
    hubs: Vec<Address>,
    /// Only positions with a health factor below this; positions below 1 are liquidatable.
    #[arg(long, value_name = "HEALTH", default_value = "1.1", help_heading = "Selection")]
    below: String,
    /// Most positions to show, the least healthy first.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, help_heading = "Selection")]
    limit: usize,
    /// URL of a node; may be given several times.
    ///
    /// Prefer the environment variable for a URL with a key, which would be visible in the list of processes.
    #[arg(
        long = "rpc-url",
        value_name = "URL",
        env = "ETH_RPC_URL",
        hide_env_values = true,
        required = true,
        help_heading = "Configuration"
    )]
    rpc_urls: Vec<String>,
    /// Show the newest block and end, instead of every block until Ctrl-C.
    #[arg(long, help_heading = "Output")]
    once: bool,
    /// Write each block as a JSON document: with --once on several lines, else on one line each.
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Shows positions as of the newest block, and without `--once` of each further one. Fails if the node cannot be used, or if
/// the contract is not the protocol.
pub(super) async fn watch(options: WatchOptions) -> eyre::Result<()> {
    let below = options.below.parse::<Decimal>().and_then(|number| number.scaled(HEALTH_DECIMALS));
    let selection = Selection { below: below.map_err(|problem| eyre!("--below: {problem}"))?, limit: options.limit };
    let endpoints =
        options.rpc_urls.iter().map(|url| url.parse::<Endpoint>().map_err(|error| eyre!("--rpc-url: {error}")));
    let endpoints = endpoints.collect::<eyre::Result<Vec<_>>>()?;
    let chain_id = chain_id(&endpoints).await?;
    if let Some(chain) = options.chain.filter(|chain| *chain != chain_id) {
        bail!("--chain: the node is on chain {chain_id}, not {chain}");
    }
    let deployment = deployment(&options, chain_id)?;
    let mut watcher = Watcher::start(endpoints, deployment, sales(&options, chain_id)).await?;
    loop {
        let report = watcher.next(selection).await?;
        show(&report, &options)?;
        if options.once {
            return Ok(());
        }
    }
}

/// Returns where collateral may be sold: what is known of the chain, and what the options name besides.
fn sales(options: &WatchOptions, chain_id: u64) -> Sales {
    let chain = ChainFacts::known(chain_id);
    let wrapped_coin = options.wrapped_coin.or_else(|| chain.as_ref().and_then(|chain| chain.wrapped_coin));
    let coin = chain.map_or_else(|| "coins".to_owned(), |chain| chain.coin);
    let venues = known_venues(chain_id).into_iter().chain(options.venues.iter().cloned()).collect();
    Sales { venues, wrapped_coin, hubs: options.hubs.clone(), coin }
}

/// Returns the deployment that the options name, or the only known one. Fails where there is none, or where there are several.
fn deployment(options: &WatchOptions, chain_id: u64) -> eyre::Result<Deployment> {
    let (protocol, pre_liquidation_factory) = (options.protocol, options.pre_liquidation_factory);
    if protocol != ProtocolKind::MorphoBlue && pre_liquidation_factory.is_some() {
        bail!("--pre-liquidation-factory: {protocol} has no pre-liquidation contracts");
    }
    let known: Vec<_> = known_deployments_on(protocol, chain_id).collect();
    if let Some(address) = options.address {
        if let Some(first_block) = options.from_block {
            let (name, source) = (None, None);
            return Ok(Deployment { protocol, chain_id, name, address, first_block, pre_liquidation_factory, source });
        }
        let named = known.into_iter().find(|known| known.address == address);
        let named = named.ok_or_else(|| eyre!("{address} is no known deployment: give --from-block, too"))?;
        let pre_liquidation_factory = pre_liquidation_factory.or(named.pre_liquidation_factory);
        return Ok(Deployment { pre_liquidation_factory, ..named.clone() });
    }
    match known[..] {
        [] => {
            let known = known_deployments().iter().filter(|known| known.protocol == protocol);
            let chains: BTreeSet<_> = known.map(|known| known.chain_id).collect();
            let chains: Vec<_> = chains.iter().map(u64::to_string).collect();
            bail!(
                "no deployment of {protocol} on chain {chain_id} is known, only on {}: give --address and --from-block",
                chains.join(", ")
            )
        }
        [only] => Ok(only.clone()),
        _ => {
            let list = |known: &Deployment| format!("{} {}", known.address, known.name.as_deref().unwrap_or_default());
            let list: Vec<_> = known.into_iter().map(list).collect();
            bail!(
                "several deployments of {protocol} on chain {chain_id} are known: give --address\n  {}",
                list.join("\n  ")
            )
        }
    }
}

fn show(report: &WatchReport, options: &WatchOptions) -> eyre::Result<()> {
    let mut out = io::stdout().lock();
    let text = match (options.json, options.once) {
        (true, true) => serde_json::to_string_pretty(report)? + "\n",
        (true, false) => serde_json::to_string(report)? + "\n",
        (false, false) if out.is_terminal() => CLEAR.to_owned() + &report.text(),
        (false, _) => report.text(),
    };
    write!(out, "{}", scrub(&text))?;
    Ok(out.flush()?)
}
