//! A real isolated pool of Venus on a local chain, from the bytecode that its npm package embeds.
//!
//! The package is installed apart from the others, because of its size: `npm ci --ignore-scripts` in `tools/venus`.

use std::{fs, path::PathBuf};

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256, bytes},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol,
    sol_types::{SolCall, SolValue},
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_protocols::compound_v2::{IComptroller, IVToken, RiskManagement};

use crate::{
    devnet::{Devnet, mined},
    workspace::workspace,
};

/// Folder of the package, from the root of the repository.
const PACKAGE: &str = "tools/venus/node_modules/@venusprotocol/isolated-pools";
/// Arguments for Anvil: the comptroller's code is a little longer than chains allow.
pub const ANVIL_ARGUMENTS: [&str; 1] = ["--disable-code-size-limit"];
/// Creation code of a contract that answers every call with 1: access control that allows all, and a share reserve.
pub(crate) const ANSWERS_ONE: Bytes = bytes!("6008600a5f3960085ff360015f5260205ff3");
/// Dividing the year into few blocks makes interest show after few blocks.
const BLOCKS_PER_YEAR: u64 = 10_000;
/// Most interest of a block × 10¹⁸.
const MAX_BLOCK_RATE: u64 = 1_000_000_000_000_000;
/// Decimals of a market's tokens.
pub(crate) const MARKET_DECIMALS: u8 = 8;

sol! {
    /// The oracle of Venus' own tests.
    #[sol(rpc)]
    interface IMockOracle {
        function setPrice(address token, uint256 price) external;
    }
}

/// A token that gets a market.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    /// The token.
    pub token: Address,
    /// Its decimals.
    pub decimals: u8,
    /// Price of a whole token, in dollars.
    pub price: u64,
    /// Collateral factor, and liquidation threshold, in percent.
    pub factors: [u8; 2],
}

/// An isolated pool. The owner is the node's deployer.
#[derive(Debug, Clone)]
pub struct Venus {
    /// Address of the comptroller.
    pub comptroller: Address,
    /// Address of the oracle, whose prices anybody can set.
    pub oracle: Address,
    /// The markets, in the order of the listings.
    pub markets: Vec<VenusMarket>,
    /// Account that allows and takes everything.
    helper: Address,
    /// Implementation of the markets.
    implementation: Address,
    rate_model: Address,
}

/// A market of the pool.
#[derive(Debug, Clone, Copy)]
pub struct VenusMarket {
    /// Address of the market.
    pub address: Address,
    /// The token that it lends.
    pub token: Address,
    /// Decimals of the token.
    pub decimals: u8,
}

/// Returns whether the package is installed.
///
/// # Errors
/// When the repository cannot be found.
pub fn is_installed() -> eyre::Result<bool> {
    Ok(package(PACKAGE)?.join("package.json").is_file())
}

/// Returns the folder of a package, by its path from the root of the repository.
pub(crate) fn package(path: &str) -> eyre::Result<PathBuf> {
    Ok(workspace()?.root().join(path))
}

/// Returns an amount of hundredths of dollars as the oracle's price of a whole token with these decimals.
#[must_use]
pub fn oracle_price(cents: u64, decimals: u8) -> U256 {
    U256::from(cents) * U256::from(10).pow(U256::from(34 - decimals))
}

impl Venus {
    /// Deploys a pool: close factor 50 %, an incentive of 10 % of which the protocol keeps half, collateral below 100 dollars is
    /// liquidated as a whole.
    ///
    /// # Errors
    /// When the package is not installed, or a transaction fails.
    pub async fn deploy(devnet: &Devnet, listings: &[Listing]) -> eyre::Result<Self> {
        let owner = devnet.deployer();
        let helper = create(devnet, ANSWERS_ONE).await?;
        let code = creation_code("test/Mocks/MockPriceOracle", "MockPriceOracle", Vec::new())?;
        let oracle = create(devnet, code).await?;
        let comptroller = create(devnet, creation_code("Comptroller", "Comptroller", owner.abi_encode())?).await?;
        let comptroller = clone_of(devnet, comptroller).await?;
        let rates = [2, 10, 200, 80].map(|percent| U256::from(percent) * U256::from(10).pow(U256::from(16)));
        let arguments = (rates[0], rates[1], rates[2], rates[3], helper, false, U256::from(BLOCKS_PER_YEAR));
        let rate_model =
            create(devnet, creation_code("JumpRateModelV2", "JumpRateModelV2", arguments.abi_encode())?).await?;
        let arguments = (false, U256::from(BLOCKS_PER_YEAR), U256::from(MAX_BLOCK_RATE));
        let implementation = create(devnet, creation_code("VToken", "VToken", arguments.abi_encode())?).await?;
        let mut venus = Self { comptroller, oracle, markets: Vec::new(), helper, implementation, rate_model };
        let pool = IComptroller::new(comptroller, devnet.provider());
        let percent = |percent: u64| U256::from(percent) * U256::from(10).pow(U256::from(16));
        mined(pool.initialize(U256::from(100), helper).from(owner)).await?;
        mined(pool.setPriceOracle(oracle).from(owner)).await?;
        mined(pool.setCloseFactor(percent(50)).from(owner)).await?;
        mined(pool.setLiquidationIncentive(percent(110)).from(owner)).await?;
        mined(pool.setMinLiquidatableCollateral(percent(100) * U256::from(100)).from(owner)).await?;
        for listing in listings {
            venus.list(devnet, listing).await?;
        }
        Ok(venus)
    }

    /// Adds a market, without caps.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn list(&mut self, devnet: &Devnet, listing: &Listing) -> eyre::Result<VenusMarket> {
        let owner = devnet.deployer();
        let Listing { token, decimals, price, factors } = *listing;
        let pool = IComptroller::new(self.comptroller, devnet.provider());
        mined(
            IMockOracle::new(self.oracle, devnet.provider())
                .setPrice(token, oracle_price(price * 100, decimals))
                .from(owner),
        )
        .await?;
        let address = clone_of(devnet, self.implementation).await?;
        // A whole market token is worth a whole token at first.
        let exchange_rate = U256::from(10).pow(U256::from(18 + decimals - MARKET_DECIMALS));
        let risk = RiskManagement { shortfall: self.helper, protocolShareReserve: self.helper };
        let reserve_factor = U256::from(10).pow(U256::from(17));
        let name = || "market".to_owned();
        let market = IVToken::new(address, devnet.provider());
        let initialize = market.initialize(
            token,
            self.comptroller,
            self.rate_model,
            exchange_rate,
            name(),
            name(),
            MARKET_DECIMALS,
            owner,
            self.helper,
            risk,
            reserve_factor,
        );
        mined(initialize.from(owner)).await?;
        mined(pool.supportMarket(address).from(owner)).await?;
        mined(pool.setMarketSupplyCaps(vec![address], vec![U256::MAX]).from(owner)).await?;
        mined(pool.setMarketBorrowCaps(vec![address], vec![U256::MAX]).from(owner)).await?;
        let [factor, threshold] = factors.map(|percent| U256::from(percent) * U256::from(10).pow(U256::from(16)));
        mined(pool.setCollateralFactor(address, factor, threshold).from(owner)).await?;
        let market = VenusMarket { address, token, decimals };
        self.markets.push(market);
        Ok(market)
    }

    /// Returns the call that sets a token's price, in hundredths of dollars for a whole token.
    #[must_use]
    pub fn price_call(&self, market: &VenusMarket, cents: u64) -> impl SolCall + use<> {
        IMockOracle::setPriceCall { token: market.token, price: oracle_price(cents, market.decimals) }
    }
}

/// Deploys a proxy without storage of its own: the implementation cannot be initialised itself.
pub(crate) async fn clone_of(devnet: &Devnet, implementation: Address) -> eyre::Result<Address> {
    let code = [
        &bytes!("3d602d80600a3d3981f3363d3d373d3d3d363d73")[..],
        implementation.as_slice(),
        &bytes!("5af43d82803e903d91602b57fd5bf3")[..],
    ];
    create(devnet, code.concat().into()).await
}

pub(crate) async fn create(devnet: &Devnet, code: Bytes) -> eyre::Result<Address> {
    let request = TransactionRequest::default().with_from(devnet.deployer()).with_deploy_code(code);
    let receipt = devnet.provider().send_transaction(request).await?.get_receipt().await?;
    ensure!(receipt.status(), "a constructor of Venus reverted");
    receipt.contract_address.wrap_err("a contract of Venus was not created")
}

/// Reads a contract's creation code from the package and adds its arguments.
fn creation_code(file: &str, name: &str, arguments: Vec<u8>) -> eyre::Result<Bytes> {
    artifact_code(PACKAGE, file, name, arguments)
}

/// Reads a contract's creation code from a package's artifacts and adds its arguments.
pub(crate) fn artifact_code(folder: &str, file: &str, name: &str, arguments: Vec<u8>) -> eyre::Result<Bytes> {
    let path = package(folder)?.join("artifacts/contracts").join(format!("{file}.sol/{name}.json"));
    let text = fs::read_to_string(&path)
        .wrap_err_with(|| format!("{}: run npm ci --ignore-scripts in tools/venus", path.display()))?;
    let artifact: serde_json::Value = serde_json::from_str(&text).wrap_err_with(|| path.display().to_string())?;
    let code = artifact["bytecode"].as_str().wrap_err_with(|| format!("{} has no bytecode", path.display()))?;
    let code: Bytes = code.parse().wrap_err_with(|| path.display().to_string())?;
    Ok([&code[..], &arguments].concat().into())
}
