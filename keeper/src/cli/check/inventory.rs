//! Checks that the keeper can liquidate from inventory where it is configured to: that it holds loan tokens, and that the
//! core may pull them.

use alloy::primitives::{Address, U256};

use super::{Node, read};
use crate::{config::Config, prices::IToken, report::check::CheckReport, view::Denomination};

const AREA: &str = "inventory";

/// `keeper` is the account that signs liquidations, if its key loads.
pub(super) async fn check(report: &mut CheckReport, config: &Config, node: &Node, keeper: Option<Address>) {
    let Some(keeper) = keeper else { return };
    for market in config.liquidate.markets.values().filter(|market| market.enabled && market.from_inventory) {
        let Some(token) = market.loan_token else {
            report.warn(
                AREA,
                &market.name,
                "its loan token is not on record, so it is not known whether the keeper holds any",
                "name the deployment's record as `record` in [deployment]",
            );
            continue;
        };
        let shown = Denomination::of(config, token);
        let core = config.deployed.core;
        let balance = read(node, token, IToken::balanceOfCall { account: keeper }).await;
        let allowance = read(node, token, IToken::allowanceCall { owner: keeper, spender: core }).await;
        let (held, allowed) = match (balance, allowance) {
            (Ok(held), Ok(allowed)) => (held.unwrap_or_default(), allowed.unwrap_or_default()),
            (Err(error), _) | (_, Err(error)) => {
                report.fail(AREA, &market.name, error.to_string(), "name another node in [[endpoints]]");
                continue;
            }
        };
        let amount = |units: U256| shown.amount(units).to_string();
        if held.is_zero() {
            let remedy = format!("send {} to {keeper}, or set `from_inventory = false`", shown.name);
            report.fail(AREA, &market.name, format!("{keeper} holds no {}", shown.name), remedy);
        } else if allowed.is_zero() {
            let what = format!("{keeper} holds {}, and the core may pull none of it", amount(held));
            let approve = format!("cast send {token} \"approve(address,uint256)\" {core} AMOUNT");
            let remedy = format!("approve the core from that account, with the keeper stopped: {approve}");
            report.fail(AREA, &market.name, what, remedy);
        } else if allowed < held {
            let what = format!("{keeper} holds {}, of which the core may pull {}", amount(held), amount(allowed));
            report.warn(AREA, &market.name, what, "approve the core for more, if more is to be used");
        } else {
            report.ok(AREA, &market.name, format!("{} that the core may pull", amount(held)));
        }
    }
}
