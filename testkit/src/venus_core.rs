//! A real core pool of Venus on a local chain, from the bytecode in its npm package: comptroller, markets, the contract that
//! lends VAI, and the Liquidator that alone may liquidate.
//!
//! The package is installed apart from the others, because of its size: `npm ci --ignore-scripts` in `tools/venus`.

use alloy::{
    primitives::{Address, Bytes, U256, aliases::U96, bytes},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol,
    sol_types::{SolCall, SolValue},
};
use eyre::ensure;
use plimsoll_protocols::compound_v2::IComptroller;

use crate::{
    devnet::Devnet,
    venus::{
        ANSWERS_ONE, Listing, MARKET_DECIMALS, VenusMarket, artifact_code, clone_of, create, oracle_price, package,
    },
};

/// Folder of the package, from the root of the repository.
const PACKAGE: &str = "tools/venus/node_modules/@venusprotocol/venus-protocol";
/// Dividing the year into few blocks makes interest show after few blocks.
const BLOCKS_PER_YEAR: u64 = 10_000;
/// Creation code of an oracle: a call with two words sets the price of the market that the first one names, and one with one
/// word returns it.
const ORACLE: Bytes = bytes!("601a600a5f39601a5ff336602410601157600435545f5260205ff35b6024356004355500");
/// Gas limit of a transaction: the comptroller's code is long.
const GAS: u64 = 10_000_000;

sol! {
    /// Proxies of the comptroller and of the contract that lends VAI.
    interface IUnitroller {
        function _setPendingImplementation(address implementation) external returns (uint256);
        function _become(address unitroller) external;
    }

    /// What the pool's owner calls.
    interface ICore {
        function _setAccessControl(address accessControl) external returns (uint256);
        function _setComptrollerLens(address lens) external returns (uint256);
        function _setPriceOracle(address oracle) external returns (uint256);
        function setDeviationBoundedOracle(address oracle) external returns (uint256);
        function _setCloseFactor(uint256 mantissa) external returns (uint256);
        function _setVAIController(address controller) external returns (uint256);
        function _setVAIMintRate(uint256 rate) external returns (uint256);
        function _setLiquidatorContract(address liquidator) external;
        function _setTreasuryData(address guardian, address treasury, uint256 percent) external returns (uint256);
        function setLiquidationIncentive(address vToken, uint256 mantissa) external returns (uint256);
        function setCollateralFactor(address vToken, uint256 factor, uint256 threshold) external returns (uint256);
        function setIsBorrowAllowed(uint96 pool, address vToken, bool isAllowed) external;
        function createPool(string label) external returns (uint96);
        function addPoolMarkets(uint96[] pools, address[] vTokens) external;
        function setAllowCorePoolFallback(uint96 pool, bool isAllowed) external;
        function enterPool(uint96 pool) external;
    }

    /// Terms of one pool, in a namespace of their own because of their names.
    interface ICorePool {
        function setCollateralFactor(uint96 pool, address vToken, uint256 factor, uint256 threshold) external returns (uint256);
        function setLiquidationIncentive(uint96 pool, address vToken, uint256 mantissa) external returns (uint256);
    }

    interface IVai {
        function initialize() external;
        function _setComptroller(address comptroller) external returns (uint256);
        function setVAIToken(address vai) external;
        function setAccessControl(address accessControl) external;
        function mintVAI(uint256 amount) external returns (uint256);
        function rely(address account) external;
    }

    interface IMarketAdministration {
        function setAccessControlManager(address accessControl) external returns (uint256);
        function setProtocolShareReserve(address reserve) external;
        function setReduceReservesBlockDelta(uint256 delta) external;
        function _setReserveFactor(uint256 mantissa) external returns (uint256);
    }

    interface ILiquidatorAdministration {
        function initialize(uint256 treasuryPercent, address accessControl, address shareReserve) external;
        function restrictLiquidation(address borrower) external;
        function unrestrictLiquidation(address borrower) external;
        function setMinLiquidatableVAI(uint256 minimum) external;
        function resumeForceVAILiquidate() external;
    }

    interface ISimpleOracle {
        function setDirectPrice(address market, uint256 price) external;
    }
}

/// A core pool. The owner is the node's deployer.
#[derive(Debug, Clone)]
pub struct VenusCore {
    /// Address of the comptroller.
    pub comptroller: Address,
    /// Address of the oracle, whose prices anybody can set.
    pub oracle: Address,
    /// Address of the contract that alone may liquidate.
    pub liquidator: Address,
    /// Address of the contract that lends VAI.
    pub vai: Address,
    /// The markets, in the order of the listings.
    pub markets: Vec<VenusMarket>,
    /// The token that wraps the chain's own coin, if its market lends the coin itself.
    pub wrapped_coin: Option<Address>,
}

/// Returns whether the package is installed.
///
/// # Errors
/// When the repository cannot be found.
pub fn is_installed() -> eyre::Result<bool> {
    Ok(package(PACKAGE)?.join("package.json").is_file())
}

fn percent(percent: u64) -> U256 {
    U256::from(percent) * U256::from(10).pow(U256::from(16))
}

impl VenusCore {
    /// Deploys a pool: close factor 50 %, an incentive of 10 % of which the Liquidator keeps half.
    ///
    /// # Errors
    /// When the package is not installed, or a transaction fails.
    pub async fn deploy(devnet: &Devnet, listings: &[Listing]) -> eyre::Result<Self> {
        Self::deploy_with_coin(devnet, listings, None).await
    }

    /// Deploys a pool as [`VenusCore::deploy`] does, in which the market of the token that wraps the chain's own coin lends the
    /// coin itself.
    ///
    /// # Errors
    /// As [`VenusCore::deploy`].
    pub async fn deploy_with_coin(
        devnet: &Devnet,
        listings: &[Listing],
        wrapped_coin: Option<Address>,
    ) -> eyre::Result<Self> {
        let helper = create(devnet, ANSWERS_ONE).await?;
        let oracle = create(devnet, ORACLE).await?;
        let bounded = create(devnet, bounded_oracle(oracle)).await?;
        let lens = create(devnet, code("Lens/ComptrollerLens", Vec::new())?).await?;
        // The facets in one contract, as the package has them for tests.
        let facets = code("Comptroller/Diamond/DiamondConsolidated", Vec::new())?;
        let comptroller = unitroller(devnet, "Comptroller/Unitroller", facets).await?;
        let vai = unitroller(devnet, "Tokens/VAI/VAIUnitroller", code("Tokens/VAI/VAIController", Vec::new())?).await?;
        let token = create(devnet, code("Tokens/VAI/VAI", U256::from(31_337).abi_encode())?).await?;
        send(devnet, token, &IVai::relyCall { account: vai }).await?;
        send(devnet, vai, &IVai::initializeCall {}).await?;
        send(devnet, vai, &IVai::_setComptrollerCall { comptroller }).await?;
        send(devnet, vai, &IVai::setVAITokenCall { vai: token }).await?;
        send(devnet, vai, &IVai::setAccessControlCall { accessControl: helper }).await?;

        send(devnet, comptroller, &ICore::_setAccessControlCall { accessControl: helper }).await?;
        send(devnet, comptroller, &ICore::_setComptrollerLensCall { lens }).await?;
        send(devnet, comptroller, &ICore::_setPriceOracleCall { oracle }).await?;
        send(devnet, comptroller, &ICore::setDeviationBoundedOracleCall { oracle: bounded }).await?;
        send(devnet, comptroller, &ICore::_setCloseFactorCall { mantissa: percent(50) }).await?;
        send(devnet, comptroller, &ICore::_setVAIControllerCall { controller: vai }).await?;
        send(devnet, comptroller, &ICore::_setVAIMintRateCall { rate: U256::from(10_000) }).await?;
        let rates = [2, 10, 200, 80].map(percent);
        let rates = (rates[0], rates[1], rates[2], rates[3], U256::from(BLOCKS_PER_YEAR)).abi_encode();
        let rate_model = create(devnet, code("InterestRateModels/JumpRateModel", rates)?).await?;
        let mut core = Self { comptroller, oracle, liquidator: Address::ZERO, vai, markets: Vec::new(), wrapped_coin };
        for listing in listings {
            core.list(devnet, listing, [helper, rate_model]).await?;
        }
        ensure!(core.markets.len() == listings.len(), "a market is missing");
        core.liquidator = core.deploy_liquidator(devnet, 50).await?;
        send(devnet, comptroller, &ICore::_setLiquidatorContractCall { liquidator: core.liquidator }).await?;
        Ok(core)
    }

    /// Deploys a contract that keeps so many percent of the bonus, and alone may liquidate once the pool names it.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn deploy_liquidator(&self, devnet: &Devnet, share: u64) -> eyre::Result<Address> {
        let helper = create(devnet, ANSWERS_ONE).await?;
        let of_coin = self.markets.iter().find(|market| Some(market.token) == self.wrapped_coin);
        let (coin_market, wrapped) = of_coin.map_or((helper, helper), |market| (market.address, market.token));
        let liquidator = code("Liquidator/Liquidator", (self.comptroller, coin_market, wrapped).abi_encode())?;
        let liquidator = clone_of(devnet, create(devnet, liquidator).await?).await?;
        let initialize = ILiquidatorAdministration::initializeCall {
            treasuryPercent: percent(share),
            accessControl: helper,
            shareReserve: helper,
        };
        send(devnet, liquidator, &initialize).await?;
        Ok(liquidator)
    }

    async fn list(
        &mut self,
        devnet: &Devnet,
        listing: &Listing,
        [helper, rate_model]: [Address; 2],
    ) -> eyre::Result<()> {
        let (owner, comptroller) = (devnet.deployer(), self.comptroller);
        let Listing { token, decimals, price, factors } = *listing;
        // A whole market token is worth a whole token at first.
        let exchange_rate = U256::from(10).pow(U256::from(18 + decimals - MARKET_DECIMALS));
        let places = U256::from(MARKET_DECIMALS);
        let market = if Some(token) == self.wrapped_coin {
            let arguments = (comptroller, rate_model, exchange_rate, "market", "market", places, owner);
            code("Tokens/VTokens/VBNB", arguments.abi_encode_params())?
        } else {
            let arguments = (token, comptroller, rate_model, exchange_rate, "market", "market", places, owner);
            code("Tokens/VTokens/VBep20Immutable", arguments.abi_encode_params())?
        };
        let address = create(devnet, market).await?;
        let set = ISimpleOracle::setDirectPriceCall { market: address, price: oracle_price(price * 100, decimals) };
        send(devnet, self.oracle, &set).await?;
        send(devnet, address, &IMarketAdministration::setAccessControlManagerCall { accessControl: helper }).await?;
        send(devnet, address, &IMarketAdministration::setProtocolShareReserveCall { reserve: helper }).await?;
        let delta = U256::from(BLOCKS_PER_YEAR);
        send(devnet, address, &IMarketAdministration::setReduceReservesBlockDeltaCall { delta }).await?;
        send(devnet, address, &IMarketAdministration::_setReserveFactorCall { mantissa: percent(10) }).await?;
        send(devnet, comptroller, &IComptroller::supportMarketCall { vToken: address }).await?;
        let incentive = ICore::setLiquidationIncentiveCall { vToken: address, mantissa: percent(110) };
        send(devnet, comptroller, &incentive).await?;
        let [factor, threshold] = factors.map(|factor| percent(factor.into()));
        send(devnet, comptroller, &ICore::setCollateralFactorCall { vToken: address, factor, threshold }).await?;
        let (markets, caps) = (vec![address], vec![U256::MAX]);
        let supply = IComptroller::setMarketSupplyCapsCall { vTokens: markets.clone(), caps: caps.clone() };
        send(devnet, comptroller, &supply).await?;
        send(devnet, comptroller, &IComptroller::setMarketBorrowCapsCall { vTokens: markets, caps }).await?;
        self.allow_borrowing(devnet, 0, address).await?;
        self.markets.push(VenusMarket { address, token, decimals });
        Ok(())
    }

    async fn allow_borrowing(&self, devnet: &Devnet, pool: u64, market: Address) -> eyre::Result<()> {
        let allow = ICore::setIsBorrowAllowedCall { pool: U96::from(pool), vToken: market, isAllowed: true };
        send(devnet, self.comptroller, &allow).await
    }

    /// Makes a pool that accounts can choose, in which one market has a threshold and an incentive of its own, in percent; the
    /// others are as in the core pool. All may be borrowed there.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn make_pool(
        &self,
        devnet: &Devnet,
        id: u64,
        market: usize,
        [threshold, incentive]: [u64; 2],
    ) -> eyre::Result<()> {
        let (pool, to) = (U96::from(id), self.comptroller);
        send(devnet, to, &ICore::createPoolCall { label: "pool".to_owned() }).await?;
        let all: Vec<_> = self.markets.iter().map(|market| market.address).collect();
        let add = ICore::addPoolMarketsCall { pools: vec![pool; all.len()], vTokens: all.clone() };
        send(devnet, to, &add).await?;
        for (place, market_address) in all.iter().copied().enumerate() {
            let [threshold, incentive] = if place == market { [threshold, incentive] } else { [60, 105] };
            let mantissa = percent(incentive);
            let set = ICorePool::setLiquidationIncentiveCall { pool, vToken: market_address, mantissa };
            send(devnet, to, &set).await?;
            let threshold = percent(threshold);
            let set = ICorePool::setCollateralFactorCall { pool, vToken: market_address, factor: threshold, threshold };
            send(devnet, to, &set).await?;
            self.allow_borrowing(devnet, id, market_address).await?;
        }
        Ok(())
    }

    /// Returns the call that sets a token's price, in hundredths of dollars for a whole token.
    #[must_use]
    pub fn price_call(&self, market: &VenusMarket, cents: u64) -> impl SolCall + use<> {
        ISimpleOracle::setDirectPriceCall { market: market.address, price: oracle_price(cents, market.decimals) }
    }
}

/// Deploys a proxy with its implementation.
async fn unitroller(devnet: &Devnet, path: &str, implementation: Bytes) -> eyre::Result<Address> {
    let proxy = create(devnet, code(path, Vec::new())?).await?;
    let implementation = create(devnet, implementation).await?;
    send(devnet, proxy, &IUnitroller::_setPendingImplementationCall { implementation }).await?;
    send(devnet, implementation, &IUnitroller::_becomeCall { unitroller: proxy }).await?;
    Ok(proxy)
}

/// Returns the creation code of an oracle that answers every question about a market with another oracle's price, twice: the
/// bounds that loans are valued at.
fn bounded_oracle(oracle: Address) -> Bytes {
    // Asks for getUnderlyingPrice(address) of the first argument, and returns the answer and the answer again.
    let code = [
        &bytes!("603c600a5f39603c5ff3")[..],
        &bytes!("63fc57d4df60e01b6000526004356004526020600060246000")[..],
        &bytes!("73")[..],
        oracle.as_slice(),
        &bytes!("5afa5060005160205260406000f3")[..],
    ];
    code.concat().into()
}

async fn send(devnet: &Devnet, to: Address, call: &impl SolCall) -> eyre::Result<()> {
    let from = devnet.deployer();
    let request = TransactionRequest::default().from(from).to(to).input(call.abi_encode().into()).gas_limit(GAS);
    let receipt = devnet.provider().send_transaction(request).await?.get_receipt().await?;
    ensure!(receipt.status(), "{to} of Venus refuses a call of the owner");
    Ok(())
}

/// Returns the creation code of a contract; its name is the path's last part.
fn code(path: &str, arguments: Vec<u8>) -> eyre::Result<Bytes> {
    let name = path.rsplit('/').next().unwrap_or(path);
    artifact_code(PACKAGE, path, name, arguments)
}
