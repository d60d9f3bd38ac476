//! Finds out on the chain whether a step is done, what is left to do, or what prevents it. Nothing is cached between two
//! inspections, so everything that has happened in between – a crash, somebody else's transaction – is taken into account.

use alloy::{
    primitives::{Address, Bytes, U256, aliases::U24, aliases::U160},
    providers::Provider,
    rpc::types::{Filter, Log},
    sol_types::{SolCall, SolEvent},
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::{
    IBackstop, IPlimsoll, IRewards,
    deployment::{Deployment, Sent},
};

use crate::{
    abi::{IToken, IUniswapV3Factory, IUniswapV3Pool},
    connection::Chain,
    create2,
    design::{Cover, Creation, Design, Funding, Market, Pool, Programme, Step, Work},
    manifest::units::decimal_text,
};

/// Length of a reward epoch: a week. Epochs are counted from 1970.
const EPOCH_SECS: u64 = 7 * 24 * 60 * 60;
/// Gas assumed for a call that cannot be simulated yet.
const CALL_GAS: u64 = 400_000;
/// Gas assumed for the creation of a pool, which is a contract of its own.
const POOL_GAS: u64 = 5_000_000;
/// Gas of a transfer of ether.
const TRANSFER_GAS: u64 = 21_000;

/// State of a step on the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepStatus {
    /// The chain matches the manifest.
    Done,
    /// The payment was made earlier, by a transaction that is not in the record.
    Paid(Sent),
    /// These actions are left, in this order.
    ToDo(Vec<Action>),
    /// Another account must send a transaction.
    ForOthers {
        /// Account that may send it.
        who: Address,
        /// The transaction.
        call: Call,
    },
    /// The step can be continued later.
    Waiting {
        /// Earliest time, in seconds since 1970.
        until: u64,
    },
    /// The chain differs from the manifest, and is left unchanged.
    Differs {
        /// Value on the chain.
        found: String,
        /// Value in the manifest.
        wanted: String,
    },
    /// The step cannot be executed, for this reason.
    Refused(String),
}

/// One action of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sign a transaction and send it.
    Send(Call),
    /// Send the presigned transaction that creates the deterministic deployer.
    SendFactory,
    /// Set the code of the deterministic deployer, on a local chain.
    PlaceFactory,
}

/// A transaction to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Recipient of the call.
    pub to: Address,
    /// Calldata.
    pub input: Bytes,
    /// Value in wei.
    pub value: U256,
    /// Gas assumed where it cannot be simulated.
    pub gas_guess: u64,
}

impl Call {
    fn of<C: SolCall>(to: Address, call: &C) -> Self {
        Self { to, input: call.abi_encode().into(), value: U256::ZERO, gas_guess: CALL_GAS }
    }
}

fn send<C: SolCall>(to: Address, call: &C) -> Action {
    Action::Send(Call::of(to, call))
}

/// Inspects one step. Fails only if a request to the chain fails.
pub async fn inspect(
    chain: &Chain,
    design: &Design,
    record: &Deployment,
    step: &Step,
) -> Result<StepStatus, ChainError> {
    inspect_reserving(chain, design, record, step, U256::ZERO).await
}

/// Inspects one step as [`inspect`] does, when earlier steps will still spend `reserved` of the token that it pays.
pub async fn inspect_reserving(
    chain: &Chain,
    design: &Design,
    record: &Deployment,
    step: &Step,
    reserved: U256,
) -> Result<StepStatus, ChainError> {
    match &step.work {
        Work::Factory => factory(chain).await,
        Work::Create(creation) => create(chain, creation).await,
        Work::CreatePool(pool) => create_pool(chain, pool).await,
        Work::StartPool(pool) => start_pool(chain, pool).await,
        Work::CreateMarket(market) => create_market(chain, market).await,
        Work::SetFee(market, fee_bps) => {
            let stored = chain.read(market.core, IPlimsoll::marketCall { id: market.id.0 }).await?;
            let found = stored.map_or(U256::ZERO, |stored| stored.feeBps);
            let wanted = U256::from(*fee_bps);
            let call = IPlimsoll::setFeeCall { params: market.params.clone(), feeBps: wanted };
            let text = |bps: U256| format!("a fee of {}%", decimal_text(bps, 2));
            owners_setting(chain, design, market, (found, wanted), &text, &call).await
        }
        Work::SetFeeRecipient(market, wanted) => {
            let found = chain.read(market.core, IPlimsoll::feeRecipientCall { id: market.id.0 }).await?;
            let call = IPlimsoll::setFeeRecipientCall { id: market.id.0, recipient: *wanted };
            let text = |address: Address| format!("the recipient {address}");
            owners_setting(chain, design, market, (found.unwrap_or_default(), *wanted), &text, &call).await
        }
        Work::SetBackstop(market, wanted) => {
            let found = chain.read(market.core, IPlimsoll::backstopCall { id: market.id.0 }).await?;
            let call = IPlimsoll::setBackstopCall { id: market.id.0, backstop: *wanted };
            let text = |address: Address| format!("the backstop {address}");
            owners_setting(chain, design, market, (found.unwrap_or_default(), *wanted), &text, &call).await
        }
        Work::Cover(cover) => cover_limit(chain, design, cover).await,
        Work::CreateProgramme(programme) => create_programme(chain, programme).await,
        Work::Fund(funding) => fund(chain, design, record, funding, reserved).await,
    }
}

async fn factory(chain: &Chain) -> Result<StepStatus, ChainError> {
    let code = chain.code(create2::FACTORY).await?;
    if code[..] == create2::FACTORY_CODE {
        return Ok(StepStatus::Done);
    }
    if !code.is_empty() {
        return Ok(StepStatus::Refused(format!(
            "{} holds other code than the deterministic deployer: this chain cannot be used",
            create2::FACTORY
        )));
    }
    if chain.local().is_some() {
        return Ok(StepStatus::ToDo(vec![Action::PlaceFactory]));
    }
    let missing = create2::FACTORY_COST.saturating_sub(chain.balance(create2::FACTORY_SIGNER).await?);
    let pay = Call { to: create2::FACTORY_SIGNER, input: Bytes::new(), value: missing, gas_guess: TRANSFER_GAS };
    let pay = (!missing.is_zero()).then_some(Action::Send(pay));
    Ok(StepStatus::ToDo(pay.into_iter().chain([Action::SendFactory]).collect()))
}

async fn create(chain: &Chain, creation: &Creation) -> Result<StepStatus, ChainError> {
    if !chain.code(creation.address).await?.is_empty() {
        return Ok(StepStatus::Done);
    }
    let input = create2::call_data(creation.salt, &creation.init_code);
    let gas_guess = creation_gas(creation.init_code.len());
    Ok(StepStatus::ToDo(vec![Action::Send(Call { to: create2::FACTORY, input, value: U256::ZERO, gas_guess })]))
}

/// Returns an upper bound of the gas for creating a contract, without that of its constructor: every byte is sent and
/// stored.
fn creation_gas(init_code_bytes: usize) -> u64 {
    let per_byte = 16 + 200 + 2;
    u64::try_from(init_code_bytes).unwrap_or(u64::MAX).saturating_mul(per_byte).saturating_add(CALL_GAS)
}

async fn create_pool(chain: &Chain, pool: &Pool) -> Result<StepStatus, ChainError> {
    let (token0, token1, fee) = (pool.token0, pool.token1, U24::from(pool.fee));
    let asked = IUniswapV3Factory::getPoolCall { tokenA: token0, tokenB: token1, fee };
    Ok(match chain.read(pool.factory, asked).await? {
        Some(found) if found == pool.address => StepStatus::Done,
        Some(found) if !found.is_zero() => StepStatus::Differs {
            found: format!("the pool {found}"),
            wanted: format!("{}, where Uniswap V3's own code puts it", pool.address),
        },
        _ => {
            let call =
                Call::of(pool.factory, &IUniswapV3Factory::createPoolCall { tokenA: token0, tokenB: token1, fee });
            StepStatus::ToDo(vec![Action::Send(Call { gas_guess: POOL_GAS, ..call })])
        }
    })
}

async fn start_pool(chain: &Chain, pool: &Pool) -> Result<StepStatus, ChainError> {
    let slot = chain.read(pool.address, IUniswapV3Pool::slot0Call {}).await?;
    if slot.is_some_and(|slot| !slot.sqrtPriceX96.is_zero()) {
        return Ok(StepStatus::Done);
    }
    let call = IUniswapV3Pool::initializeCall { sqrtPriceX96: U160::saturating_from(pool.sqrt_price_x96) };
    Ok(StepStatus::ToDo(vec![send(pool.address, &call)]))
}

async fn create_market(chain: &Chain, market: &Market) -> Result<StepStatus, ChainError> {
    let found = chain.read(market.core, IPlimsoll::marketParamsCall { id: market.id.0 }).await?;
    if found.is_some_and(|found| found == market.params) {
        return Ok(StepStatus::Done);
    }
    Ok(StepStatus::ToDo(vec![send(market.core, &IPlimsoll::createMarketCall { params: market.params.clone() })]))
}

/// Inspects a setting that only the core's owner may change. It is made only where nothing is set yet.
async fn owners_setting<T: PartialEq + Default + Copy, C: SolCall>(
    chain: &Chain,
    design: &Design,
    market: &Market,
    (found, wanted): (T, T),
    text: &dyn Fn(T) -> String,
    call: &C,
) -> Result<StepStatus, ChainError> {
    if found == wanted && create_market(chain, market).await? == StepStatus::Done {
        return Ok(StepStatus::Done);
    }
    if found != T::default() {
        return Ok(StepStatus::Differs { found: text(found), wanted: text(wanted) });
    }
    let owner = chain.read(market.core, IPlimsoll::ownerCall {}).await?.unwrap_or(design.owner);
    let call = Call::of(market.core, call);
    Ok(by(design.deployer, owner, call))
}

fn by(deployer: Address, who: Address, call: Call) -> StepStatus {
    if who == deployer { StepStatus::ToDo(vec![Action::Send(call)]) } else { StepStatus::ForOthers { who, call } }
}

async fn cover_limit(chain: &Chain, design: &Design, cover: &Cover) -> Result<StepStatus, ChainError> {
    let id = cover.market.id.0;
    let asked = IPlimsoll::coverLimitCall { backstop: cover.backstop, id };
    let found = chain.read(cover.market.core, asked).await?.unwrap_or_default();
    if found == cover.limit {
        return Ok(StepStatus::Done);
    }
    if !found.is_zero() {
        let text = |limit: U256| format!("a limit of {limit} units");
        return Ok(StepStatus::Differs { found: text(found), wanted: text(cover.limit) });
    }
    let now = chain.head().await?.timestamp;
    let announced = chain.read(cover.backstop, IBackstop::announcedLimitCall { id }).await?.unwrap_or_default();
    let (opens, closes) = (announced.opensAt.saturating_to::<u64>(), announced.closesAt.saturating_to::<u64>());
    if announced.limit == cover.limit && now <= closes {
        return Ok(if now < opens {
            StepStatus::Waiting { until: opens }
        } else {
            StepStatus::ToDo(vec![send(cover.backstop, &IBackstop::applyLimitCall { id })])
        });
    }
    let curator = chain.read(cover.backstop, IBackstop::curatorCall {}).await?.unwrap_or(cover.curator);
    let call = Call::of(cover.backstop, &IBackstop::announceLimitCall { id, limit: cover.limit });
    Ok(by(design.deployer, curator, call))
}

async fn create_programme(chain: &Chain, programme: &Programme) -> Result<StepStatus, ChainError> {
    let state = chain.read(programme.contract, IRewards::poolStateCall { pool: programme.id }).await?;
    if state.is_some_and(|state| !state.stakeToken.is_zero()) {
        return Ok(StepStatus::Done);
    }
    let call = IRewards::createPoolCall {
        stakeToken: programme.stake_token,
        rewardTokens: programme.reward_tokens.clone(),
        salt: programme.salt,
    };
    Ok(StepStatus::ToDo(vec![send(programme.contract, &call)]))
}

async fn fund(
    chain: &Chain,
    design: &Design,
    record: &Deployment,
    funding: &Funding,
    reserved: U256,
) -> Result<StepStatus, ChainError> {
    if let Some(sent) = record.fundings.get(&funding.id) {
        return Ok(match chain.receipt(sent.transaction).await? {
            Some(_) => StepStatus::Done,
            // A reorged transaction may be mined again, so paying a second time needs a person's decision.
            None => StepStatus::Differs {
                found: format!("no transaction {}", sent.transaction),
                wanted: "as paid by it, as the record says".to_owned(),
            },
        });
    }
    let (rewards, pool) = (funding.programme.contract, funding.programme.id);
    let state = chain.read(rewards, IRewards::streamStateCall { pool, rewardToken: funding.token }).await?;
    if state.is_some_and(|state| !state.funded.is_zero()) {
        match paid_before(chain, design, record, funding).await {
            Ok(None) => {}
            Ok(Some(sent)) => return Ok(StepStatus::Paid(sent)),
            Err(error) => {
                return Ok(StepStatus::Refused(format!(
                    "the programme was funded by somebody, and whether that was this payment is unknown, because the \
                     node cannot search its log ({error}): use an endpoint that does, or bring the record back"
                )));
            }
        }
    }

    let next = chain.head().await?.timestamp / EPOCH_SECS + 1;
    let first = funding.starts.unwrap_or(next);
    if first < next {
        return Ok(StepStatus::Refused(format!(
            "it should start in week {first} since 1970, but the earliest is now {next}: move `starts`, or leave it out"
        )));
    }
    let held = chain.read(funding.token, IToken::balanceOfCall { account: design.deployer }).await?.unwrap_or_default();
    let missing = funding.amount.saturating_sub(held.saturating_sub(reserved));
    let mut actions = Vec::new();
    if !missing.is_zero() {
        if !funding.can_mint {
            return Ok(StepStatus::Refused(format!(
                "the deployer {} holds {held} units of {}, {missing} less than are to be paid",
                design.deployer, funding.token
            )));
        }
        actions.push(send(funding.token, &IToken::mintCall { to: design.deployer, amount: missing }));
    }
    let asked = IToken::allowanceCall { owner: design.deployer, spender: rewards };
    let allowed = chain.read(funding.token, asked).await?.unwrap_or_default().saturating_sub(reserved);
    if allowed < funding.amount {
        let approve = |amount| send(funding.token, &IToken::approveCall { spender: rewards, amount });
        if !allowed.is_zero() {
            // Some tokens allow a change of an allowance only from or to 0.
            actions.push(approve(U256::ZERO));
        }
        actions.push(approve(funding.amount));
    }
    let (first_epoch, epochs) = (U256::from(first), U256::from(funding.epochs));
    let call = IRewards::fundCall {
        pool,
        rewardToken: funding.token,
        amount: funding.amount,
        firstEpoch: first_epoch,
        epochs,
    };
    actions.push(send(rewards, &call));
    Ok(StepStatus::ToDo(actions))
}

/// Searches the log for a payment by the deployer that matches and belongs to no other entry of the record, so that nothing
/// is paid twice after the record was lost.
async fn paid_before(
    chain: &Chain,
    design: &Design,
    record: &Deployment,
    funding: &Funding,
) -> Result<Option<Sent>, ChainError> {
    let filter = Filter::new()
        .address(funding.programme.contract)
        .event_signature(IRewards::Fund::SIGNATURE_HASH)
        .topic1(funding.programme.id)
        .topic2(funding.token)
        .topic3(design.deployer)
        .from_block(record.first_block().unwrap_or_default());
    let logs = chain.provider().get_logs(&filter).await.map_err(|error| chain.error(&error))?;
    Ok(logs.iter().filter(|log| is_payment(log, funding)).find_map(|log| {
        let sent = Sent { transaction: log.transaction_hash?, block: log.block_number?, block_hash: log.block_hash? };
        let is_known = record.fundings.values().any(|known| known.transaction == sent.transaction);
        (!is_known).then_some(sent)
    }))
}

fn is_payment(log: &Log, funding: &Funding) -> bool {
    IRewards::Fund::decode_log(&log.inner).is_ok_and(|paid| {
        paid.amount == funding.amount
            && paid.epochs == U256::from(funding.epochs)
            && funding.starts.is_none_or(|starts| paid.firstEpoch == U256::from(starts))
    })
}
