//! Makes a chain match a manifest: prepares a plan, and then executes the steps that are left, one transaction at a time.
//!
//! It can be killed at any point. A transaction is signed, written to the deployment record and flushed to disk before it
//! is broadcast. The next run finds it there, and either finds it mined or broadcasts the same bytes again, which cannot
//! have an effect twice. All other state is read from the chain. Where the chain differs from the manifest, that is
//! reported and left unchanged.

use std::{collections::BTreeSet, path::Path, time::Duration};

use alloy::{
    consensus::{Transaction, TxEnvelope},
    eips::{BlockNumberOrTag, eip2718::Encodable2718},
    network::{NetworkTransactionBuilder, TransactionBuilder},
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::{TransactionReceipt, TransactionRequest},
};
use plimsoll_chain::{error::ChainError, signer::TransactionSigner};
use plimsoll_contracts::deployment::{
    DeployedContract, Deployment, InFlight, MarketRecord, PoolRecord, ProgrammeRecord, Sent, TokenRecord,
};

use crate::{
    connection::Chain,
    create2,
    design::{self, Step, Work},
    fees::Fees,
    gas::with_margin,
    inspect::{Action, Call, StepStatus, inspect},
    journal::{Journal, JournalError},
    manifest::units::decimal_text,
    plan::{Budget, Inputs, Plan, ether},
    reverts,
};

/// Decimals of a gwei in wei.
const GWEI_DECIMALS: u8 = 9;
/// Time between two queries of a chain with a block time.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Time between two queries of a local chain, which mines at once.
const LOCAL_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Number of transactions after which a step that is still not done is given up.
const MAX_ACTIONS_PER_STEP: usize = 8;

/// Why a manifest was not, or not completely, applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Nothing was sent, for all of these reasons.
    #[error("refused, and nothing was sent:\n{}", list(.0))]
    Refused(Vec<String>),
    /// A transaction was mined and reverted.
    #[error(
        "{step}: the transaction {transaction} was mined and failed; what came before it stays. Find the reason, then run this again"
    )]
    Failed {
        /// Name of the step.
        step: String,
        /// Hash of the transaction.
        transaction: B256,
    },
    /// A step cannot be executed; those before it were.
    #[error("{step}: {reason}. What came before it stays; run this again when that is corrected")]
    Stopped {
        /// Name of the step.
        step: String,
        /// Reason, with the remedy.
        reason: String,
    },
    /// The deployment record cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A request to the chain failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

fn list(problems: &[String]) -> String {
    problems.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n")
}

/// A signed transaction that was broadcast.
struct Signed {
    sender: Address,
    nonce: u64,
    hash: B256,
    raw: Bytes,
}

/// An event during [`Applier::prepare`] and [`Applier::execute`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A transaction was broadcast.
    Sent {
        /// Name of the step.
        step: &'a str,
        /// Hash of the transaction.
        transaction: B256,
    },
    /// A transaction was mined.
    Mined {
        /// Name of the step.
        step: &'a str,
        /// Its hash and block.
        sent: Sent,
    },
    /// The node had dropped the pending transaction, which was broadcast again.
    BroadcastAgain {
        /// Name of the step.
        step: &'a str,
        /// Hash of the transaction.
        transaction: B256,
    },
    /// Another transaction of the deployer was mined with the nonce of the pending one.
    Displaced {
        /// Name of the step.
        step: &'a str,
        /// Hash of the transaction that will never be mined.
        transaction: B256,
    },
    /// Execution waits for other pending transactions of the deployer.
    WaitingForOthers {
        /// Number of these transactions.
        transactions: u64,
    },
    /// A payment that is not in the record was found on the chain.
    AlreadyPaid {
        /// Name of the step.
        step: &'a str,
    },
}

/// What remains of a confirmed plan: the steps that may send something, and what they may still cost.
struct Confirmed<'p> {
    steps: BTreeSet<&'p str>,
    budget: Budget,
}

impl<'p> Confirmed<'p> {
    fn new(plan: &'p Plan) -> Self {
        let to_do = plan.steps.iter().filter(|(_, status)| matches!(status, StepStatus::ToDo(_)));
        Self { steps: to_do.map(|(step, _)| step.name.as_str()).collect(), budget: plan.budget }
    }

    /// Subtracts a transaction by its gas limit, because a node is not believed about what was used. Fails if it costs more
    /// than is left.
    fn spend(&mut self, gas: u64, value: U256) -> Result<(), String> {
        let left = self.budget.gas.checked_sub(gas).zip(self.budget.value.checked_sub(value));
        let Some((gas_left, value_left)) = left else {
            return Err(format!(
                "it takes {gas} gas and {} ether, and of the confirmed plan {} gas and {} ether are left: run this again to \
                 confirm a new plan",
                ether(value),
                self.budget.gas,
                ether(self.budget.value)
            ));
        };
        (self.budget.gas, self.budget.value) = (gas_left, value_left);
        Ok(())
    }

    /// Adds a transaction again that was displaced: its gas is never paid.
    fn give_back(&mut self, gas: u64, value: U256) {
        self.budget.gas = self.budget.gas.saturating_add(gas);
        self.budget.value = self.budget.value.saturating_add(value);
    }
}

/// How the wait for a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settled {
    Mined,
    /// Another transaction was mined with its nonce.
    Displaced,
}

/// Executes the steps of a design.
pub struct Applier<'a> {
    inputs: Inputs<'a>,
    signer: TransactionSigner,
    journal: Journal,
    on_progress: &'a (dyn Fn(Progress<'_>) + Send + Sync),
}

impl std::fmt::Debug for Applier<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier").field("journal", &self.journal.path()).finish_non_exhaustive()
    }
}

impl<'a> Applier<'a> {
    /// Creates an applier. Fails when the key is not the deployer's.
    pub fn new(
        inputs: Inputs<'a>,
        signer: TransactionSigner,
        journal: Journal,
        on_progress: &'a (dyn Fn(Progress<'_>) + Send + Sync),
    ) -> Result<Self, ApplyError> {
        let (key, deployer) = (signer.address(), inputs.design.deployer);
        if key != deployer {
            let problem = format!("the key is that of {key}, but [deployer] in the manifest says {deployer}");
            return Err(ApplyError::Refused(vec![problem]));
        }
        Ok(Self { inputs, signer, journal, on_progress })
    }

    /// Returns the deployment record so far.
    #[must_use]
    pub const fn record(&self) -> &Deployment {
        &self.journal.record
    }

    /// Waits for the transaction that an earlier run left pending, then makes a plan. Fails if the plan has problems.
    pub async fn prepare(&mut self) -> Result<Plan, ApplyError> {
        if self.inputs.chain.id() == self.inputs.design.chain_id {
            self.finish_in_flight().await?;
        }
        let plan = Plan::new(self.inputs, &self.journal.record).await?;
        if plan.problems.is_empty() { Ok(plan) } else { Err(ApplyError::Refused(plan.problems)) }
    }

    /// Executes the steps of the confirmed plan that are left, and inspects each right before. Fails at the first that
    /// cannot be executed, is not in the plan, or costs more than the plan says; those before it stay.
    pub async fn execute(&mut self, plan: &Plan) -> Result<(), ApplyError> {
        let design = self.inputs.design;
        let mut confirmed = Confirmed::new(plan);
        self.record_names();
        for step in &design.steps {
            self.execute_step(step, &mut confirmed).await?;
        }
        Ok(self.journal.save()?)
    }

    async fn execute_step(&mut self, step: &Step, confirmed: &mut Confirmed<'_>) -> Result<(), ApplyError> {
        let Inputs { design, chain, .. } = self.inputs;
        let stopped = |reason: String| ApplyError::Stopped { step: step.name.clone(), reason };
        let mut next_nonce = None;
        // Each action is preceded by a wait.
        for _ in 0..2 * MAX_ACTIONS_PER_STEP {
            match inspect(chain, design, &self.journal.record, step).await? {
                StepStatus::Done => return self.record_step(step, None).await,
                StepStatus::Paid(sent) => {
                    if let Work::Fund(funding) = &step.work {
                        self.journal.record.fundings.insert(funding.id.clone(), sent);
                        self.journal.save()?;
                        (self.on_progress)(Progress::AlreadyPaid { step: &step.name });
                    }
                    return Ok(());
                }
                StepStatus::ForOthers { .. } | StepStatus::Waiting { .. } | StepStatus::Differs { .. } => return Ok(()),
                StepStatus::Refused(reason) => return Err(stopped(reason)),
                StepStatus::ToDo(_) if !confirmed.steps.contains(step.name.as_str()) => {
                    return Err(stopped(
                        "the chain has changed: this is to be done now, and the confirmed plan did not list it. Run this \
                         again to see a new plan"
                            .to_owned(),
                    ));
                }
                // What is pending may be this very step, so it is waited for before the step is inspected and signed.
                StepStatus::ToDo(_) if next_nonce.is_none() => next_nonce = Some(self.next_nonce().await?),
                StepStatus::ToDo(actions) => match actions.first() {
                    Some(Action::PlaceFactory) => self.place_factory().await?,
                    Some(Action::SendFactory) => {
                        let raw = Bytes::from_static(&create2::FACTORY_TRANSACTION);
                        let presigned =
                            Signed { sender: create2::FACTORY_SIGNER, nonce: 0, hash: keccak256(&raw), raw };
                        self.broadcast(&presigned.raw).await?;
                        (self.on_progress)(Progress::Sent { step: &step.name, transaction: presigned.hash });
                        self.wait_until_mined(&step.name, &presigned).await?;
                    }
                    Some(Action::Send(call)) => {
                        let nonce = next_nonce.take().unwrap_or_default();
                        self.send(step, call, nonce, confirmed, actions.len() == 1).await?;
                    }
                    None => return Err(stopped("nothing is left to do, but it is not done".to_owned())),
                },
            }
        }
        Err(stopped(format!("it is not done after {MAX_ACTIONS_PER_STEP} transactions")))
    }

    async fn place_factory(&self) -> Result<(), ApplyError> {
        let chain = self.inputs.chain;
        let code = Bytes::from_static(&create2::FACTORY_CODE);
        let placed = chain.provider().anvil_set_code(create2::FACTORY, code).await;
        Ok(placed.map_err(|error| chain.error(&error))?)
    }

    /// Signs a transaction, records it, broadcasts it, and waits until it is mined.
    async fn send(
        &mut self,
        step: &Step,
        call: &Call,
        nonce: u64,
        confirmed: &mut Confirmed<'_>,
        is_last: bool,
    ) -> Result<(), ApplyError> {
        let signed = self.sign(step, call, nonce, confirmed).await?;
        let funding = match &step.work {
            Work::Fund(funding) if is_last => Some(funding.id.clone()),
            _ => None,
        };
        let pending = InFlight {
            step: step.name.clone(),
            funding,
            nonce: signed.nonce(),
            transaction: *signed.tx_hash(),
            raw: signed.encoded_2718().into(),
        };
        self.journal.record.in_flight = Some(pending.clone());
        self.journal.save()?;
        self.broadcast(&pending.raw).await?;
        (self.on_progress)(Progress::Sent { step: &step.name, transaction: *signed.tx_hash() });
        if self.settle(&pending).await? == Settled::Displaced {
            confirmed.give_back(signed.gas_limit(), signed.value());
        }
        Ok(())
    }

    async fn sign(
        &self,
        step: &Step,
        call: &Call,
        nonce: u64,
        confirmed: &mut Confirmed<'_>,
    ) -> Result<TxEnvelope, ApplyError> {
        let Inputs { design, chain, artifacts, .. } = self.inputs;
        let stopped = |reason: String| ApplyError::Stopped { step: step.name.clone(), reason };
        let request = TransactionRequest::default()
            .with_from(design.deployer)
            .with_to(call.to)
            .with_input(call.input.clone())
            .with_value(call.value);
        let gas = match chain.provider().estimate_gas(request.clone()).await.map_err(|error| chain.error(&error)) {
            Ok(gas) => gas,
            Err(error) if error.is_revert() => {
                let data = self.revert_reason(step, &error).await?;
                return Err(stopped(format!("it would be refused: {}", reverts::explain(artifacts, &data))));
            }
            Err(error) => return Err(error.into()),
        };
        let (gas_limit, max_price) = (with_margin(gas), confirmed.budget.price);
        confirmed.spend(gas_limit, call.value).map_err(stopped)?;
        let fees = Fees::suggested(chain).await?;
        let affordable = fees.at_most(max_price).ok_or_else(|| {
            let gwei = |price| decimal_text(U256::from(price), GWEI_DECIMALS);
            stopped(format!(
                "gas costs {} gwei by now, and the confirmed plan allows {}: run this again to confirm a new plan",
                gwei(fees.min_price()),
                gwei(max_price)
            ))
        })?;
        let request = request.with_nonce(nonce).with_chain_id(chain.id()).with_gas_limit(gas_limit);
        let request = affordable.apply_to(request);
        let unsigned = request.build_unsigned().map_err(|error| stopped(format!("it cannot be signed: {error}")))?;
        self.signer.sign(unsigned).await.map_err(|error| stopped(format!("it cannot be signed: {error}")))
    }

    /// Returns the revert data of a step that the node found would revert. The deterministic deployer hides that of a
    /// constructor, so the constructor is called without it.
    async fn revert_reason(&self, step: &Step, refusal: &ChainError) -> Result<Bytes, ChainError> {
        let Inputs { design, chain, .. } = self.inputs;
        let Work::Create(creation) = &step.work else { return Ok(revert_data(refusal)) };
        let request = TransactionRequest::default().with_from(design.deployer);
        let request = request.with_deploy_code(creation.init_code.clone());
        match chain.provider().call(request).await.map_err(|error| chain.error(&error)) {
            Ok(_) => Ok(Bytes::new()),
            Err(error) if error.is_revert() => Ok(revert_data(&error)),
            Err(error) => Err(error),
        }
    }

    /// Broadcasts signed bytes. Succeeds, too, if the node has them already.
    async fn broadcast(&self, raw: &Bytes) -> Result<(), ApplyError> {
        let chain = self.inputs.chain;
        match chain.provider().send_raw_transaction(raw).await.map_err(|error| chain.error(&error)) {
            Ok(_) => Ok(()),
            Err(ChainError::Refused { message, .. }) if is_known(&message) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until a transaction has as many confirmations as the manifest wants; returns `None` if another one was mined
    /// with its nonce. A transaction that the node has dropped is broadcast again: the same bytes have no second effect.
    async fn wait_until_mined(&self, step: &str, signed: &Signed) -> Result<Option<TransactionReceipt>, ApplyError> {
        let Inputs { design, chain, .. } = self.inputs;
        let (mut seems_displaced, mut was_broadcast_again) = (false, false);
        loop {
            // In this order: a transaction that used its nonce has a receipt.
            let is_used = chain.transaction_count(signed.sender, BlockNumberOrTag::Latest).await? > signed.nonce;
            if let Some(receipt) = chain.receipt(signed.hash).await? {
                let block = receipt.block_number.unwrap_or_default();
                if chain.head().await?.number + 1 >= block + design.confirmations {
                    return Ok(Some(receipt));
                }
                seems_displaced = false;
            } else if is_used {
                // Twice, because two answers may come from two nodes, of which one lags behind.
                if seems_displaced {
                    (self.on_progress)(Progress::Displaced { step, transaction: signed.hash });
                    return Ok(None);
                }
                seems_displaced = true;
            } else if !chain.knows(signed.hash).await? {
                self.broadcast(&signed.raw).await?;
                if !was_broadcast_again {
                    (self.on_progress)(Progress::BroadcastAgain { step, transaction: signed.hash });
                    was_broadcast_again = true;
                }
            }
            tokio::time::sleep(poll_interval(chain)).await;
        }
    }

    /// Waits for the transaction that was pending when an earlier run ended.
    async fn finish_in_flight(&mut self) -> Result<(), ApplyError> {
        match self.journal.record.in_flight.clone() {
            Some(pending) => self.settle(&pending).await.map(drop),
            None => Ok(()),
        }
    }

    /// Waits for the pending transaction, and records its result.
    async fn settle(&mut self, pending: &InFlight) -> Result<Settled, ApplyError> {
        let signed = Signed {
            sender: self.journal.record.deployer,
            nonce: pending.nonce,
            hash: pending.transaction,
            raw: pending.raw.clone(),
        };
        match self.wait_until_mined(&pending.step, &signed).await? {
            Some(receipt) => self.record_receipt(&receipt).await.map(|()| Settled::Mined),
            None => self.on_nonce_reused(pending).await.map(|()| Settled::Displaced),
        }
    }

    /// Handles that another transaction was mined with the nonce of the pending one, which therefore never will be. Whether
    /// the other one did the same – as a replacement at a higher fee does – shows on the chain. A payment that does not show
    /// there is not repeated without a person's decision, because the node may lag behind.
    async fn on_nonce_reused(&mut self, pending: &InFlight) -> Result<(), ApplyError> {
        let Inputs { design, chain, .. } = self.inputs;
        if let Some(funding) = &pending.funding {
            let step = design.steps.iter().find(|step| step.name == pending.step);
            let status = match step {
                Some(step) => Some(inspect(chain, design, &self.journal.record, step).await?),
                None => None,
            };
            let Some(StepStatus::Paid(sent)) = status else {
                let reason = format!(
                    "its transaction {} was displaced by another one with nonce {}, and whether that paid cannot be seen. \
                     If it did not, remove `in_flight` from {}",
                    pending.transaction,
                    pending.nonce,
                    self.journal.path().display()
                );
                return Err(ApplyError::Stopped { step: pending.step.clone(), reason });
            };
            self.journal.record.fundings.insert(funding.clone(), sent);
        }
        self.journal.record.in_flight = None;
        Ok(self.journal.save()?)
    }

    /// Records the result of the pending transaction. Fails if it reverted.
    async fn record_receipt(&mut self, receipt: &TransactionReceipt) -> Result<(), ApplyError> {
        let Some(pending) = self.journal.record.in_flight.take() else { return Ok(()) };
        let sent = Sent {
            transaction: receipt.transaction_hash,
            block: receipt.block_number.unwrap_or_default(),
            block_hash: receipt.block_hash.unwrap_or_default(),
        };
        if !receipt.status() {
            self.journal.save()?;
            return Err(ApplyError::Failed { step: pending.step, transaction: pending.transaction });
        }
        if let Some(funding) = pending.funding {
            self.journal.record.fundings.insert(funding, sent);
        }
        let steps = &self.inputs.design.steps;
        if let Some(step) = steps.iter().find(|step| step.name == pending.step) {
            self.record_step(step, Some(sent)).await?;
        }
        self.journal.save()?;
        (self.on_progress)(Progress::Mined { step: &pending.step, sent });
        Ok(())
    }

    /// Waits until the deployer has no pending transactions, and returns its next nonce. A transaction with this nonce is
    /// mined only if none other was since.
    async fn next_nonce(&self) -> Result<u64, ApplyError> {
        let Inputs { design, chain, .. } = self.inputs;
        let mut was_reported = false;
        loop {
            let mined = chain.transaction_count(design.deployer, BlockNumberOrTag::Latest).await?;
            let known = chain.transaction_count(design.deployer, BlockNumberOrTag::Pending).await?;
            if known <= mined {
                return Ok(mined);
            }
            if !was_reported {
                (self.on_progress)(Progress::WaitingForOthers { transactions: known - mined });
                was_reported = true;
            }
            tokio::time::sleep(poll_interval(chain)).await;
        }
    }

    /* RECORD */

    fn record_names(&mut self) {
        let design = self.inputs.design;
        let record = &mut self.journal.record;
        record.network.clone_from(&design.network);
        record.deployer = design.deployer;
        let token = |token: &design::Token| TokenRecord { address: token.address, decimals: token.decimals };
        record.tokens = design.tokens.iter().map(|(name, entry)| (name.clone(), token(entry))).collect();
        record.feeds.clone_from(&design.feeds);
    }

    /// Records that a step is done. What the record has already about its transaction is kept.
    async fn record_step(&mut self, step: &Step, sent: Option<Sent>) -> Result<(), ApplyError> {
        let chain = self.inputs.chain;
        let record = &mut self.journal.record;
        let (_, name) = step.name.split_once('.').unwrap_or(("", &step.name));
        let name = name.to_owned();
        match &step.work {
            Work::Create(creation) => {
                let known = record.contracts.get(&step.name).filter(|known| known.address == creation.address);
                let created = sent.or(known.and_then(|known| known.created));
                let code_hash = match known {
                    Some(known) if sent.is_none() => known.code_hash,
                    _ => keccak256(chain.code(creation.address).await?),
                };
                let deployed = DeployedContract {
                    contract: creation.contract.clone(),
                    address: creation.address,
                    arguments: creation.encoded_arguments.clone(),
                    salt: creation.salt,
                    code_hash,
                    created,
                };
                record.contracts.insert(step.name.clone(), deployed);
            }
            Work::CreatePool(pool) => {
                let known = record.pools.get(&name).filter(|known| known.address == pool.address);
                let created = sent.or(known.and_then(|known| known.created));
                let (address, token0, token1, fee) = (pool.address, pool.token0, pool.token1, pool.fee);
                record.pools.insert(name, PoolRecord { address, token0, token1, fee, created });
            }
            Work::CreateMarket(market) => {
                let known = record.markets.get(&name).filter(|known| known.id == market.id.0);
                let entry = MarketRecord {
                    id: market.id.0,
                    loan_token: market.params.loanToken,
                    collateral_token: market.params.collateralToken,
                    oracle: market.params.oracle,
                    risk: market.params.risk,
                    curve: market.params.curve,
                    created: sent.or(known.and_then(|known| known.created)),
                };
                record.markets.insert(name, entry);
            }
            Work::CreateProgramme(programme) => {
                let known = record.programmes.get(&name).filter(|known| known.id == programme.id);
                let entry = ProgrammeRecord {
                    id: programme.id,
                    stake_token: programme.stake_token,
                    reward_tokens: programme.reward_tokens.clone(),
                    created: sent.or(known.and_then(|known| known.created)),
                };
                record.programmes.insert(name, entry);
            }
            Work::Factory
            | Work::StartPool(_)
            | Work::SetFee(..)
            | Work::SetFeeRecipient(..)
            | Work::SetBackstop(..)
            | Work::FirstDeposit(_)
            | Work::Cover(_)
            | Work::Fund(_)
            | Work::SetUpManager(_) => {}
        }
        Ok(())
    }
}

pub(crate) fn revert_data(error: &ChainError) -> Bytes {
    match error {
        ChainError::Refused { revert_data, .. } => revert_data.clone().unwrap_or_default(),
        _ => Bytes::new(),
    }
}

/// Returns whether a node rejects a transaction because it has it, had it, or has another one with its nonce: what becomes
/// of it then shows while it is waited for.
pub(crate) fn is_known(message: &str) -> bool {
    let message = message.to_lowercase();
    ["already known", "already imported", "known transaction", "nonce too low", "replacement transaction underpriced"]
        .iter()
        .any(|known| message.contains(known))
}

pub(crate) const fn poll_interval(chain: &Chain) -> Duration {
    if chain.local().is_some() { LOCAL_POLL_INTERVAL } else { POLL_INTERVAL }
}

/// Applies a design without confirmation, for local chains and tests: opens the record, prepares and executes.
pub async fn apply(
    inputs: Inputs<'_>,
    signer: TransactionSigner,
    record: &Path,
    on_progress: &(dyn Fn(Progress<'_>) + Send + Sync),
) -> Result<Deployment, ApplyError> {
    let journal = Journal::open(record, inputs.chain, inputs.design).await?;
    let mut applier = Applier::new(inputs, signer, journal, on_progress)?;
    let plan = applier.prepare().await?;
    applier.execute(&plan).await?;
    Ok(applier.record().clone())
}
