//! Funding of the repayment, by flash swap or from inventory, and the token that the profit is in.

use alloy::{
    primitives::{Address, U256, map::AddressMap},
    sol_types::SolCall,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::MarketParams;

use super::{Liquidate, LiquidateSettings, MarketSettings, SwapRoute, market_snapshot::MarketSnapshot};
use crate::{
    chain::Header,
    intent::Profit,
    math::{liquidation::ORACLE_SCALE, wide::mul_div_down},
    prices::{Call, ChainReader, IToken, NoValuation, Rate, SimulatedCall, Values},
    strategies::SkipReason,
};

/// Gas limit of reading a balance or an allowance: more than any token uses.
const READ_GAS: u64 = 1_000_000;

/// Where the tokens of the repayment come from, with the rates that value the profit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Funding<'a> {
    /// The `Liquidator` contract gets the seized collateral first, swaps it and repays from the proceeds, all in one
    /// call: no capital is needed.
    FlashSwap {
        /// Route of the swap.
        route: &'a SwapRoute,
        /// Token that the profit is in.
        profit: ProfitToken,
        /// Units of that token that one wei is worth, times 2^96, by which the contract converts the cost of gas.
        units_per_wei_x96: u128,
    },
    /// The keeper repays from its own loan tokens and keeps the collateral.
    Inventory {
        /// Units of the loan token that the keeper holds and the core is allowed to pull.
        available: U256,
        /// Value of the loan token.
        loan: Rate,
        /// Value of the collateral token.
        collateral: Rate,
    },
}

/// The token that the profit of a flash swap is in, with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProfitToken {
    /// The loan token: all of the collateral is sold.
    Loan(Rate),
    /// The collateral token: only what the repayment needs is sold.
    Collateral(Rate),
}

impl ProfitToken {
    /// Returns the value of the token.
    pub(super) const fn rate(self) -> Rate {
        match self {
            Self::Loan(rate) | Self::Collateral(rate) => rate,
        }
    }
}

impl Funding<'_> {
    /// Returns the token that the profit is in, with the values by which the receipt's events are valued.
    pub(super) const fn profit(self, params: &MarketParams) -> Profit {
        match self {
            Self::FlashSwap { profit: ProfitToken::Loan(rate), .. } => {
                Profit { token: params.loanToken, rate, repaid: None, builder_share_bps: 0 }
            }
            Self::FlashSwap { profit: ProfitToken::Collateral(rate), .. } => {
                Profit { token: params.collateralToken, rate, repaid: None, builder_share_bps: 0 }
            }
            Self::Inventory { loan, collateral, .. } => {
                Profit { token: params.collateralToken, rate: collateral, repaid: Some(loan), builder_share_bps: 0 }
            }
        }
    }

    /// Returns the number of pools that the collateral is swapped through.
    pub(super) const fn pools(self) -> usize {
        match self {
            Self::FlashSwap { route, .. } => route.pools,
            Self::Inventory { .. } => 0,
        }
    }

    /// Returns the highest repayment of one transaction, in units of the loan token; `U256::MAX` where there is no limit.
    pub(super) fn max_repay(self, settings: &MarketSettings) -> U256 {
        let configured = settings.max_repay.unwrap_or(U256::MAX);
        match self {
            Self::FlashSwap { .. } => configured,
            Self::Inventory { available, .. } => configured.min(available),
        }
    }

    /// Returns the value in wei, rounded down, of a liquidation incentive in units of the loan token at the oracle's
    /// `price`.
    pub(super) fn incentive_value(self, incentive: U256, price: U256) -> U256 {
        match self {
            Self::FlashSwap { profit: ProfitToken::Loan(rate), .. } | Self::Inventory { loan: rate, .. } => {
                rate.value_down(incentive)
            }
            Self::FlashSwap { profit: ProfitToken::Collateral(rate), .. } => {
                rate.value_down(mul_div_down(incentive, ORACLE_SCALE, price))
            }
        }
    }
}

impl Liquidate {
    /// Returns every funding that a market's settings allow and whose profit can be valued, in the order of preference;
    /// the reason of the last one that does not work, where none does.
    pub(super) fn fundings<'a>(
        &self,
        snapshot: MarketSnapshot<'a>,
        values: &Values,
        inventory: &Inventory,
    ) -> Result<Vec<Funding<'a>>, SkipReason> {
        let params = snapshot.market.params();
        let rate = |token| values.of(token).map_err(|problem| SkipReason::NoValuation { token, problem });
        let (mut fundings, mut reason) = (Vec::new(), SkipReason::NoRoute);
        let mut add = |funding| match funding {
            Ok(funding) => fundings.push(funding),
            Err(problem) => reason = problem,
        };
        if self.settings.liquidator.is_some() {
            for route in &snapshot.settings.routes {
                let (token, profit): (_, fn(Rate) -> ProfitToken) = if route.profit_in_collateral {
                    (params.collateralToken, ProfitToken::Collateral)
                } else {
                    (params.loanToken, ProfitToken::Loan)
                };
                let profit = rate(token).map(|rate| (token, profit(rate)));
                add(profit.and_then(|(token, profit)| {
                    let problem = NoValuation::OutOfRange;
                    let units_per_wei_x96 =
                        profit.rate().units_per_wei_x96().ok_or(SkipReason::NoValuation { token, problem })?;
                    Ok(Funding::FlashSwap { route, profit, units_per_wei_x96 })
                }));
            }
        }
        if snapshot.settings.from_inventory {
            let token = params.loanToken;
            let available = inventory.available(token);
            if available.is_zero() {
                add(Err(SkipReason::NotEnoughInventory { token, held: available }));
            } else {
                let rates = rate(token).and_then(|loan| Ok((loan, rate(params.collateralToken)?)));
                add(rates.map(|(loan, collateral)| Funding::Inventory { available, loan, collateral }));
            }
        }
        if fundings.is_empty() { Err(reason) } else { Ok(fundings) }
    }
}

/// The keeper's own tokens that the core is allowed to pull.
#[derive(Debug, Clone, Default)]
pub(super) struct Inventory(AddressMap<U256>);

impl Inventory {
    /// Returns how many units of a token may be used for repayments.
    fn available(&self, token: Address) -> U256 {
        self.0.get(&token).copied().unwrap_or_default()
    }

    /// Returns the calls that read the keeper's balance of a token and its allowance to the core.
    pub(super) fn calls(settings: &LiquidateSettings, token: Address) -> [Call; 2] {
        let (account, spender) = (settings.keeper, settings.core);
        let call = |data: Vec<u8>| Call::view(token, data, READ_GAS);
        let balance = IToken::balanceOfCall { account }.abi_encode();
        [call(balance), call(IToken::allowanceCall { owner: account, spender }.abi_encode())]
    }

    /// Reads the keeper's balances of `tokens` and its allowances to the core; one that cannot be read counts as 0. Fails
    /// where no node answers.
    pub(super) async fn read<R: ChainReader>(
        reader: &R,
        header: &Header,
        settings: &LiquidateSettings,
        tokens: &[Address],
    ) -> Result<Self, ChainError> {
        let calls: Vec<_> = tokens.iter().flat_map(|token| Self::calls(settings, *token)).collect();
        let results = reader.run_each(header, calls).await?;
        let word = |call: &SimulatedCall| U256::try_from_be_slice(call.result.as_ref().ok()?.get(..32)?);
        let available = |(token, pair): (&Address, &[SimulatedCall])| {
            (*token, pair.iter().map(|call| word(call).unwrap_or_default()).min().unwrap_or_default())
        };
        Ok(Self(tokens.iter().zip(results.chunks_exact(2)).map(available).collect()))
    }
}
