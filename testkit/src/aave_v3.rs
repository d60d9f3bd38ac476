//! A real Aave v3.0 on a local chain, from the bytecode of its npm package.

use std::fs;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256, hex, keccak256},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol,
    sol_types::{SolCall, SolValue},
};
use eyre::{ContextCompat, WrapErr, ensure};
use serde_json::Value;

use crate::{devnet::Devnet, workspace::workspace};

/// Folder of the package's artifacts, from the root of the repository.
const ARTIFACTS: &str = "node_modules/@aave/core-v3/artifacts/contracts";
/// Libraries that the pool is linked with. The last one is itself linked with the first.
const POOL_LIBRARIES: [&str; 7] =
    ["BorrowLogic", "SupplyLogic", "LiquidationLogic", "EModeLogic", "BridgeLogic", "PoolLogic", "FlashLoanLogic"];
/// Gas limit of a transaction.
const GAS: u64 = 12_000_000;
const RAY_PERCENT: u128 = 10_000_000_000_000_000_000_000_000;

sol! {
    /// The registry, as far as it is set up.
    interface IAddressesProvider {
        function setACLAdmin(address admin) external;
        function setACLManager(address manager) external;
        function setPriceOracle(address oracle) external;
        function setPoolImpl(address pool) external;
        function setPoolConfiguratorImpl(address configurator) external;
        function getPool() external view returns (address);
        function getPoolConfigurator() external view returns (address);
    }

    interface IAclManager {
        function addPoolAdmin(address admin) external;
    }

    /// An oracle of which anybody sets the prices.
    interface IPriceOracle {
        function setAssetPrice(address asset, uint256 price) external;
    }

    struct InitReserveInput {
        address aTokenImpl;
        address stableDebtTokenImpl;
        address variableDebtTokenImpl;
        uint8 underlyingAssetDecimals;
        address interestRateStrategyAddress;
        address underlyingAsset;
        address treasury;
        address incentivesController;
        string aTokenName;
        string aTokenSymbol;
        string variableDebtTokenName;
        string variableDebtTokenSymbol;
        string stableDebtTokenName;
        string stableDebtTokenSymbol;
        bytes params;
    }

    /// The contract by which a pool is administered.
    interface IPoolConfigurator {
        function initReserves(InitReserveInput[] calldata input) external;
        function configureReserveAsCollateral(address asset, uint256 ltv, uint256 threshold, uint256 bonus) external;
        function setReserveBorrowing(address asset, bool enabled) external;
        function setReserveStableRateBorrowing(address asset, bool enabled) external;
        function setLiquidationProtocolFee(address asset, uint256 fee) external;
        function setReservePause(address asset, bool paused) external;
        function setReserveFreeze(address asset, bool frozen) external;
        function setEModeCategory(uint8 id, uint16 ltv, uint16 threshold, uint16 bonus, address oracle, string calldata label) external;
        function setAssetEModeCategory(address asset, uint8 id) external;
    }
}

/// A token to lend and to borrow.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    /// Address of the token.
    pub token: Address,
    /// Its decimals.
    pub decimals: u8,
    /// Price of a whole token, with 8 decimals.
    pub price: u64,
    /// LTV, liquidation threshold and incentive (10,500 for a bonus of 5 %), in basis points.
    pub terms: [u16; 3],
    /// The protocol's part of the bonus, in basis points.
    pub fee_bps: u16,
}

/// Aave v3.0. Its administrator is the node's deployer.
#[derive(Debug, Clone, Copy)]
pub struct AaveV3 {
    /// Address of the pool.
    pub pool: Address,
    /// Address of the contract that administers it.
    pub configurator: Address,
    /// Address of the oracle, whose prices anybody sets.
    pub oracle: Address,
    provider: Address,
}

impl AaveV3 {
    /// Deploys a pool without reserves.
    ///
    /// # Errors
    /// When the npm package is missing, or a transaction fails.
    pub async fn deploy(devnet: &Devnet) -> eyre::Result<Self> {
        let admin = devnet.deployer();
        let provider =
            create(devnet, "protocol/configuration/PoolAddressesProvider", &[], ("test", admin).abi_encode_params())
                .await?;
        send(devnet, provider, &IAddressesProvider::setACLAdminCall { admin }).await?;
        let acl = create(devnet, "protocol/configuration/ACLManager", &[], provider.abi_encode()).await?;
        send(devnet, provider, &IAddressesProvider::setACLManagerCall { manager: acl }).await?;
        send(devnet, acl, &IAclManager::addPoolAdminCall { admin }).await?;
        let oracle = create(devnet, "mocks/oracle/PriceOracle", &[], Vec::new()).await?;
        send(devnet, provider, &IAddressesProvider::setPriceOracleCall { oracle }).await?;

        let mut libraries: Vec<(&str, Address)> = Vec::new();
        for name in POOL_LIBRARIES {
            let address = create(devnet, &format!("protocol/libraries/logic/{name}"), &libraries, Vec::new()).await?;
            libraries.push((name, address));
        }
        let pool = create(devnet, "protocol/pool/Pool", &libraries, provider.abi_encode()).await?;
        send(devnet, provider, &IAddressesProvider::setPoolImplCall { pool }).await?;
        let logic = create(devnet, "protocol/libraries/logic/ConfiguratorLogic", &[], Vec::new()).await?;
        let configurator =
            create(devnet, "protocol/pool/PoolConfigurator", &[("ConfiguratorLogic", logic)], Vec::new()).await?;
        send(devnet, provider, &IAddressesProvider::setPoolConfiguratorImplCall { configurator }).await?;
        let pool = view(devnet, provider, &IAddressesProvider::getPoolCall {}).await?;
        let configurator = view(devnet, provider, &IAddressesProvider::getPoolConfiguratorCall {}).await?;
        Ok(Self { pool, configurator, oracle, provider })
    }

    /// Lists tokens, each as collateral and to be borrowed.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn list(&self, devnet: &Devnet, listings: &[Listing]) -> eyre::Result<()> {
        let percent = |percent: u128| U256::from(percent * RAY_PERCENT);
        let zero = U256::ZERO;
        let rates = (
            self.provider,
            [percent(80), zero, percent(4), percent(75), percent(1), percent(10), percent(1), percent(10), percent(20)],
        );
        let strategy = create(
            devnet,
            "protocol/pool/DefaultReserveInterestRateStrategy",
            &[],
            [rates.0.abi_encode(), rates.1.abi_encode()].concat(),
        )
        .await?;
        let token = async |name: &str| {
            create(devnet, &format!("protocol/tokenization/{name}"), &[], self.pool.abi_encode()).await
        };
        let (a_token, stable, variable) =
            (token("AToken").await?, token("StableDebtToken").await?, token("VariableDebtToken").await?);
        for listing in listings {
            let input = InitReserveInput {
                aTokenImpl: a_token,
                stableDebtTokenImpl: stable,
                variableDebtTokenImpl: variable,
                underlyingAssetDecimals: listing.decimals,
                interestRateStrategyAddress: strategy,
                underlyingAsset: listing.token,
                treasury: devnet.deployer(),
                incentivesController: Address::ZERO,
                aTokenName: String::new(),
                aTokenSymbol: String::new(),
                variableDebtTokenName: String::new(),
                variableDebtTokenSymbol: String::new(),
                stableDebtTokenName: String::new(),
                stableDebtTokenSymbol: String::new(),
                params: Bytes::new(),
            };
            send(devnet, self.configurator, &IPoolConfigurator::initReservesCall { input: vec![input] }).await?;
            let (asset, [ltv, threshold, bonus]) = (listing.token, listing.terms.map(U256::from));
            let terms = IPoolConfigurator::configureReserveAsCollateralCall { asset, ltv, threshold, bonus };
            send(devnet, self.configurator, &terms).await?;
            send(devnet, self.configurator, &IPoolConfigurator::setReserveBorrowingCall { asset, enabled: true })
                .await?;
            let fee = U256::from(listing.fee_bps);
            send(devnet, self.configurator, &IPoolConfigurator::setLiquidationProtocolFeeCall { asset, fee }).await?;
            send(devnet, self.oracle, &IPriceOracle::setAssetPriceCall { asset, price: U256::from(listing.price) })
                .await?;
        }
        Ok(())
    }

    /// Sends a call of the administrator to the configurator.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn configure(&self, devnet: &Devnet, call: &impl SolCall) -> eyre::Result<()> {
        send(devnet, self.configurator, call).await
    }
}

async fn send(devnet: &Devnet, to: Address, call: &impl SolCall) -> eyre::Result<()> {
    let from = devnet.deployer();
    let request = TransactionRequest::default().from(from).to(to).input(call.abi_encode().into()).gas_limit(GAS);
    let receipt = devnet.provider().send_transaction(request).await?.get_receipt().await?;
    ensure!(receipt.status(), "{to} reverts");
    Ok(())
}

async fn view<C: SolCall<Return = Address>>(devnet: &Devnet, to: Address, call: &C) -> eyre::Result<Address> {
    let request = TransactionRequest::default().to(to).input(call.abi_encode().into());
    Ok(C::abi_decode_returns(&devnet.provider().call(request).await?)?)
}

/// Creates a contract of the package, linked with libraries. A path's last part is the contract's name and its file's.
async fn create(
    devnet: &Devnet,
    path: &str,
    libraries: &[(&str, Address)],
    arguments: Vec<u8>,
) -> eyre::Result<Address> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let file = workspace()?.root().join(ARTIFACTS).join(format!("{path}.sol")).join(format!("{name}.json"));
    let text = fs::read_to_string(&file).wrap_err_with(|| file.display().to_string())?;
    let artifact: Value = serde_json::from_str(&text).wrap_err_with(|| file.display().to_string())?;
    let mut code =
        artifact["bytecode"].as_str().wrap_err_with(|| format!("{} has no bytecode", file.display()))?.to_owned();
    for (library, address) in libraries {
        // The compiler leaves 34 digits of the hash of a library's full name.
        let full = format!("contracts/protocol/libraries/logic/{library}.sol:{library}");
        let hash = hex::encode(keccak256(full));
        let placeholder = format!("__${}$__", hash.get(..34).unwrap_or_default());
        code = code.replace(&placeholder, &hex::encode(address));
    }
    let code = hex::decode(&code).wrap_err_with(|| format!("{} has a library that was not linked", file.display()))?;
    let request = TransactionRequest::default()
        .with_from(devnet.deployer())
        .with_deploy_code(Bytes::from([code, arguments].concat()))
        .with_gas_limit(GAS);
    let receipt = devnet.provider().send_transaction(request).await?.get_receipt().await?;
    ensure!(receipt.status(), "the constructor of {name} reverted");
    receipt.contract_address.wrap_err_with(|| format!("{name} was not created"))
}
