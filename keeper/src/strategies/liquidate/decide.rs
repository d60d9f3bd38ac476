//! From what was tried to what is sent.

use alloy::{
    primitives::{Address, U256, map::AddressSet},
    sol_types::SolCall,
};
use plimsoll_contracts::{ILiquidator, IPlimsoll, market::BPS};

use super::{
    super::{
        reverts::Revert,
        why_not::{Decision, WhyNot},
    },
    Liquidate, Moment, Round, Verdict,
    batches::Scene,
    offers::{Guard, Offer},
    round::Plan,
    ways::{Purse, Way, purse},
};
use crate::{
    intent::{Intent, Purpose, Urgency},
    math::{liquidation::ORACLE_SCALE, wide::mul_div_down},
    prices::{Trial, Values},
};

/// What an offer would bring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quote {
    repaid: U256,
    /// In the token that the profit is in; where it is paid from inventory, the collateral.
    profit: U256,
    gain_wei: U256,
    gas: u64,
    gas_wei: U256,
}

impl Quote {
    /// What is left of the gain after its gas.
    pub(super) const fn net(&self) -> U256 {
        self.gain_wei.saturating_sub(self.gas_wei)
    }
}

impl Liquidate {
    /// Chooses of a market's offers the one that brings most after its gas, and goes on with further batches as long as
    /// they pay.
    pub(super) fn decide(
        &self,
        plan: &Plan<'_>,
        moment: Moment<'_>,
        values: &Values,
        alone: &[Trial],
        in_a_row: &[Trial],
        round: &mut Round,
    ) {
        let quotes: Vec<_> = plan
            .offers
            .iter()
            .zip(alone)
            .map(|(offer, trial)| self.quote(plan.scene, offer, values, moment, trial))
            .collect();
        let paying = plan.offers.iter().zip(&quotes).filter_map(|(offer, quote)| Some((offer, quote.as_ref().ok()?)));
        let best = paying
            .filter(|(_, quote)| moment.costs.are_worth(quote.gain_wei, quote.gas_wei))
            // The first of equals: the larger part, and the way that was named first.
            .reduce(|best, next| if next.1.net() > best.1.net() { next } else { best });
        let Some((offer, quote)) = best else {
            round.leave(plan.scene.id(), plan.accounts(), &why_none(&plan.offers, &quotes));
            return;
        };
        let mut sent = AddressSet::default();
        let whole = plan.sequence.first().is_some_and(|whole| whole == offer);
        if whole {
            for (offer, trial) in plan.sequence.iter().zip(in_a_row) {
                let Ok(quote) = self.quote(plan.scene, offer, values, moment, trial) else { break };
                if !moment.costs.are_worth(quote.gain_wei, quote.gas_wei) {
                    break;
                }
                self.send(plan, offer, &quote, values, round, &mut sent);
            }
        }
        // Also where trying them in a row found otherwise: by itself it went through.
        if sent.is_empty() {
            self.send(plan, offer, quote, values, round, &mut sent);
        }
        let waiting: Vec<_> = plan.accounts().filter(|account| !sent.contains(account)).collect();
        round.leave(plan.scene.id(), waiting, &WhyNot::OthersFirst { repaid: quote.repaid });
    }

    pub(super) fn quote(
        &self,
        scene: Scene<'_>,
        offer: &Offer<'_>,
        values: &Values,
        moment: Moment<'_>,
        trial: &Trial,
    ) -> Result<Quote, Revert> {
        let unreadable = || Revert::Other("the contract answers something else".into());
        let data = trial.answer.as_ref().map_err(Revert::of)?;
        let (repaid, seized, profit) = match offer.way {
            Way::Sale(_) => {
                let outcome = ILiquidator::liquidateCall::abi_decode_returns(data).map_err(|_| unreadable())?;
                (outcome.repaid, outcome.seized, outcome.profit)
            }
            Way::Inventory(_) => {
                let outcome = IPlimsoll::liquidateCall::abi_decode_returns(data).map_err(|_| unreadable())?;
                (outcome.repaid, outcome.seized, outcome.seized)
            }
        };
        let purse = purse(scene, offer.way, values).map_err(|why_not| Revert::Other(why_not.to_string()))?;
        let bytes = offer.call(&self.settings, scene, Guard::default()).data.len();
        let gain_wei = match purse {
            Purse::Loan(rate) | Purse::Collateral(rate) => rate.value_down(profit),
            Purse::Both { loan, collateral } => collateral.value_down(seized).saturating_sub(loan.value_up(repaid)),
        };
        let gas = trial.gas_used;
        Ok(Quote { repaid, profit, gain_wei, gas, gas_wei: moment.costs.of(gas, bytes) })
    }

    fn send(
        &self,
        plan: &Plan<'_>,
        offer: &Offer<'_>,
        quote: &Quote,
        values: &Values,
        round: &mut Round,
        sent: &mut AddressSet,
    ) {
        let Ok(purse) = purse(plan.scene, offer.way, values) else { return };
        let (guard, table) = (self.guard(purse, offer, quote), &self.settings.gas);
        let call = offer.call(&self.settings, plan.scene, guard);
        let market = plan.scene.id();
        let decision = Decision::Act { gain_wei: quote.gain_wei, gas_wei: quote.gas_wei };
        let verdict = |account: &Address| Verdict { market, account: *account, decision: decision.clone() };
        round.verdicts.extend(offer.borrowers.iter().map(verdict));
        sent.extend(offer.borrowers.iter().copied());
        round.intents.push(Intent {
            purpose: Purpose::Liquidate { market: market.0, borrowers: offer.borrowers.clone() },
            urgency: Urgency::Urgent,
            to: call.to,
            data: call.data,
            gas_limit: if table.as_tried { table.limit(quote.gas) } else { offer.gas_limit },
            expected_gas: quote.gas,
            expected_gain: quote.gain_wei,
            deadline: self.settings.deadline(plan.scene.timestamp),
        });
    }

    fn guard(&self, purse: Purse, offer: &Offer<'_>, quote: &Quote) -> Guard {
        match purse {
            Purse::Loan(rate) | Purse::Collateral(rate) => {
                let gas = rate.units_up(quote.gas_wei);
                let slack_bps = U256::from(u32::from(self.settings.slack_bps).min(BPS));
                let most = quote.profit - mul_div_down(quote.profit, slack_bps, U256::from(BPS));
                let min_profit = if offer.borrowers.len() == 1 { gas.max(most) } else { gas };
                Guard { min_profit: min_profit.min(quote.profit), ..Guard::default() }
            }
            Purse::Both { loan, collateral } => {
                let wanted = collateral.units_up(loan.value_up(quote.repaid).saturating_add(quote.gas_wei));
                let min_seized_per_repaid = mul_div_down(wanted, ORACLE_SCALE, quote.repaid.max(U256::ONE));
                Guard { min_seized_per_repaid, ..Guard::default() }
            }
        }
    }
}

/// Why none of the offers is worth sending: by the one that came nearest to it.
fn why_none(offers: &[Offer<'_>], quotes: &[Result<Quote, Revert>]) -> WhyNot {
    let near = |quote: &&Quote| quote.gain_wei.saturating_add(U256::MAX >> 1).saturating_sub(quote.gas_wei);
    if let Some(quote) = quotes.iter().filter_map(|quote| quote.as_ref().ok()).max_by_key(near) {
        return WhyNot::GainBelowGas { gain_wei: quote.gain_wei, gas_wei: quote.gas_wei };
    }
    let reverts = offers.iter().zip(quotes).filter_map(|(offer, quote)| Some((offer, quote.as_ref().err()?)));
    let Some((offer, revert)) = reverts.min_by_key(|(offer, revert)| (!revert.is_of_the_exchange(), offer.repaid))
    else {
        return WhyNot::NoPartPossible;
    };
    match revert {
        Revert::NothingToLiquidate => WhyNot::LostRace,
        revert if revert.is_of_the_exchange() => WhyNot::SwapTooThin { repaid: offer.repaid, revert: revert.clone() },
        revert => WhyNot::Reverts(revert.clone()),
    }
}
