//! Morpho Blue with its adaptive rate model: the real bytecode, from the npm package that embeds it.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    rpc::types::TransactionReceipt,
    sol_types::{SolCall, SolEvent, SolValue},
};
use plimsoll_protocols::morpho_blue::{IMorphoBlue, MarketParams};
use plimsoll_testkit::morpho_blue;

use super::{
    bench::Bench,
    lending::{Amount, Side, Verb},
};

/// 86 %, as on our side.
const LIQUIDATION_LTV: u64 = 860_000_000_000_000_000;
/// A tenth of the interest, as on our side.
const FEE: u64 = 100_000_000_000_000_000;
/// Virtual shares in its totals.
const VIRTUAL_SHARES: u64 = 1_000_000;

/// Morpho Blue with a market like ours.
pub(super) struct Morpho {
    core: Address,
    params: MarketParams,
}

impl Morpho {
    pub(super) async fn deploy(bench: &mut Bench<'_>) -> eyre::Result<Self> {
        let owner = bench.devnet.deployer();
        let core = bench.deploy_code(&morpho_blue::creation_code(morpho_blue::CORE)?, owner.abi_encode()).await?;
        let irm = bench.deploy_code(&morpho_blue::creation_code(morpho_blue::RATE_MODEL)?, core.abi_encode()).await?;
        let lltv = U256::from(LIQUIDATION_LTV);
        let params = MarketParams {
            loanToken: bench.loan_token,
            collateralToken: bench.collateral_token,
            oracle: bench.oracle,
            irm,
            lltv,
        };
        bench.send(owner, core, IMorphoBlue::enableIrmCall { irm }).await?;
        bench.send(owner, core, IMorphoBlue::enableLltvCall { lltv }).await?;
        bench.send(owner, core, IMorphoBlue::createMarketCall { params: params.clone() }).await?;
        let recipient = Address::from_word(keccak256("fee recipient"));
        bench.send(owner, core, IMorphoBlue::setFeeRecipientCall { recipient }).await?;
        let fee = IMorphoBlue::setFeeCall { params: params.clone(), fee: U256::from(FEE) };
        bench.send(owner, core, fee).await?;
        Ok(Self { core, params })
    }

    fn id(&self) -> B256 {
        keccak256(self.params.abi_encode())
    }

    /// Returns the debt shares that a liquidation by an amount repays.
    async fn repaid_shares(&self, bench: &Bench<'_>, borrower: Address, amount: Amount) -> eyre::Result<U256> {
        let core = IMorphoBlue::new(self.core, &bench.provider);
        Ok(match amount {
            Amount::All => U256::from(core.position(self.id(), borrower).call().await?.borrowShares),
            Amount::Units(assets) => {
                let market = core.market(self.id()).call().await?;
                assets * (U256::from(market.totalBorrowShares) + U256::from(VIRTUAL_SHARES))
                    / (U256::from(market.totalBorrowAssets) + U256::ONE)
            }
        })
    }
}

impl Side for Morpho {
    fn core(&self) -> Address {
        self.core
    }

    async fn calldata(&self, bench: &Bench<'_>, who: Address, verb: Verb) -> eyre::Result<Bytes> {
        let (params, zero, data) = (self.params.clone(), U256::ZERO, Bytes::new());
        Ok(match verb {
            Verb::Supply(assets) => {
                IMorphoBlue::supplyCall { params, assets, shares: zero, onBehalf: who, data }.abi_encode()
            }
            Verb::Withdraw(assets) => {
                IMorphoBlue::withdrawCall { params, assets, shares: zero, onBehalf: who, receiver: who }.abi_encode()
            }
            Verb::SupplyCollateral(assets) => {
                IMorphoBlue::supplyCollateralCall { params, assets, onBehalf: who, data }.abi_encode()
            }
            Verb::WithdrawCollateral(assets) => {
                IMorphoBlue::withdrawCollateralCall { params, assets, onBehalf: who, receiver: who }.abi_encode()
            }
            Verb::Borrow(assets) => {
                IMorphoBlue::borrowCall { params, assets, shares: zero, onBehalf: who, receiver: who }.abi_encode()
            }
            Verb::Repay(assets) => {
                IMorphoBlue::repayCall { params, assets, shares: zero, onBehalf: who, data }.abi_encode()
            }
            Verb::Accrue => IMorphoBlue::accrueInterestCall { params }.abi_encode(),
            Verb::Liquidate(borrower, amount) => {
                let repaid = self.repaid_shares(bench, borrower, amount).await?;
                IMorphoBlue::liquidateCall { params, borrower, seizedAssets: zero, repaidShares: repaid, data }
                    .abi_encode()
            }
            Verb::LiquidateForAllCollateral(borrower) => {
                let core = IMorphoBlue::new(self.core, &bench.provider);
                let collateral = U256::from(core.position(self.id(), borrower).call().await?.collateral);
                IMorphoBlue::liquidateCall { params, borrower, seizedAssets: collateral, repaidShares: zero, data }
                    .abi_encode()
            }
        }
        .into())
    }

    fn accrued(&self, receipt: &TransactionReceipt) -> bool {
        receipt.logs().iter().any(|log| log.topic0() == Some(&IMorphoBlue::AccrueInterest::SIGNATURE_HASH))
    }
}
