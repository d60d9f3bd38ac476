//! Finds out on the chain whether a step is done, what is left to do, or what prevents it. Nothing is cached between two
//! inspections, so everything that has happened in between – a crash, somebody else's transaction – is taken into account.

mod manager;

use alloy::{
    consensus::Transaction as _,
    primitives::{Address, B256, Bytes, U256, aliases::U24, aliases::U160},
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
    abi::{IToken, IUniswapV3Factory, IUniswapV3Pool, IVault},
    connection::Chain,
    create2,
    design::{
        Cover, Creation, Deposit, Design, Funding, Market, Payment, Pool, Programme, SHARES_FOR_GOOD, Step, Work,
    },
    manifest::units::{EPOCH_SECS, Epoch, decimal_text},
};

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
    pub(crate) fn of<C: SolCall>(to: Address, call: &C) -> Self {
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
    let context = Context { chain, design, record };
    match &step.work {
        Work::Factory => factory(chain).await,
        Work::Create(creation) => create(chain, creation).await,
        Work::CreatePool(pool) => create_pool(chain, pool).await,
        Work::StartPool(pool) => start_pool(chain, pool).await,
        Work::CreateMarket(market) => create_market(chain, market).await,
        Work::SetFee(market, fee_bps) => {
            let stored = chain.read(market.core, IPlimsoll::marketCall { id: market.id.0 }).await?;
            let wanted = U256::from(*fee_bps);
            let call = IPlimsoll::setFeeCall { params: market.params.clone(), feeBps: wanted };
            let setting = Setting {
                found: stored.map_or(U256::ZERO, |stored| stored.feeBps),
                wanted,
                event: IPlimsoll::SetFee::SIGNATURE_HASH,
                call: Call::of(market.core, &call),
            };
            context.owners_setting(market, setting, |bps| format!("a fee of {}%", decimal_text(bps, 2))).await
        }
        Work::SetFeeRecipient(market, wanted) => {
            let found = chain.read(market.core, IPlimsoll::feeRecipientCall { id: market.id.0 }).await?;
            let call = IPlimsoll::setFeeRecipientCall { id: market.id.0, recipient: *wanted };
            let setting = Setting {
                found: found.unwrap_or_default(),
                wanted: *wanted,
                event: IPlimsoll::SetFeeRecipient::SIGNATURE_HASH,
                call: Call::of(market.core, &call),
            };
            let text = |address| format!("the recipient {}", design.address_text(address));
            context.owners_setting(market, setting, text).await
        }
        Work::SetBackstop(market, wanted) => {
            let found = chain.read(market.core, IPlimsoll::backstopCall { id: market.id.0 }).await?;
            let call = IPlimsoll::setBackstopCall { id: market.id.0, backstop: *wanted };
            let setting = Setting {
                found: found.unwrap_or_default(),
                wanted: *wanted,
                event: IPlimsoll::SetBackstop::SIGNATURE_HASH,
                call: Call::of(market.core, &call),
            };
            let text = |address| format!("the backstop {}", design.address_text(address));
            context.owners_setting(market, setting, text).await
        }
        Work::FirstDeposit(deposit) => context.first_deposit(deposit, reserved).await,
        Work::Cover(cover) => context.cover_limit(cover).await,
        Work::CreateProgramme(programme) => create_programme(chain, programme).await,
        Work::Fund(funding) => context.fund(funding, reserved).await,
        Work::SetUpManager(setup) => manager::inspect(chain, design, record, setup).await,
    }
}

/// What a step is inspected with.
#[derive(Clone, Copy)]
struct Context<'a> {
    chain: &'a Chain,
    design: &'a Design,
    record: &'a Deployment,
}

/// A setting of a market that only the core's owner may change.
struct Setting<T> {
    found: T,
    wanted: T,
    /// Signature of the event of a change, whose first topic is the market.
    event: B256,
    /// Call that makes the setting.
    call: Call,
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

impl Context<'_> {
    /// Returns the state of a call that only `who` may make. The deployer makes those of a manager that he administers yet.
    async fn by(self, who: Address, call: Call) -> Result<StepStatus, ChainError> {
        let Self { chain, design, .. } = self;
        if who == design.deployer {
            return Ok(StepStatus::ToDo(vec![Action::Send(call)]));
        }
        let is_manager = design.manager().is_some_and(|setup| setup.manager == who);
        if is_manager && manager::is_administered(chain, design.deployer, who).await? {
            return Ok(StepStatus::ToDo(vec![Action::Send(manager::through(who, &call))]));
        }
        Ok(StepStatus::ForOthers { who, call })
    }

    /// Inspects a setting that only the core's owner may change. It is made only if it was never made: an owner who took it
    /// back – the backstop of a market with a false oracle, say – does not want it again.
    async fn owners_setting<T: PartialEq + Default + Copy>(
        self,
        market: &Market,
        setting: Setting<T>,
        text: impl Fn(T) -> String,
    ) -> Result<StepStatus, ChainError> {
        let Self { chain, design, .. } = self;
        let Setting { found, wanted, event, call } = setting;
        let has_market = create_market(chain, market).await? == StepStatus::Done;
        if found == wanted && has_market {
            return Ok(StepStatus::Done);
        }
        if found != T::default() {
            return Ok(StepStatus::Differs { found: text(found), wanted: text(wanted) });
        }
        if has_market {
            let filter = Filter::new().address(market.core).event_signature(event).topic1(market.id.0);
            if let Some(status) = self.taken_back(market, &filter, text(wanted)).await? {
                return Ok(status);
            }
        }
        let owner = chain.read(market.core, IPlimsoll::ownerCall {}).await?.unwrap_or(design.owner);
        self.by(owner, call).await
    }

    /// Returns the state of a setting that is 0 now, if events show that it was made before.
    async fn taken_back(
        self,
        market: &Market,
        filter: &Filter,
        wanted: String,
    ) -> Result<Option<StepStatus>, ChainError> {
        let known = self.record.markets.values().find(|known| known.id == market.id.0);
        let created = known.and_then(|known| known.created).map(|sent| sent.block);
        let from = created.unwrap_or_else(|| creation_block(self.record, market.core));
        match self.chain.logs(filter, from).await {
            Ok(logs) if logs.is_empty() => Ok(None),
            Ok(_) => {
                Ok(Some(StepStatus::Differs { found: "nothing, after it was set and reset to 0".to_owned(), wanted }))
            }
            Err(error @ ChainError::Refused { .. }) => Ok(Some(StepStatus::Refused(format!(
                "nothing is set, and whether it was set and reset to 0 is unknown, because the node cannot search its log \
                 ({error}): use an endpoint that does"
            )))),
            Err(error) => Err(error),
        }
    }

    async fn cover_limit(self, cover: &Cover) -> Result<StepStatus, ChainError> {
        let Self { chain, design, .. } = self;
        let id = cover.market.id.0;
        let asked = IPlimsoll::coverLimitCall { backstop: cover.backstop, id };
        let found = chain.read(cover.market.core, asked).await?.unwrap_or_default();
        if found == cover.limit {
            return Ok(StepStatus::Done);
        }
        let text = |limit| format!("a limit of {}", design.amount_text(cover.market.params.loanToken, limit));
        if !found.is_zero() {
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
        if create_market(chain, &cover.market).await? == StepStatus::Done {
            let filter =
                Filter::new().address(cover.market.core).event_signature(IPlimsoll::SetCoverLimit::SIGNATURE_HASH);
            let filter = filter.topic1(cover.backstop.into_word()).topic2(id);
            if let Some(status) = self.taken_back(&cover.market, &filter, text(cover.limit)).await? {
                return Ok(status);
            }
        }
        let curator = chain.read(cover.backstop, IBackstop::curatorCall {}).await?.unwrap_or(cover.curator);
        let call = Call::of(cover.backstop, &IBackstop::announceLimitCall { id, limit: cover.limit });
        self.by(curator, call).await
    }

    async fn first_deposit(self, deposit: &Deposit, reserved: U256) -> Result<StepStatus, ChainError> {
        let held = self.chain.read(deposit.vault, IToken::balanceOfCall { account: SHARES_FOR_GOOD }).await?;
        if held.is_some_and(|shares| !shares.is_zero()) {
            return Ok(StepStatus::Done);
        }
        let call = IVault::depositCall { assets: deposit.payment.amount, receiver: SHARES_FOR_GOOD };
        self.pay(&deposit.payment, deposit.vault, reserved, send(deposit.vault, &call)).await
    }

    async fn fund(self, funding: &Funding, reserved: U256) -> Result<StepStatus, ChainError> {
        let Self { chain, record, .. } = self;
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
        let (rewards, pool, token) = (funding.programme.contract, funding.programme.id, funding.payment.token);
        let state = chain.read(rewards, IRewards::streamStateCall { pool, rewardToken: token }).await?;
        if state.is_some_and(|state| !state.funded.is_zero()) {
            match self.paid_before(funding).await {
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
                "it should start on {}, but the earliest day is now {}: move `starts`, or leave it out",
                Epoch(first),
                Epoch(next)
            )));
        }
        let call = IRewards::fundCall {
            pool,
            rewardToken: token,
            amount: funding.payment.amount,
            firstEpoch: U256::from(first),
            epochs: U256::from(funding.epochs),
        };
        self.pay(&funding.payment, rewards, reserved, send(rewards, &call)).await
    }

    /// Returns the remaining actions of a payment by a call for which `spender` pulls the tokens: minting them on a local
    /// chain, an allowance of the exact amount, and the call.
    async fn pay(
        self,
        payment: &Payment,
        spender: Address,
        reserved: U256,
        call: Action,
    ) -> Result<StepStatus, ChainError> {
        let Self { chain, design, .. } = self;
        let &Payment { token, amount, can_mint } = payment;
        let held = chain.read(token, IToken::balanceOfCall { account: design.deployer }).await?.unwrap_or_default();
        let missing = amount.saturating_sub(held.saturating_sub(reserved));
        let mut actions = Vec::new();
        if !missing.is_zero() {
            if !can_mint {
                return Ok(StepStatus::Refused(format!(
                    "the deployer {} holds {}, {} less than is to be paid: send it the rest",
                    design.deployer,
                    design.amount_text(token, held),
                    design.amount_text(token, missing)
                )));
            }
            actions.push(send(token, &IToken::mintCall { to: design.deployer, amount: missing }));
        }
        let asked = IToken::allowanceCall { owner: design.deployer, spender };
        let allowed = chain.read(token, asked).await?.unwrap_or_default().saturating_sub(reserved);
        if allowed < amount {
            let approve = |amount| send(token, &IToken::approveCall { spender, amount });
            if !allowed.is_zero() {
                // Some tokens allow a change of an allowance only from or to 0.
                actions.push(approve(U256::ZERO));
            }
            actions.push(approve(amount));
        }
        actions.push(call);
        Ok(StepStatus::ToDo(actions))
    }

    /// Searches the log for a payment by the deployer that matches and belongs to no other entry of the record, so that
    /// nothing is paid twice after the record was lost.
    async fn paid_before(self, funding: &Funding) -> Result<Option<Sent>, ChainError> {
        let Self { chain, design, record } = self;
        let contract = funding.programme.contract;
        let filter = Filter::new()
            .address(contract)
            .event_signature(IRewards::Fund::SIGNATURE_HASH)
            .topic1(funding.programme.id)
            .topic2(funding.payment.token)
            .topic3(design.deployer);
        for log in chain.logs(&filter, creation_block(record, contract)).await? {
            let (Some(transaction), Some(block), Some(block_hash)) =
                (log.transaction_hash, log.block_number, log.block_hash)
            else {
                continue;
            };
            let is_known = record.fundings.values().any(|known| known.transaction == transaction);
            if !is_known && is_payment(chain, &log, transaction, funding).await? {
                return Ok(Some(Sent { transaction, block, block_hash }));
            }
        }
        Ok(None)
    }
}

/// Returns the block in which a contract was created, before which it has no events; 0 if the record does not know it.
/// Nothing is concluded from other contracts of the record, which may be younger.
pub(crate) fn creation_block(record: &Deployment, contract: Address) -> u64 {
    let known = record.contracts.values().find(|known| known.address == contract);
    known.and_then(|known| known.created).map_or(0, |sent| sent.block)
}

/// Returns whether a programme was funded as a manifest wants. If the token takes a fee, less arrived than was sent, so the
/// amount that the transaction names counts as well.
async fn is_payment(chain: &Chain, log: &Log, transaction: B256, funding: &Funding) -> Result<bool, ChainError> {
    let Ok(paid) = IRewards::Fund::decode_log(&log.inner) else { return Ok(false) };
    let is_alike = paid.epochs == U256::from(funding.epochs)
        && funding.starts.is_none_or(|starts| paid.firstEpoch == U256::from(starts));
    if !is_alike || paid.amount >= funding.payment.amount {
        return Ok(is_alike && paid.amount == funding.payment.amount);
    }
    let found = chain.provider().get_transaction_by_hash(transaction).await.map_err(|error| chain.error(&error))?;
    let call = found.and_then(|found| IRewards::fundCall::abi_decode(found.input()).ok());
    Ok(call.is_some_and(|call| call.amount == funding.payment.amount))
}
