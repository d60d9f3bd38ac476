//! What every protocol answers, and the words in which it does.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use alloy::primitives::{Address, B256, Bytes, Log, U256, uint};

use crate::{Deployment, LeastBonus, Lot, RestoreError, Row};

/// Number of newest blocks that can be undone.
pub const MAX_UNDO: usize = 128;

/// Health factor × 10¹⁸ from which a position is healthy.
pub const HEALTHY: U256 = uint!(1_000_000_000_000_000_000_U256);

/// Stands for the chain's own coin where a token is named.
pub const NATIVE_COIN: Address = Address::ZERO;

/// Returns a token, or the one that wraps the chain's own coin where that is named.
#[must_use]
pub fn wrapped(token: Address, wrapped_coin: Address) -> Address {
    if token == NATIVE_COIN { wrapped_coin } else { token }
}

/// A block that logs belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Number of the block.
    pub number: u64,
    /// Timestamp, in seconds.
    pub timestamp: u64,
}

/// Which logs a protocol wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    /// The contracts, of which there is at least one.
    pub addresses: BTreeSet<Address>,
    /// The first topics; empty: every log of the contracts.
    pub topics: Vec<B256>,
}

impl LogFilter {
    /// Returns whether a log is wanted.
    #[must_use]
    pub fn contains(&self, log: &Log) -> bool {
        let has_topic = self.topics.is_empty() || log.topics().first().is_some_and(|topic| self.topics.contains(topic));
        has_topic && self.addresses.contains(&log.address)
    }
}

/// A call whose answer is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Contract that is called.
    pub to: Address,
    /// Calldata.
    pub data: Bytes,
    /// Most gas that the call may use.
    pub gas: u64,
}

/// Return data of a call, or why there is none.
pub type Answer = Result<Bytes, CallFailure>;

/// Why a call has no return data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// It reverted, with this data.
    #[error("it reverts{}", revert_text(.0))]
    Reverted(Bytes),
    /// The node did not run it.
    #[error("the node has too little gas for it")]
    NotRun,
}

/// Why the contract at an address is not the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} on chain {chain_id} is not {protocol}: {problem}")]
pub struct IdentityError {
    /// Name of the protocol that it should be.
    pub protocol: String,
    /// The address.
    pub address: Address,
    /// Chain id.
    pub chain_id: u64,
    /// What was read instead.
    pub problem: String,
}

/// Why a block's logs were not applied. The state is as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The block is not after the newest applied one.
    #[error("block {block} is not after block {tip}, which was applied last")]
    NotNext {
        /// Number of the block.
        block: u64,
        /// Number of the newest applied block.
        tip: u64,
    },
    /// A log is none of the protocol's.
    #[error("log {position} is none of the protocol's: {problem}")]
    Foreign {
        /// Place of the log among those of the block.
        position: usize,
        /// Description of the log.
        problem: String,
    },
    /// A log does not fit the state, so that an earlier one is missing.
    #[error("log {position} does not fit those before it: {problem}")]
    Inconsistent {
        /// Place of the log among those of the block.
        position: usize,
        /// What does not fit.
        problem: String,
    },
}

/// Blocks cannot be undone: they are too old. The state must be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("blocks after {block} cannot be undone: only the newest {MAX_UNDO} can")]
pub struct UndoError {
    /// The last block that was to stay.
    pub block: u64,
}

/// Stored totals of the chain that differ from those made of its logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{quantity} of market {market} is {on_chain} on chain and {from_logs} by its logs")]
pub struct TotalsDifference {
    /// Id of the market; or an address as a word, where that is what differs.
    pub market: B256,
    /// Name of the total.
    pub quantity: &'static str,
    /// The total in the contract's storage.
    pub on_chain: u128,
    /// The total by the logs.
    pub from_logs: u128,
}

/// A market whose positions cannot be valued in this block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpricedMarket {
    /// Id of the market.
    pub market: B256,
    /// Why, for people.
    pub reason: String,
    /// Number of positions with debt.
    pub positions: usize,
}

/// What came of a block's answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Where chain and logs differ; empty means that no log of the totals is missing.
    pub differences: Vec<TotalsDifference>,
    /// Markets that cannot be valued in this block.
    pub unpriced: Vec<UnpricedMarket>,
    /// What is left to read in the same block: [`Protocol::reads`] gives further calls, and values are complete once this
    /// is 0.
    pub pending: usize,
}

/// Number of markets and positions that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Markets that were ever created.
    pub markets: usize,
    /// Positions with debt.
    pub positions: usize,
}

/// What the protocol does in a whole liquidation. Exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liquidation {
    /// Units of the debt token that the liquidator pays.
    pub repaid: U256,
    /// Units of the collateral token that the liquidator receives.
    pub seized: U256,
    /// Value of the seized collateral by the protocol's own price less what is repaid, in units of the debt token, rounded
    /// down: before gas, and before what a sale of the collateral costs.
    pub bonus: U256,
    /// Units of the debt token that remain without collateral, which lenders lose.
    pub bad_debt: U256,
}

/// A further collateral or debt of a position, besides the pair that a liquidation exchanges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FurtherBalance {
    /// The token.
    pub token: Address,
    /// Whether it is owed.
    pub is_debt: bool,
    /// Units of the token.
    pub amount: U256,
    /// The protocol's price now: units of the position's debt token for 10³⁶ units of this one.
    pub price: U256,
    /// Highest price of a collateral at which the position is liquidatable while every other price stays; `None` if there is
    /// no such price, and of a debt.
    pub liquidation_price: Option<U256>,
}

/// A position with debt, as of the last [`Protocol::observe`].
///
/// Where a position has several collaterals or debts, `collateral_token` and `debt_token` are the pair whose liquidation
/// brings most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionSummary {
    /// Id of the market.
    pub market: B256,
    /// The borrower.
    pub account: Address,
    /// The collateral token.
    pub collateral_token: Address,
    /// Units of the collateral token.
    pub collateral: U256,
    /// The debt token.
    pub debt_token: Address,
    /// Units of the debt token that are owed, with interest up to the block, as the protocol rounds.
    pub debt: U256,
    /// Health factor × 10¹⁸, rounded as the protocol does.
    pub health: U256,
    /// Whether the protocol lets it be liquidated: its health factor is below 10¹⁸, and nothing is in the way.
    pub is_liquidatable: bool,
    /// The protocol's price now: units of the debt token for 10³⁶ units of the collateral token.
    pub price: U256,
    /// Highest price, in the unit of `price`, at which the position is liquidatable with its present debt and its other
    /// collateral, while every other price stays; `None` if no price makes it so, or none makes it healthy, as without
    /// collateral.
    pub liquidation_price: Option<U256>,
    /// What a whole liquidation does: now if the position is liquidatable, else at its liquidation price. `None` if the
    /// protocol refuses a whole one at that price, which takes a coincidence of its roundings, or if there is no such price.
    pub liquidation: Option<Liquidation>,
    /// Further collaterals and debts.
    pub further: Vec<FurtherBalance>,
    /// What stands in the way of a liquidation, or by what other call the protocol does it, for people.
    pub remark: Option<String>,
}

/// A lending protocol's deployment, followed by its logs.
///
/// All state changes are all or nothing. Values are as of the last [`observe`](Self::observe), which belongs to the block
/// that was applied last.
pub trait Protocol: Any + fmt::Debug + Send {
    /// Returns the deployment that is followed.
    fn deployment(&self) -> &Deployment;

    /// Returns which logs are wanted: of the deployment's address, all of them, unless the protocol says otherwise. Known after
    /// [`Self::check_identity`]. If it is another one after [`Self::apply`], earlier logs are missing, so that the state is to
    /// be [reset](Self::reset) and all logs to be read again; if after [`Self::observe`], those of the blocks after the
    /// observed one are wanted by it.
    fn log_filter(&self) -> LogFilter {
        LogFilter { addresses: BTreeSet::from([self.deployment().address]), topics: Vec::new() }
    }

    /// Returns the calls by which the protocol can be told from another one.
    fn identity_calls(&self) -> Vec<Call>;

    /// Checks the answers to [`Self::identity_calls`], and keeps what they tell of the deployment.
    ///
    /// # Errors
    /// When the address is another contract's.
    fn check_identity(&mut self, answers: &[Answer]) -> Result<(), IdentityError>;

    /// Applies a block's logs.
    ///
    /// # Errors
    /// When the block is not a later one, or when a log is foreign or does not fit. The state is as before then.
    fn apply(&mut self, block: Block, logs: &[Log]) -> Result<(), ApplyError>;

    /// Undoes every block after `block`.
    ///
    /// # Errors
    /// When more than [`MAX_UNDO`] applied blocks would be undone. The state is as before then.
    fn undo_to(&mut self, block: u64) -> Result<(), UndoError>;

    /// Forgets every block. The contracts stay known.
    fn reset(&mut self);

    /// Returns the rows of the state that the newest block changed, or that were read of it in that block, as they are now. All
    /// that follows from logs must be among them: by the last version of every row the state is [restored](Self::restore).
    fn changed_rows(&self) -> Vec<Row>;

    /// Sets the state to that after a block, by the last version of every row up to it, in the order of their keys. The block
    /// cannot be undone. The contracts must be known.
    ///
    /// # Errors
    /// When the rows are no state of the deployment. It is to be [reset](Self::reset) then.
    fn restore(&mut self, block: Block, rows: &[Row]) -> Result<(), RestoreError>;

    /// Returns the newest applied block.
    fn tip(&self) -> Option<Block>;

    /// Returns how much is known.
    fn size(&self) -> Size;

    /// Sets the least bonus of each debt token that can pay for a liquidation; in other tokens none can. Of what anybody may
    /// create, that which cannot bring it is not read any more, however much there is. Until then everything is read.
    fn set_least_bonuses(&mut self, _least: &Arc<BTreeMap<Address, U256>>) {}

    /// Returns the calls whose answers are needed in the block that was applied last, in sequences: a call sees what those
    /// before it in its sequence changed.
    fn reads(&self) -> Vec<Vec<Call>>;

    /// Returns the calls whose answers will be needed in the next block if its logs change nothing, so that they can be asked for
    /// as soon as that block is announced. A guess: what [`Self::reads`] gives then is what counts.
    fn reads_ahead(&self) -> Vec<Vec<Call>> {
        self.reads()
    }

    /// Takes the answers to [`Self::reads`]; positions match.
    fn observe(&mut self, answers: &[Vec<Answer>]) -> Observed;

    /// Returns the positions with a health factor × 10¹⁸ below `health`, the least healthy first, at most `limit` of them.
    fn positions_below(&self, health: U256, limit: usize) -> Vec<PositionSummary>;

    /// Returns the gas of a liquidation with one sale by the executor contract, as measured on the protocol's bytecode.
    fn liquidation_gas(&self) -> u64;

    /// Returns what can be liquidated now with at least this bonus, in no particular order. Nothing of a protocol whose
    /// liquidations are not known here.
    fn liquidatable(&self, _least_bonus: LeastBonus<'_>) -> Vec<Lot> {
        Vec::new()
    }

    /// Returns the lots of healthy positions with a health factor × 10¹⁸ below `health`, as if each had just become liquidatable,
    /// with at least this bonus: of each market the least healthy positions, at most `limit`. Their order says which market's
    /// are nearer.
    fn nearly_liquidatable(&self, _health: U256, _limit: usize, _least_bonus: LeastBonus<'_>) -> Vec<Lot> {
        Vec::new()
    }
}

fn revert_text(data: &Bytes) -> String {
    use alloy::sol_types::decode_revert_reason;
    match decode_revert_reason(data) {
        // A contract may put anything into its reason.
        Some(reason) => {
            format!(": {}", reason.chars().filter(|letter| !letter.is_control()).take(100).collect::<String>())
        }
        None => " without a reason".to_owned(),
    }
}
