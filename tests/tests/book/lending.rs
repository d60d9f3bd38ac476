//! Random actions of borrowers, suppliers, the owner and backstops, which the core may refuse.

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::SolCall,
};
use plimsoll_contracts::{IPlimsoll, MarketParams};
use plimsoll_keeper::math::liquidation::ORACLE_SCALE;
use plimsoll_testkit::devnet::IOneSlotOracle;

use super::simulation::{LocalMarket, MIN_DEBT, Simulation};

impl Simulation<'_> {
    /// Returns a debt from the minimum to ten thousand times as much, in most cases scaled.
    fn some_debt(&mut self, scale: u128) -> u128 {
        let scale = if self.below(8) == 0 { 1 } else { scale };
        let debt = MIN_DEBT + ((u128::from(self.random.below(10_000)) * MIN_DEBT) >> self.random.below(14));
        debt * scale
    }

    /// Sends a random action of a random actor in a random market.
    pub(super) async fn random_lending_action(&mut self) -> eyre::Result<()> {
        let index = self.below(self.markets.len());
        let LocalMarket { params, price, scale, .. } = self.markets[index].clone();
        let (who, other) = (self.anybody(), self.anybody());
        let position = IPlimsoll::new(self.core, self.provider()).position(params.id().0, who).call().await?;
        let debt = self.some_debt(scale);
        let eighths = U256::from(1 + self.random.below(8));
        let part = |whole: U256| whole.wrapping_mul(eighths) / U256::from(8);
        let (data, none) = (Bytes::new(), U256::ZERO);
        let call = match self.random.below(20) {
            0 | 1 => {
                let assets = U256::from(debt) * U256::from(20);
                IPlimsoll::supplyCall { params, assets, shares: none, onBehalf: other, data }.abi_encode()
            }
            2 => {
                let shares = part(position.supplyShares);
                IPlimsoll::withdrawCall { params, assets: none, shares, onBehalf: who, receiver: other }.abi_encode()
            }
            3 => {
                let assets = part(position.collateral);
                IPlimsoll::withdrawCollateralCall { params, assets, onBehalf: who, receiver: other }.abi_encode()
            }
            4 => {
                let assets = collateral_worth(debt, price);
                IPlimsoll::supplyCollateralCall { params, assets, onBehalf: other, data }.abi_encode()
            }
            5 => {
                let shares = part(position.borrowShares);
                IPlimsoll::repayCall { params, assets: none, shares, onBehalf: who, data }.abi_encode()
            }
            6 => {
                let assets = U256::from(debt / 2);
                IPlimsoll::repayCall { params, assets, shares: none, onBehalf: other, data }.abi_encode()
            }
            7 => IPlimsoll::accrueCall { params }.abi_encode(),
            8 => return self.change_setting(params, who).await,
            9 => return self.backstop_action(params, who, U256::from(debt)).await,
            10 | 11 => return self.move_price(index).await,
            12 => {
                let shares = part(position.supplyShares);
                IPlimsoll::transferSupplyCall { id: params.id().0, shares, onBehalf: who, receiver: other }.abi_encode()
            }
            13 | 14 => {
                // A share of debt is worth little more than a millionth of a unit, and half of the part is safe.
                let whole = eighths == U256::from(8);
                let repay = part(position.borrowShares) / U256::from(1_000_000);
                IPlimsoll::deleverageCall {
                    params,
                    repayAssets: if whole { U256::MAX } else { repay },
                    collateralOut: part(position.collateral) / U256::from(2),
                    onBehalf: who,
                    receiver: other,
                    data,
                }
                .abi_encode()
            }
            // Most frequent, since everything else needs loans.
            _ => self.open_loan(params, price, who, debt),
        };
        self.enqueue(who, self.core, call).await
    }

    /// Returns a call that posts collateral and borrows up to its limit.
    fn open_loan(&mut self, params: MarketParams, price: U256, who: Address, debt: u128) -> Vec<u8> {
        let assets = collateral_worth(debt * u128::from(126 + self.random.below(40)) / 100, price);
        let post =
            IPlimsoll::supplyCollateralCall { params: params.clone(), assets, onBehalf: who, data: Bytes::new() };
        let (assets, shares) = (U256::from(debt), U256::ZERO);
        let take = IPlimsoll::borrowCall { params, assets, shares, onBehalf: who, receiver: who };
        let calls = vec![post.abi_encode().into(), take.abi_encode().into()];
        IPlimsoll::multicallCall { calls }.abi_encode()
    }

    /// Moves a price by up to a fifth, or back to the initial price when it has gone too far.
    async fn move_price(&mut self, index: usize) -> eyre::Result<()> {
        let percent = U256::from(80 + self.random.below(38));
        let LocalMarket { params, first_price, price, .. } = &mut self.markets[index];
        *price = *price * percent / U256::from(100);
        if *price < *first_price / U256::from(4) || *price > *first_price * U256::from(4) {
            *price = *first_price;
        }
        let (oracle, price) = (params.oracle, *price);
        self.enqueue(self.deployer(), oracle, IOneSlotOracle::setCall { price }.abi_encode()).await
    }

    /// Sends a setting of the owner, or has the fee recipient collect the reserve.
    async fn change_setting(&mut self, params: MarketParams, who: Address) -> eyre::Result<()> {
        let id = params.id().0;
        let recipient = IPlimsoll::new(self.core, self.provider()).feeRecipient(id).call().await?;
        let call = match self.random.below(4) {
            0 => IPlimsoll::setFeeCall { params, feeBps: U256::from(self.random.below(2_501)) }.abi_encode(),
            1 => IPlimsoll::setFeeRecipientCall { id, recipient: who }.abi_encode(),
            2 => IPlimsoll::setBackstopCall { id, backstop: who }.abi_encode(),
            _ => {
                let from = if recipient.is_zero() { who } else { recipient };
                let collect = IPlimsoll::collectReserveCall { params }.abi_encode();
                return self.enqueue(from, self.core, collect).await;
            }
        };
        self.enqueue(self.deployer(), self.core, call).await
    }

    /// Sends an action of a backstop, most likely the one that covers the market.
    async fn backstop_action(&mut self, params: MarketParams, who: Address, assets: U256) -> eyre::Result<()> {
        let (id, token) = (params.id().0, params.loanToken);
        let covering = IPlimsoll::new(self.core, self.provider()).backstop(id).call().await?;
        let who = if covering.is_zero() { who } else { covering };
        let call = match self.random.below(8) {
            0 => IPlimsoll::withdrawCoverCall { token, assets, receiver: who }.abi_encode(),
            1 => IPlimsoll::setCoverFloorCall { token, floor: assets }.abi_encode(),
            2..5 => IPlimsoll::setCoverLimitCall { id, limit: assets }.abi_encode(),
            _ => IPlimsoll::depositCoverCall { token, assets }.abi_encode(),
        };
        self.enqueue(who, self.core, call).await
    }
}

/// Returns the collateral that is worth an amount at a price, rounded up.
fn collateral_worth(units: u128, price: U256) -> U256 {
    (U256::from(units) * ORACLE_SCALE).div_ceil(price)
}
