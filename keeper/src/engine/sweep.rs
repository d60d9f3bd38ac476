//! Profit taking: tokens that lie on the signers' accounts are sent to the receiver of profits. The sender does it like
//! anything else, so that no nonce is used without the journal.

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use tokio::time::Instant;

use super::{Engine, PricedBlock};
use crate::{
    chain::Header,
    config::{Config, Token},
    intent::{GuardKind, Intent, Priority, Purpose, Scope, Subject},
    prices::{Call, ChainReader, IToken},
    sender::SenderHandle,
    view::Denomination,
};

/// Strategy that transfers are counted under.
const NAME: &str = "sweep";
/// Gas limit of a transfer: more than any token in use takes.
const TRANSFER_GAS: u64 = 200_000;
/// Gas of an ordinary transfer, from which the offered fee follows.
const EXPECTED_GAS: u64 = 65_000;
/// Multiple of the present gas price up to which a transfer is worth it.
const MAX_GAS_PRICE_FACTOR: u64 = 4;
/// Time in seconds after which a transfer that is not mined is given up.
const DEADLINE_SECS: u64 = 600;

/// Transfers to submit.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) intents: Vec<Intent>,
    /// What is sent where, for people.
    pub(super) text: String,
}

impl Engine {
    /// Submits transfers of the whole balances of these tokens, given by name or address, from every signer to the
    /// receiver of profits. Returns what is sent, in words; fails with the reason where nothing is.
    pub(super) async fn sweep(&mut self, tokens: &[String]) -> Result<String, String> {
        if !self.view.is_live() {
            return Err("this is a dry run: start with --live to send anything".to_owned());
        }
        let Some(PricedBlock { header, .. }) = self.latest.clone() else {
            return Err("no block has been applied yet: try again".to_owned());
        };
        let sender = self.submissions.sender();
        let Sweep { intents, text } = plan(&self.config, &self.pricing.reader, &header, sender, tokens).await?;
        for intent in intents {
            self.submit(intent, &header, Instant::now(), u128::from(header.base_fee));
        }
        Ok(format!("{text}; the dashboard shows when it is mined"))
    }
}

/// Plans transfers of the whole balances of these tokens, given by name or address, from every signer to the receiver of
/// profits. Fails with the reason where nothing can be sent, or where a transfer is in flight already.
pub(super) async fn plan(
    config: &Config,
    reader: &impl ChainReader,
    header: &Header,
    sender: &SenderHandle,
    tokens: &[String],
) -> Result<Sweep, String> {
    let Some(receiver) = config.liquidate.receiver else {
        return Err("name a `receiver` in [liquidate] first: a sweep sends there and nowhere else".to_owned());
    };
    let tokens = tokens.iter().map(|text| token_of(config, text)).collect::<Result<Vec<_>, _>>()?;
    let (in_flight, mut transfers) = (sender.in_flight(), Vec::new());
    for (priority, from) in accounts(sender).into_iter().filter(|(_, from)| *from != receiver) {
        for &token in &tokens {
            if in_flight.contains_key(&Subject::Sweep { from, token }) {
                let name = config.tokens.name(token);
                return Err(format!("{name} of {from} is being sent already: wait until that is mined"));
            }
            transfers.push((priority, from, token));
        }
    }
    let reads = transfers.iter().map(|(_, account, token)| {
        let data = IToken::balanceOfCall { account: *account }.abi_encode();
        Call::view(*token, data, TRANSFER_GAS)
    });
    let balances = reader.run_each(header, reads.collect::<Vec<_>>()).await.map_err(|error| error.to_string())?;
    let (mut intents, mut sent) = (Vec::new(), Vec::new());
    for ((priority, from, token), balance) in transfers.into_iter().zip(balances) {
        let data = balance.result.ok();
        let units = data.and_then(|data| IToken::balanceOfCall::abi_decode_returns(&data).ok());
        let units = units.ok_or_else(|| format!("{} tells no balance of {from}", config.tokens.name(token)))?;
        if !units.is_zero() {
            sent.push(format!("{} from {from}", Denomination::of(config, token).amount(units)));
            intents.push(transfer(config, header, priority, from, token, receiver, units));
        }
    }
    if intents.is_empty() {
        return Err(format!("the signers held nothing of that in block {}, the newest here", header.number));
    }
    Ok(Sweep { intents, text: format!("sending to {receiver}: {}", sent.join(", ")) })
}

/// Accounts that sign, each with a priority of intents that it signs.
fn accounts(sender: &SenderHandle) -> Vec<(Priority, Address)> {
    let mut accounts: Vec<(Priority, Address)> = Vec::new();
    for priority in [Priority::High, Priority::Low] {
        let signer = sender.signer(priority);
        accounts.extend(
            signer.filter(|signer| accounts.iter().all(|(_, known)| known != signer)).map(|signer| (priority, signer)),
        );
    }
    accounts
}

fn transfer(
    config: &Config,
    header: &Header,
    priority: Priority,
    from: Address,
    token: Address,
    to: Address,
    units: U256,
) -> Intent {
    let price = u128::from(header.base_fee).saturating_add(config.fees.min_priority_fee);
    Intent {
        purpose: Purpose::Sweep { from, token },
        priority,
        to: token,
        data: IToken::transferCall { to, amount: units }.abi_encode().into(),
        gas_limit: TRANSFER_GAS,
        expected_gas: EXPECTED_GAS,
        expected_gain: U256::from(price).saturating_mul(U256::from(EXPECTED_GAS * MAX_GAS_PRICE_FACTOR)),
        extra_wei: U256::ZERO,
        margin_bps: 0,
        deadline: header.timestamp.saturating_add(DEADLINE_SECS),
        scope: Scope::new(NAME, token.into_word()),
        guard: GuardKind::None,
        bid: 0,
        profit: None,
    }
}

/// Returns a token of the configuration, given by its name or address. Fails with the names that there are.
fn token_of(config: &Config, text: &str) -> Result<Address, String> {
    let address = text.parse::<Address>().ok();
    let is_meant = |token: &&Token| token.name == text || Some(token.address) == address;
    let names = || config.tokens.iter().map(|token| token.name.as_str()).collect::<Vec<_>>().join(", ");
    let token = config.tokens.iter().find(is_meant);
    token.map(|token| token.address).ok_or_else(|| format!("there is no token {text}; there are {}", names()))
}
