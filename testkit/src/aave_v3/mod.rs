//! A real Aave v3 on a local chain: 3.0 from the bytecode of its npm package, 3.6 from the sources in its own.

mod code;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol,
    sol_types::{SolCall, SolValue},
};
use eyre::{ContextCompat, ensure};

use self::code::Codes;
use crate::devnet::Devnet;

/// Libraries that 3.0's pool is linked with. The last one is itself linked with the first.
const LIBRARIES_V3_0: &[&str] =
    &["BorrowLogic", "SupplyLogic", "LiquidationLogic", "EModeLogic", "BridgeLogic", "PoolLogic", "FlashLoanLogic"];
/// The same of 3.6.
const LIBRARIES_V3_6: &[&str] = &["BorrowLogic", "SupplyLogic", "LiquidationLogic", "PoolLogic", "FlashLoanLogic"];
/// Gas limit of a transaction.
const GAS: u64 = 12_000_000;
const RAY_PERCENT: u128 = 10_000_000_000_000_000_000_000_000;
/// Rates of 3.6 in basis points: the kink, the base rate, and the slopes below and above the kink.
const V3_6_RATES: (u16, u32, u32, u32) = (8_000, 0, 400, 7_500);

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

    struct InitReserveInputV36 {
        address aTokenImpl;
        address variableDebtTokenImpl;
        address underlyingAsset;
        string aTokenName;
        string aTokenSymbol;
        string variableDebtTokenName;
        string variableDebtTokenSymbol;
        bytes params;
        bytes interestRateData;
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

    /// What is other of it in 3.6.
    interface IPoolConfiguratorV36 {
        function initReserves(InitReserveInputV36[] calldata input) external;
        function setEModeCategory(uint8 id, uint16 ltv, uint16 threshold, uint16 bonus, string calldata label) external;
        function setAssetCollateralInEMode(address asset, uint8 id, bool isCollateral) external;
        function setAssetBorrowableInEMode(address asset, uint8 id, bool isBorrowable) external;
    }
}

/// A release of Aave v3 that can be deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// 3.0.2, as its npm package has it.
    V3_0,
    /// 3.6, compiled here.
    V3_6,
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

/// A pool of Aave v3. Its administrator is the node's deployer.
#[derive(Debug, Clone, Copy)]
pub struct AaveV3 {
    /// The release that was deployed.
    pub release: Release,
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
    pub async fn deploy(devnet: &Devnet, release: Release) -> eyre::Result<Self> {
        let admin = devnet.deployer();
        let codes = tokio::task::spawn_blocking(move || Codes::of(release)).await??;
        let create = async |path: &str, libraries: &[(&str, Address)], arguments: Vec<u8>| {
            create(devnet, codes.linked(path, libraries)?, arguments).await
        };
        let market = ("test", admin).abi_encode_params();
        let provider = create("protocol/configuration/PoolAddressesProvider", &[], market).await?;
        send(devnet, provider, &IAddressesProvider::setACLAdminCall { admin }).await?;
        let acl = create("protocol/configuration/ACLManager", &[], provider.abi_encode()).await?;
        send(devnet, provider, &IAddressesProvider::setACLManagerCall { manager: acl }).await?;
        send(devnet, acl, &IAclManager::addPoolAdminCall { admin }).await?;
        // An oracle of which anybody sets the prices is in the package of 3.0 alone.
        let oracle = Codes::V3_0.linked("mocks/oracle/PriceOracle", &[])?;
        let oracle = self::create(devnet, oracle, Vec::new()).await?;
        send(devnet, provider, &IAddressesProvider::setPriceOracleCall { oracle }).await?;

        let names = match release {
            Release::V3_0 => LIBRARIES_V3_0,
            Release::V3_6 => LIBRARIES_V3_6,
        };
        let mut libraries: Vec<(&str, Address)> = Vec::new();
        for name in names {
            let address = create(&format!("protocol/libraries/logic/{name}"), &libraries, Vec::new()).await?;
            libraries.push((name, address));
        }
        let pool = match release {
            Release::V3_0 => create("protocol/pool/Pool", &libraries, provider.abi_encode()).await?,
            Release::V3_6 => {
                let strategy = "misc/DefaultReserveInterestRateStrategyV2";
                let strategy = create(strategy, &[], provider.abi_encode()).await?;
                create("instances/PoolInstance", &libraries, (provider, strategy).abi_encode()).await?
            }
        };
        send(devnet, provider, &IAddressesProvider::setPoolImplCall { pool }).await?;
        let logic = create("protocol/libraries/logic/ConfiguratorLogic", &[], Vec::new()).await?;
        let configurator = match release {
            Release::V3_0 => "protocol/pool/PoolConfigurator",
            Release::V3_6 => "instances/PoolConfiguratorInstance",
        };
        let configurator = create(configurator, &[("ConfiguratorLogic", logic)], Vec::new()).await?;
        send(devnet, provider, &IAddressesProvider::setPoolConfiguratorImplCall { configurator }).await?;
        let pool = view(devnet, provider, &IAddressesProvider::getPoolCall {}).await?;
        let configurator = view(devnet, provider, &IAddressesProvider::getPoolConfiguratorCall {}).await?;
        Ok(Self { release, pool, configurator, oracle, provider })
    }

    /// Lists tokens, each as collateral and to be borrowed.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn list(&self, devnet: &Devnet, listings: &[Listing]) -> eyre::Result<()> {
        for listing in listings {
            // The oracle is asked when a reserve of 3.6 is made.
            let (asset, price) = (listing.token, U256::from(listing.price));
            send(devnet, self.oracle, &IPriceOracle::setAssetPriceCall { asset, price }).await?;
        }
        match self.release {
            Release::V3_0 => self.init_reserves_of_v3_0(devnet, listings).await?,
            Release::V3_6 => self.init_reserves_of_v3_6(devnet, listings).await?,
        }
        for listing in listings {
            let (asset, [ltv, threshold, bonus]) = (listing.token, listing.terms.map(U256::from));
            let terms = IPoolConfigurator::configureReserveAsCollateralCall { asset, ltv, threshold, bonus };
            send(devnet, self.configurator, &terms).await?;
            send(devnet, self.configurator, &IPoolConfigurator::setReserveBorrowingCall { asset, enabled: true })
                .await?;
            let fee = U256::from(listing.fee_bps);
            send(devnet, self.configurator, &IPoolConfigurator::setLiquidationProtocolFeeCall { asset, fee }).await?;
        }
        Ok(())
    }

    async fn init_reserves_of_v3_0(&self, devnet: &Devnet, listings: &[Listing]) -> eyre::Result<()> {
        let percent = |percent: u128| U256::from(percent * RAY_PERCENT);
        let zero = U256::ZERO;
        let rates =
            [percent(80), zero, percent(4), percent(75), percent(1), percent(10), percent(1), percent(10), percent(20)];
        let strategy = Codes::V3_0.linked("protocol/pool/DefaultReserveInterestRateStrategy", &[])?;
        let strategy = create(devnet, strategy, (self.provider, rates).abi_encode()).await?;
        let token = async |name: &str| {
            let code = Codes::V3_0.linked(&format!("protocol/tokenization/{name}"), &[])?;
            create(devnet, code, self.pool.abi_encode()).await
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
        }
        Ok(())
    }

    async fn init_reserves_of_v3_6(&self, devnet: &Devnet, listings: &[Listing]) -> eyre::Result<()> {
        let codes = tokio::task::spawn_blocking(|| Codes::of(Release::V3_6)).await??;
        let (nobody, treasury) = (Address::ZERO, devnet.deployer());
        let a_token = codes.linked("instances/ATokenInstance", &[])?;
        let a_token = create(devnet, a_token, (self.pool, nobody, treasury).abi_encode()).await?;
        let variable = codes.linked("instances/VariableDebtTokenInstance", &[])?;
        let variable = create(devnet, variable, (self.pool, nobody).abi_encode()).await?;
        let input = listings.iter().map(|listing| InitReserveInputV36 {
            aTokenImpl: a_token,
            variableDebtTokenImpl: variable,
            underlyingAsset: listing.token,
            aTokenName: String::new(),
            aTokenSymbol: String::new(),
            variableDebtTokenName: String::new(),
            variableDebtTokenSymbol: String::new(),
            params: Bytes::new(),
            interestRateData: V3_6_RATES.abi_encode().into(),
        });
        send(devnet, self.configurator, &IPoolConfiguratorV36::initReservesCall { input: input.collect() }).await
    }

    /// Makes an e-mode category of tokens, each as collateral and to be borrowed. `terms` are LTV, liquidation threshold and
    /// incentive in basis points.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn set_category(
        &self,
        devnet: &Devnet,
        id: u8,
        terms: [u16; 3],
        members: &[Address],
    ) -> eyre::Result<()> {
        let ([ltv, threshold, bonus], label) = (terms, "category".to_owned());
        match self.release {
            Release::V3_0 => {
                let oracle = Address::ZERO;
                let call = IPoolConfigurator::setEModeCategoryCall { id, ltv, threshold, bonus, oracle, label };
                self.configure(devnet, &call).await?;
                for asset in members.iter().copied() {
                    self.configure(devnet, &IPoolConfigurator::setAssetEModeCategoryCall { asset, id }).await?;
                }
            }
            Release::V3_6 => {
                let call = IPoolConfiguratorV36::setEModeCategoryCall { id, ltv, threshold, bonus, label };
                self.configure(devnet, &call).await?;
                for asset in members.iter().copied() {
                    let collateral =
                        IPoolConfiguratorV36::setAssetCollateralInEModeCall { asset, id, isCollateral: true };
                    self.configure(devnet, &collateral).await?;
                    let debt = IPoolConfiguratorV36::setAssetBorrowableInEModeCall { asset, id, isBorrowable: true };
                    self.configure(devnet, &debt).await?;
                }
            }
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

async fn create(devnet: &Devnet, code: Bytes, arguments: Vec<u8>) -> eyre::Result<Address> {
    let request = TransactionRequest::default()
        .with_from(devnet.deployer())
        .with_deploy_code(Bytes::from([code.as_ref(), &arguments].concat()))
        .with_gas_limit(GAS);
    let receipt = devnet.provider().send_transaction(request).await?.get_receipt().await?;
    ensure!(receipt.status(), "a constructor of Aave reverted");
    receipt.contract_address.wrap_err("a contract of Aave was not created")
}
