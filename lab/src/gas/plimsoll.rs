//! Plimsoll's core with a market like that of Morpho Blue.

use alloy::{
    primitives::{Address, Bytes, U256},
    rpc::types::TransactionReceipt,
    sol_types::{SolCall, SolEvent, SolValue},
};
use plimsoll_contracts::{IPlimsoll, MarketParams, RateCurve, Risk, market::SECONDS_PER_YEAR};

use super::{
    bench::Bench,
    lending::{Amount, Side, Verb},
};

const BORROW_LTV_BPS: u16 = 8_000;
const LIQUIDATION_LTV_BPS: u16 = 8_600;
/// 100 dollars.
const MIN_DEBT: u128 = 100_000_000;
/// 4 % a year, as Morpho's rate model starts.
const START_RATE_PER_SECOND: u64 = 40_000_000_000_000_000 / SECONDS_PER_YEAR;
/// A tenth of the interest.
const FEE_BPS: u64 = 1_000;

/// Plimsoll's core with a market.
pub(super) struct Plimsoll {
    core: Address,
    params: MarketParams,
}

impl Plimsoll {
    pub(super) async fn deploy(bench: &mut Bench<'_>) -> eyre::Result<Self> {
        let owner = bench.devnet.deployer();
        let core = bench.deploy("Plimsoll", owner.abi_encode()).await?;
        let params = MarketParams::new(
            bench.loan_token,
            bench.collateral_token,
            bench.oracle,
            Risk::new(BORROW_LTV_BPS, LIQUIDATION_LTV_BPS, MIN_DEBT)?,
            RateCurve::new(START_RATE_PER_SECOND, 9_000, 40_000, 500_000)?,
        );
        bench.send(owner, core, IPlimsoll::createMarketCall { params: params.clone() }).await?;
        let fee = IPlimsoll::setFeeCall { params: params.clone(), feeBps: U256::from(FEE_BPS) };
        bench.send(owner, core, fee).await?;
        Ok(Self { core, params })
    }

    /// Returns the calldata for liquidating several loans.
    pub(super) fn liquidate(&self, borrowers: Vec<Address>, max_repay: U256, receiver: Address) -> Bytes {
        IPlimsoll::liquidateCall {
            params: self.params.clone(),
            borrowers,
            maxRepay: max_repay,
            minSeizedPerRepaid: U256::ZERO,
            receiver,
            data: Bytes::new(),
        }
        .abi_encode()
        .into()
    }

    /// Returns the calldata for several verbs in one call.
    pub(super) fn multicall(calls: Vec<Bytes>) -> Bytes {
        IPlimsoll::multicallCall { calls }.abi_encode().into()
    }
}

impl Side for Plimsoll {
    fn core(&self) -> Address {
        self.core
    }

    async fn calldata(&self, _: &Bench<'_>, who: Address, verb: Verb) -> eyre::Result<Bytes> {
        let (params, shares, data) = (self.params.clone(), U256::ZERO, Bytes::new());
        Ok(match verb {
            Verb::Supply(assets) => {
                IPlimsoll::supplyCall { params, assets, shares, onBehalf: who, data }.abi_encode().into()
            }
            Verb::Withdraw(assets) => {
                IPlimsoll::withdrawCall { params, assets, shares, onBehalf: who, receiver: who }.abi_encode().into()
            }
            Verb::SupplyCollateral(assets) => {
                IPlimsoll::supplyCollateralCall { params, assets, onBehalf: who, data }.abi_encode().into()
            }
            Verb::WithdrawCollateral(assets) => {
                IPlimsoll::withdrawCollateralCall { params, assets, onBehalf: who, receiver: who }.abi_encode().into()
            }
            Verb::Borrow(assets) => {
                IPlimsoll::borrowCall { params, assets, shares, onBehalf: who, receiver: who }.abi_encode().into()
            }
            Verb::Repay(assets) => {
                IPlimsoll::repayCall { params, assets, shares, onBehalf: who, data }.abi_encode().into()
            }
            Verb::Accrue => IPlimsoll::accrueCall { params }.abi_encode().into(),
            Verb::Liquidate(borrower, Amount::Units(assets)) => self.liquidate(vec![borrower], assets, who),
            Verb::Liquidate(borrower, Amount::All) | Verb::LiquidateForAllCollateral(borrower) => {
                self.liquidate(vec![borrower], U256::MAX, who)
            }
        })
    }

    fn accrued(&self, receipt: &TransactionReceipt) -> bool {
        receipt.logs().iter().any(|log| log.topic0() == Some(&IPlimsoll::Accrue::SIGNATURE_HASH))
    }
}
