//! A real Morpho Blue on a local chain, from the bytecode that its npm package embeds.

use std::fs;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol_types::SolValue,
};
use eyre::{ContextCompat, WrapErr, ensure};
use plimsoll_protocols::morpho_blue::{
    IMorphoBlue,
    IPreLiquidationFactory::{self, CreatePreLiquidation},
    MarketParams, PreLiquidationParams,
};

use crate::{
    devnet::{Devnet, mined},
    workspace::workspace,
};

/// The contract's file in the package.
pub const CORE: &str = "morpho-blue/src/Morpho__factory.js";
/// The file of its adaptive rate model.
pub const RATE_MODEL: &str = "morpho-blue-irm/src/adaptive-curve-irm/AdaptiveCurveIrm__factory.js";

/// Folder of the package with the bytecode, from the root of the repository.
const FACTORIES: &str = "node_modules/@morpho-org/morpho-blue-bundlers/types/factories/lib";

/// Morpho Blue with its adaptive rate model. The owner is the node's deployer.
#[derive(Debug, Clone, Copy)]
pub struct MorphoBlue {
    /// Address of the contract.
    pub core: Address,
    /// Address of the rate model, which is enabled.
    pub rate_model: Address,
}

impl MorphoBlue {
    /// Deploys the contract and its rate model.
    ///
    /// # Errors
    /// When the npm package is missing, or a transaction fails.
    pub async fn deploy(devnet: &Devnet) -> eyre::Result<Self> {
        let owner = devnet.deployer();
        let core = create(devnet, CORE, owner.abi_encode()).await?;
        let rate_model = create(devnet, RATE_MODEL, core.abi_encode()).await?;
        mined(IMorphoBlue::new(core, devnet.provider()).enableIrm(rate_model).from(owner)).await?;
        Ok(Self { core, rate_model })
    }

    /// Creates a market with a liquidation LTV × 10¹⁸, which is enabled for it, and returns its parameters.
    ///
    /// # Errors
    /// When a transaction fails: the LTV must be below 1 and not be enabled yet.
    pub async fn create_market(
        &self,
        devnet: &Devnet,
        [collateral, loan]: [Address; 2],
        oracle: Address,
        lltv: U256,
    ) -> eyre::Result<MarketParams> {
        let core = IMorphoBlue::new(self.core, devnet.provider());
        let params = MarketParams { loanToken: loan, collateralToken: collateral, oracle, irm: self.rate_model, lltv };
        mined(core.enableLltv(lltv).from(devnet.deployer())).await?;
        mined(core.createMarket(params.clone()).from(devnet.deployer())).await?;
        Ok(params)
    }
}

/// The factory of pre-liquidation contracts: a stand-in, written after their public interface and behaviour, since no package
/// has their bytecode.
#[derive(Debug, Clone, Copy)]
pub struct PreLiquidations {
    /// Address of the factory.
    pub factory: Address,
}

impl PreLiquidations {
    /// Deploys the factory for a Morpho Blue.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn deploy(devnet: &Devnet, morpho: &MorphoBlue) -> eyre::Result<Self> {
        let factory = devnet.deploy("StandInPreLiquidationFactory", morpho.core.abi_encode()).await?;
        Ok(Self { factory })
    }

    /// Creates a contract for a market, and returns its address.
    ///
    /// # Errors
    /// When the contract refuses the parameters, or one with them exists.
    pub async fn create(&self, devnet: &Devnet, market: B256, params: PreLiquidationParams) -> eyre::Result<Address> {
        let factory = IPreLiquidationFactory::new(self.factory, devnet.provider());
        let receipt = mined(factory.createPreLiquidation(market, params).from(devnet.deployer())).await?;
        let created = receipt.decoded_log::<CreatePreLiquidation>().wrap_err("no contract was created")?;
        Ok(created.preLiquidation)
    }
}

/// Creates a contract from a file of the package. Returns its address.
///
/// # Errors
/// When the file cannot be read, or the constructor reverts.
pub async fn create(devnet: &Devnet, file: &str, arguments: Vec<u8>) -> eyre::Result<Address> {
    let code = [&creation_code(file)?[..], &arguments].concat();
    let request = TransactionRequest::default().with_from(devnet.deployer()).with_deploy_code(Bytes::from(code));
    let receipt = devnet.provider().send_transaction(request).await?.get_receipt().await?;
    ensure!(receipt.status(), "the constructor of {file} reverted");
    receipt.contract_address.wrap_err_with(|| format!("{file} was not created"))
}

/// Reads the creation code that a file of the package assigns to `_bytecode`.
///
/// # Errors
/// When the file cannot be read, or has none.
pub fn creation_code(file: &str) -> eyre::Result<Bytes> {
    let path = workspace()?.root().join(FACTORIES).join(file);
    let text = fs::read_to_string(&path).wrap_err_with(|| path.display().to_string())?;
    let code = text.split_once("_bytecode = \"").and_then(|(_, rest)| rest.split_once('"')).map(|(code, _)| code);
    let code = code.wrap_err_with(|| format!("{} embeds no bytecode", path.display()))?;
    let code: Bytes = code.parse().wrap_err_with(|| path.display().to_string())?;
    ensure!(!code.is_empty(), "{} embeds no bytecode", path.display());
    Ok(code)
}
