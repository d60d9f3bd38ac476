//! How the repayment is paid, and what the profit is made of.

use alloy::{
    primitives::{Address, U256, map::AddressMap},
    sol,
    sol_types::SolCall,
};
use plimsoll_chain::error::ChainError;

use super::{Liquidate, MarketSettings, Route, Settings, batches::Scene};
use crate::{
    chain::Header,
    math::{liquidation::ORACLE_SCALE, wide::mul_div_down},
    prices::{Answer, Call, Rate, Reads, Values},
    strategies::WhyNot,
};

/// More than any token takes to say a number.
const READ_GAS: u64 = 1_000_000;

sol! {
    interface IToken {
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
    }
}

/// How the repayment is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way<'a> {
    /// By selling the collateral.
    Sale(&'a Route),
    /// By what the keeper owns: so much of the loan token.
    Inventory(U256),
}

impl Way<'_> {
    pub(super) const fn pools(self) -> usize {
        match self {
            Self::Sale(route) => route.pools,
            Self::Inventory(_) => 0,
        }
    }
}

/// What a profit is made of, and what that is worth.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purse {
    /// Units of the loan token.
    Loan(Rate),
    /// Units of the collateral token.
    Collateral(Rate),
    /// Collateral for own units of the loan token.
    Both {
        /// What those are worth.
        loan: Rate,
        /// What the collateral is.
        collateral: Rate,
    },
}

impl Purse {
    /// What a bonus in units of the loan token, by the oracle's price, would be worth.
    pub(super) fn worth_of_bonus(self, bonus: U256, price: U256) -> U256 {
        match self {
            Self::Loan(rate) | Self::Both { loan: rate, .. } => rate.value_down(bonus),
            Self::Collateral(rate) => rate.value_down(mul_div_down(bonus, ORACLE_SCALE, price)),
        }
    }
}

impl Liquidate {
    /// How repayments can be paid, and what profit by each is worth; the reason where there is no way.
    pub(super) fn ways<'a>(
        &self,
        scene: Scene<'_>,
        settings: &'a MarketSettings,
        values: &Values,
        holdings: &Holdings,
    ) -> Result<Vec<(Way<'a>, Purse)>, WhyNot> {
        let mut ways = Vec::new();
        let mut why_not = WhyNot::NoRoute;
        let mut add = |way| match purse(scene, way, values) {
            Ok(purse) => ways.push((way, purse)),
            Err(problem) => why_not = problem,
        };
        if self.settings.liquidator.is_some() {
            settings.routes.iter().for_each(|route| add(Way::Sale(route)));
        }
        if settings.from_inventory {
            let token = scene.market.params().loanToken;
            let held = holdings.of(token);
            if held.is_zero() {
                why_not = WhyNot::NotEnoughInventory { token, held };
            } else {
                add(Way::Inventory(held));
            }
        }
        if ways.is_empty() { Err(why_not) } else { Ok(ways) }
    }
}

/// What profit by a way is made of, and worth.
pub(super) fn purse(scene: Scene<'_>, way: Way<'_>, values: &Values) -> Result<Purse, WhyNot> {
    let params = scene.market.params();
    let rate = |token| values.of(token).map_err(|problem| WhyNot::NoValuation { token, problem });
    Ok(match way {
        Way::Sale(route) if route.profit_in_collateral => Purse::Collateral(rate(params.collateralToken)?),
        Way::Sale(_) => Purse::Loan(rate(params.loanToken)?),
        Way::Inventory(_) => Purse::Both { loan: rate(params.loanToken)?, collateral: rate(params.collateralToken)? },
    })
}

/// What the keeper holds of tokens and the core may take.
#[derive(Debug, Clone, Default)]
pub(super) struct Holdings(AddressMap<U256>);

impl Holdings {
    fn of(&self, token: Address) -> U256 {
        self.0.get(&token).copied().unwrap_or_default()
    }

    /// Reads balances and allowances; one that cannot be read counts as 0.
    pub(super) async fn read<R: Reads>(
        reads: &R,
        header: &Header,
        settings: &Settings,
        tokens: &[Address],
    ) -> Result<Self, ChainError> {
        let (account, spender) = (settings.keeper, settings.core);
        let call = |to, data: Vec<u8>| Call { from: account, to, data: data.into(), gas: READ_GAS };
        let ask = |token: &Address| {
            let balance = IToken::balanceOfCall { account }.abi_encode();
            [call(*token, balance), call(*token, IToken::allowanceCall { owner: account, spender }.abi_encode())]
        };
        let calls: Vec<_> = tokens.iter().flat_map(ask).collect();
        let answers = reads.calls(header.hash, &calls).await?;
        let word = |answer: &Answer| U256::try_from_be_slice(answer.as_ref().ok()?.get(..32)?);
        let held = |(token, pair): (&Address, &[Answer])| {
            (*token, pair.iter().map(|answer| word(answer).unwrap_or_default()).min().unwrap_or_default())
        };
        Ok(Self(tokens.iter().zip(answers.chunks_exact(2)).map(held).collect()))
    }
}
