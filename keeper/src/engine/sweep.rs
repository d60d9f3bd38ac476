//! Profit taking: tokens that lie on the signers' accounts are sent to the receiver of profits. The sender does it like
//! anything else, so that no nonce is used without the journal.

use alloy::{
    primitives::{Address, U256},
    sol,
    sol_types::SolCall,
};
use tokio::time::Instant;

use super::{Engine, FailoverReader, PricedBlock};
use crate::{
    chain::Header,
    intent::{GuardKind, Intent, Priority, Purpose, Scope, Subject},
    prices::{Call, ChainReader},
    view::Denomination,
};

/// Gas limit of a transfer: more than any token in use takes.
const TRANSFER_GAS: u64 = 200_000;
/// Gas of an ordinary transfer, which the offered fee is reckoned by.
const EXPECTED_GAS: u64 = 65_000;
/// Multiple of the present gas price up to which a transfer is worth it.
const MAX_GAS_PRICE_FACTOR: u64 = 4;
/// Time in seconds after which a transfer that is not mined is given up.
const DEADLINE_SECS: u64 = 600;

sol! {
    interface IToken {
        function balanceOf(address account) external view returns (uint256);
        function transfer(address to, uint256 amount) external returns (bool);
    }
}

/// A transfer to decide on.
struct Transfer {
    priority: Priority,
    from: Address,
    token: Address,
    units: U256,
}

impl Engine {
    /// Submits transfers of the whole balances of these tokens, given by name or address, from every signer to the
    /// receiver of profits. Returns what is sent, in words; fails with the reason where nothing is.
    pub(super) async fn sweep(&mut self, tokens: &[String]) -> Result<String, String> {
        if !self.view.is_live() {
            return Err("this is a dry run: start with --live to send anything".to_owned());
        }
        let Some(receiver) = self.config.liquidate.receiver else {
            return Err("name a `receiver` in [liquidate] first: a sweep sends there and nowhere else".to_owned());
        };
        let Some(PricedBlock { header, .. }) = self.latest.clone() else {
            return Err("no block has been applied yet: try again".to_owned());
        };
        let tokens = tokens.iter().map(|text| self.token(text)).collect::<Result<Vec<_>, _>>()?;
        let wanted = self.wanted_transfers(&header, &tokens, receiver);
        let reader = self.pricing.reader.clone();
        let transfers = with_balances(&reader, &header, wanted).await?;
        if transfers.is_empty() {
            return Err("the signers hold nothing of that".to_owned());
        }
        let mut sent = Vec::new();
        for Transfer { priority, from, token, units } in transfers {
            let amount = Denomination::of(&self.config, token).amount(units);
            sent.push(format!("{amount} from {from}"));
            let price = u128::from(header.base_fee) + self.config.fees.min_priority_fee;
            let intent = Intent {
                purpose: Purpose::Sweep { from, token },
                priority,
                to: token,
                data: IToken::transferCall { to: receiver, amount: units }.abi_encode().into(),
                gas_limit: TRANSFER_GAS,
                expected_gas: EXPECTED_GAS,
                expected_gain: U256::from(price) * U256::from(EXPECTED_GAS * MAX_GAS_PRICE_FACTOR),
                deadline: header.timestamp.saturating_add(DEADLINE_SECS),
                scope: Scope::new("sweep", token.into_word()),
                guard: GuardKind::None,
                bid: 0,
                profit: None,
            };
            self.submit(intent, &header, Instant::now(), price);
        }
        Ok(format!("sending to {receiver}: {}; the dashboard shows when it is mined", sent.join(", ")))
    }

    /// A token of the configuration, by its name or address.
    fn token(&self, text: &str) -> Result<Address, String> {
        let known = |token: &&crate::config::Token| {
            token.name == text || text.parse::<Address>().is_ok_and(|address| address == token.address)
        };
        let names = || self.config.tokens.iter().map(|token| token.name.as_str()).collect::<Vec<_>>().join(", ");
        let token = self.config.tokens.iter().find(known);
        token.map(|token| token.address).ok_or_else(|| format!("there is no token {text}; there are {}", names()))
    }

    /// Transfers of tokens from the signers' accounts that are not pending already, without their amounts.
    fn wanted_transfers(&self, header: &Header, tokens: &[Address], receiver: Address) -> Vec<Transfer> {
        let exclusion = self.submissions.exclusion(header.number, &self.pauses.active);
        let mut wanted = Vec::new();
        for (priority, from) in self.submissions.accounts() {
            for &token in tokens.iter().filter(|_| from != receiver) {
                if !exclusion.in_flight.contains_key(&Subject::Sweep { from, token }) {
                    wanted.push(Transfer { priority, from, token, units: U256::ZERO });
                }
            }
        }
        wanted
    }
}

/// Reads the whole balance for each transfer, and leaves out those of nothing. Fails where no endpoint answers, or where an
/// address is no token.
async fn with_balances(
    reader: &FailoverReader,
    header: &Header,
    mut wanted: Vec<Transfer>,
) -> Result<Vec<Transfer>, String> {
    let reads: Vec<_> = wanted.iter().map(balance_of).collect();
    let answers = reader.simulate_independent(header.hash, &reads).await.map_err(|error| error.to_string())?;
    for (wanted, answer) in wanted.iter_mut().zip(answers) {
        let data = answer.map_err(|_| format!("{} has no balances", wanted.token))?;
        wanted.units = IToken::balanceOfCall::abi_decode_returns(&data).unwrap_or_default();
    }
    wanted.retain(|wanted| !wanted.units.is_zero());
    Ok(wanted)
}

fn balance_of(Transfer { from, token, .. }: &Transfer) -> Call {
    let data = IToken::balanceOfCall { account: *from }.abi_encode().into();
    Call { from: *from, to: *token, data, gas: TRANSFER_GAS }
}
