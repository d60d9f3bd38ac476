//! Positions of Morpho Blue beside those of Plimsoll: the same loans, in a market of its real bytecode with an oracle of its own,
//! so that a round of either liquidates none of the other's.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256, utils::parse_ether},
    providers::Provider,
    rpc::types::Filter,
    sol_types::{SolEvent, SolValue},
};
use eyre::ensure;
use plimsoll_contracts::{
    IExecutor::{Target, TargetKind, Venue, VenueKind},
    IUniswapV3Swapper,
};
use plimsoll_deploy::toolchain::progress::say;
use plimsoll_protocols::morpho_blue::{IMorphoBlue, MarketParams};
use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    devnet::{IOneSlotOracle, mined},
    exchange::POOL_CODE_HASH,
    morpho_blue::MorphoBlue,
};

/// Liquidation LTV of the market, which is Plimsoll's.
const LLTV: &str = "0.86";
/// Account of the node that lends.
const LENDER: usize = 1;
/// Gas limit of a new price.
const PRICE_GAS: u64 = 100_000;

/// A market with loans.
#[derive(Debug)]
pub(crate) struct MorphoMarket {
    morpho: MorphoBlue,
    params: MarketParams,
    settings: String,
}

impl MorphoMarket {
    /// Deploys Morpho Blue with an executor, and opens loans. `lent` is in millionths of a dollar, as is `price`.
    ///
    /// # Errors
    /// When a transaction fails.
    pub(crate) async fn open(suite: &Suite, loans: &[NewLoan], lent: U256, price: u128) -> eyre::Result<Self> {
        let devnet = &suite.devnet;
        let morpho = MorphoBlue::deploy(devnet).await?;
        let [ether, dollar] = [suite.token("WETH")?, suite.token("USDC")?];
        let oracle = devnet.deploy("OneSlotOracle", oracle_price(price).abi_encode()).await?;
        let params = morpho.create_market(devnet, [ether, dollar], oracle, parse_ether(LLTV)?).await?;
        let lender = devnet.account(LENDER)?;
        devnet.mint_and_approve(dollar, lender, lent, morpho.core).await?;
        let core = IMorphoBlue::new(morpho.core, devnet.provider());
        mined(core.supply(params.clone(), lent, U256::ZERO, lender, Bytes::new()).from(lender)).await?;
        say(format_args!("opening {} loans on Morpho Blue", loans.len()));
        let borrowers = Borrowers::deploy(devnet, morpho.core, super::BLOCK_GAS_LIMIT).await?;
        borrowers.open(&params, loans).await?;

        let swapper = IUniswapV3Swapper::new(suite.contract("UniswapV3Swapper")?, devnet.provider());
        let deployer = swapper.factory().call().await?;
        let targets = vec![Target { kind: TargetKind::MorphoBlue, account: morpho.core }];
        let venues = vec![Venue { kind: VenueKind::UniswapV3, deployer, poolInitCodeHash: POOL_CODE_HASH }];
        let executor = devnet.deploy("Executor", (ether, targets, venues).abi_encode_params()).await?;
        let settings = format!(
            "[[protocols]]\nkind = \"morpho-blue\"\naddress = \"{}\"\nfirst_block = 1\n[executor]\naddress = \"{executor}\"\nhubs = \
             [\"WETH\"]\n",
            morpho.core
        );
        Ok(Self { morpho, params, settings })
    }

    /// Returns the settings by which a keeper follows it.
    pub(crate) fn settings(&self) -> &str {
        &self.settings
    }

    /// Returns the address of the contract.
    pub(crate) const fn core(&self) -> Address {
        self.morpho.core
    }

    /// Sends a new price, in millionths of a dollar, without waiting for the block.
    ///
    /// # Errors
    /// When the node refuses it.
    pub(super) async fn send_price(&self, suite: &Suite, price: u128) -> eyre::Result<B256> {
        let oracle = IOneSlotOracle::new(self.params.oracle, suite.devnet.provider());
        let set = oracle.set(oracle_price(price)).from(suite.devnet.deployer()).gas(PRICE_GAS);
        Ok(*set.send().await?.tx_hash())
    }

    /// Checks that each round liquidated one loan.
    ///
    /// # Errors
    /// When one did not.
    pub(super) async fn ensure_liquidated(&self, suite: &Suite, rounds: u64) -> eyre::Result<()> {
        let filter = Filter::new()
            .address(self.morpho.core)
            .event_signature(IMorphoBlue::Liquidate::SIGNATURE_HASH)
            .topic1(keccak256(self.params.abi_encode()))
            .from_block(1);
        let logs = suite.devnet.provider().get_logs(&filter).await?;
        ensure!(logs.len() == usize::try_from(rounds)?, "{} loans were liquidated in {rounds} rounds", logs.len());
        Ok(())
    }
}

/// Returns the oracle's price for so many millionths of a dollar for an ether.
fn oracle_price(price: u128) -> U256 {
    U256::from(price) * U256::from(10).pow(U256::from(18))
}
