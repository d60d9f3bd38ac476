//! Makes a chain match a manifest: prepares a plan, and then executes the steps that are left, one transaction at a time.
//!
//! It can be killed at any point. A transaction is signed, written to the deployment record and flushed to disk before it
//! is broadcast. The next run finds it there, and either finds it mined or broadcasts the same bytes again, which cannot
//! have an effect twice. All other state is read from the chain. Where the chain differs from the manifest, that is
//! reported and left unchanged.

use std::{path::Path, time::Duration};

use alloy::{
    consensus::{Transaction, TxEnvelope},
    eips::{BlockNumberOrTag, eip2718::Encodable2718},
    network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder},
    primitives::{B256, Bytes, keccak256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::local::PrivateKeySigner,
};
use plimsoll_chain::error::ChainError;
use plimsoll_contracts::deployment::{
    DeployedContract, Deployment, InFlight, MarketRecord, PoolRecord, ProgrammeRecord, Sent, TokenRecord,
};

use crate::{
    connection::{Chain, is_revert},
    create2,
    design::{self, Step, Work},
    fees::Fees,
    gas::with_margin,
    inspect::{Action, Call, StepStatus, inspect},
    journal::{Journal, JournalError},
    plan::{Inputs, Plan},
    reverts,
};

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

/// Executes the steps of a design.
pub struct Applier<'a> {
    inputs: Inputs<'a>,
    wallet: EthereumWallet,
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
        signer: PrivateKeySigner,
        journal: Journal,
        on_progress: &'a (dyn Fn(Progress<'_>) + Send + Sync),
    ) -> Result<Self, ApplyError> {
        let (key, deployer) = (signer.address(), inputs.design.deployer);
        if key != deployer {
            let problem = format!("the key is that of {key}, but [deployer] in the manifest says {deployer}");
            return Err(ApplyError::Refused(vec![problem]));
        }
        Ok(Self { inputs, wallet: signer.into(), journal, on_progress })
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

    /// Executes the steps that are left, and inspects each right before. Fails at the first that cannot be executed; those
    /// before it stay.
    pub async fn execute(&mut self) -> Result<(), ApplyError> {
        let design = self.inputs.design;
        self.record_names();
        for step in &design.steps {
            self.execute_step(step).await?;
        }
        Ok(self.journal.save()?)
    }

    async fn execute_step(&mut self, step: &Step) -> Result<(), ApplyError> {
        let Inputs { design, chain, .. } = self.inputs;
        let stopped = |reason: String| ApplyError::Stopped { step: step.name.clone(), reason };
        for _ in 0..MAX_ACTIONS_PER_STEP {
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
                StepStatus::ToDo(actions) => match actions.first() {
                    Some(Action::PlaceFactory) => self.place_factory().await?,
                    Some(Action::SendFactory) => {
                        let raw = Bytes::from_static(&create2::FACTORY_TRANSACTION);
                        self.broadcast(&raw).await?;
                        self.wait_until_mined(keccak256(&raw)).await?;
                    }
                    Some(Action::Send(call)) => self.send(step, call, actions.len() == 1).await?,
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
    async fn send(&mut self, step: &Step, call: &Call, is_last: bool) -> Result<(), ApplyError> {
        self.wait_for_own_transactions().await?;
        let signed = self.sign(step, call).await?;
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
        let raw = pending.raw.clone();
        self.journal.record.in_flight = Some(pending);
        self.journal.save()?;
        self.broadcast(&raw).await?;
        (self.on_progress)(Progress::Sent { step: &step.name, transaction: *signed.tx_hash() });
        let receipt = self.wait_until_mined(*signed.tx_hash()).await?;
        self.record_receipt(&receipt).await
    }

    async fn sign(&self, step: &Step, call: &Call) -> Result<TxEnvelope, ApplyError> {
        let Inputs { design, chain, artifacts, .. } = self.inputs;
        let stopped = |reason: String| ApplyError::Stopped { step: step.name.clone(), reason };
        let nonce = chain.provider().get_transaction_count(design.deployer).latest().await;
        let nonce = nonce.map_err(|error| chain.error(&error))?;
        let request = TransactionRequest::default()
            .with_from(design.deployer)
            .with_to(call.to)
            .with_input(call.input.clone())
            .with_value(call.value);
        let gas = match chain.provider().estimate_gas(request.clone()).await.map_err(|error| chain.error(&error)) {
            Ok(gas) => gas,
            Err(error) if is_revert(&error) => {
                let data = self.revert_reason(step, &error).await?;
                return Err(stopped(format!("it would be refused: {}", reverts::explain(artifacts, &data))));
            }
            Err(error) => return Err(error.into()),
        };
        let request = request.with_nonce(nonce).with_chain_id(chain.id()).with_gas_limit(with_margin(gas));
        let request = Fees::suggested(chain).await?.apply_to(request);
        request.build(&self.wallet).await.map_err(|error| stopped(format!("it cannot be signed: {error}")))
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
            Err(error) if is_revert(&error) => Ok(revert_data(&error)),
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

    /// Waits until a transaction has as many confirmations as the manifest wants.
    async fn wait_until_mined(&self, transaction: B256) -> Result<TransactionReceipt, ApplyError> {
        let Inputs { design, chain, .. } = self.inputs;
        loop {
            if let Some(receipt) = chain.receipt(transaction).await? {
                let block = receipt.block_number.unwrap_or_default();
                if chain.head().await?.number + 1 >= block + design.confirmations {
                    return Ok(receipt);
                }
            }
            tokio::time::sleep(poll_interval(chain)).await;
        }
    }

    /// Waits for the transaction that was pending when an earlier run ended, and broadcasts it again if necessary.
    async fn finish_in_flight(&mut self) -> Result<(), ApplyError> {
        let chain = self.inputs.chain;
        let Some(pending) = self.journal.record.in_flight.clone() else { return Ok(()) };
        if chain.receipt(pending.transaction).await?.is_none() {
            let nonce = chain.provider().get_transaction_count(self.journal.record.deployer).latest().await;
            if nonce.map_err(|error| chain.error(&error))? > pending.nonce
                && chain.receipt(pending.transaction).await?.is_none()
            {
                return self.on_nonce_reused(&pending).await;
            }
            self.broadcast(&pending.raw).await?;
            (self.on_progress)(Progress::Sent { step: &pending.step, transaction: pending.transaction });
        }
        let receipt = self.wait_until_mined(pending.transaction).await?;
        self.record_receipt(&receipt).await
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

    /// Waits until the deployer has no pending transactions, because the next nonce would be uncertain.
    async fn wait_for_own_transactions(&self) -> Result<(), ApplyError> {
        let Inputs { design, chain, .. } = self.inputs;
        let mut was_reported = false;
        loop {
            let count = |tag| chain.provider().get_transaction_count(design.deployer).block_id(tag);
            let mined = count(BlockNumberOrTag::Latest.into()).await.map_err(|error| chain.error(&error))?;
            let known = count(BlockNumberOrTag::Pending.into()).await.map_err(|error| chain.error(&error))?;
            if known <= mined {
                return Ok(());
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
            | Work::Cover(_)
            | Work::Fund(_) => {}
        }
        Ok(())
    }
}

fn revert_data(error: &ChainError) -> Bytes {
    match error {
        ChainError::Refused { revert_data, .. } => revert_data.clone().unwrap_or_default(),
        ChainError::Unreachable { .. } => Bytes::new(),
    }
}

/// Returns whether a node rejects a transaction because it has it, or had it.
fn is_known(message: &str) -> bool {
    let message = message.to_lowercase();
    ["already known", "already imported", "known transaction", "nonce too low"]
        .iter()
        .any(|known| message.contains(known))
}

const fn poll_interval(chain: &Chain) -> Duration {
    if chain.local().is_some() { LOCAL_POLL_INTERVAL } else { POLL_INTERVAL }
}

/// Applies a design without confirmation, for local chains and tests: opens the record, prepares and executes.
pub async fn apply(
    inputs: Inputs<'_>,
    signer: PrivateKeySigner,
    record: &Path,
    on_progress: &(dyn Fn(Progress<'_>) + Send + Sync),
) -> Result<Deployment, ApplyError> {
    let journal = Journal::open(record, inputs.chain, inputs.design).await?;
    let mut applier = Applier::new(inputs, signer, journal, on_progress)?;
    applier.prepare().await?;
    applier.execute().await?;
    Ok(applier.record().clone())
}
