//! Random histories of a pool: every action on chain is repeated in the model, and both are compared block by block.

use std::{collections::BTreeSet, ops::AddAssign};

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::{BlockNumberOrTag, Log, TransactionReceipt, TransactionRequest},
    sol_types::{SolCall, SolEvent},
};
use eyre::{ContextCompat, WrapErr, ensure};
use num_bigint::{BigInt, Sign};
use num_rational::BigRational;
use num_traits::{One, Zero};
use plimsoll_contracts::IRewards;
use plimsoll_testkit::devnet::{Devnet, mined};

use super::{
    model::{EPOCH, Model},
    random::Random,
};

/// Number of stakers, besides a keeper.
const ACCOUNTS: usize = 5;
const KEEPER: usize = ACCOUNTS;
/// Number of tokens: the stake token, which is also the first reward token, and two more.
const STREAMS: usize = 3;
const EPOCHS_AHEAD: u64 = 26;
const BPS: u64 = 10_000;

/// Parameters of a history.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Number of blocks with actions.
    pub(crate) blocks: usize,
    /// Whether the first account always has a stake.
    pub(crate) somebody_stays: bool,
}

/// The contract on a node, with accounts that have plenty of every token.
#[derive(Debug)]
pub(crate) struct Programmes<'a> {
    devnet: &'a Devnet,
    rewards: Address,
    tokens: [Address; STREAMS],
    accounts: [Address; ACCOUNTS + 1],
}

/// An action in one transaction. Accounts and streams are numbered as in the model.
#[derive(Debug, Clone)]
enum Action {
    Stake { caller: usize, on_behalf: usize, amount: BigInt },
    Unstake { account: usize, amount: BigInt },
    Claim { stream: usize, account: usize },
    Fund { caller: usize, stream: usize, amount: BigInt, first_epoch: u64, epochs: u64 },
    Consent { stream: usize, account: usize, terms: Terms },
    Harvest { stream: usize, accounts: Vec<usize> },
}

/// Counts of what histories contained: a test of harvests needs histories with harvests.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    /// Rewards that were paid by a claim.
    pub(crate) claims: u64,
    /// Rewards that were harvested, including compounded ones.
    pub(crate) harvests: u64,
    pub(crate) compounded: u64,
    /// Accounts in a harvest that consented and had too little.
    pub(crate) skipped: u64,
    /// Returns of a staker after a time without any.
    pub(crate) returns: u64,
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.claims += other.claims;
        self.harvests += other.harvests;
        self.compounded += other.compounded;
        self.skipped += other.skipped;
        self.returns += other.returns;
    }
}

/// The consent of an account.
#[derive(Debug, Clone, Default)]
struct Terms {
    enabled: bool,
    compounds: bool,
    tip_bps: u16,
    smallest: BigInt,
}

/// A history in progress.
#[derive(Debug)]
struct History<'a> {
    programmes: &'a Programmes<'a>,
    setting: &'a Setting,
    pool: B256,
    random: Random,
    model: Model,
    terms: Vec<Vec<Terms>>,
    /// The most updates of a stream, for the rounding of its accumulator.
    updates: u64,
    /// The most changes of an account's stake, for the rounding of its offset.
    settlements: u64,
    largest_stake: BigInt,
    seen: Seen,
}

impl<'a> Programmes<'a> {
    pub(crate) async fn deploy(devnet: &'a Devnet) -> eyre::Result<Self> {
        let rewards = devnet.deploy("Rewards", Vec::new()).await?;
        let mut accounts = [Address::ZERO; ACCOUNTS + 1];
        for (index, account) in accounts.iter_mut().enumerate() {
            *account = devnet.node.account(index)?;
        }
        let mut tokens = [Address::ZERO; STREAMS];
        for token in &mut tokens {
            *token = devnet.deploy_token("Token", 18).await?;
            for account in accounts {
                devnet.mint_and_approve(*token, account, U256::ONE << 180, rewards).await?;
            }
        }
        Ok(Self { devnet, rewards, tokens, accounts })
    }

    /// Runs a history until all epochs are over and every account is paid. Fails where contract and model differ.
    pub(crate) async fn run(&self, seed: u64, setting: &Setting) -> eyre::Result<Seen> {
        let mut history = self.begin(seed, setting).await?;
        history.run().await.wrap_err_with(|| format!("history {seed} of {setting:?}"))?;
        Ok(history.seen)
    }

    async fn begin<'b>(&'b self, seed: u64, setting: &'b Setting) -> eyre::Result<History<'b>>
    where
        'a: 'b,
    {
        let rewards = IRewards::new(self.rewards, self.devnet.provider());
        let salt = B256::from(U256::from(seed));
        let provider = self.devnet.provider();
        let latest = provider.get_block_by_number(BlockNumberOrTag::Latest).await?.wrap_err("there is no block")?;
        // At the same second of an epoch in every run, so that a seed determines the history.
        let now = (latest.header.timestamp / EPOCH + 1) * EPOCH + 12_345;
        provider.anvil_set_auto_mine(true).await?;
        provider.anvil_set_next_block_timestamp(now).await?;
        mined(rewards.createPool(self.tokens[0], self.tokens.to_vec(), salt).from(self.devnet.deployer())).await?;
        let pool = rewards.poolId(self.tokens[0], self.tokens.to_vec(), salt).call().await?;
        provider.anvil_set_auto_mine(false).await?;
        Ok(History {
            programmes: self,
            setting,
            pool,
            random: Random::of(seed),
            model: Model::new(now, ACCOUNTS, STREAMS),
            terms: vec![vec![Terms::default(); ACCOUNTS]; STREAMS],
            updates: 0,
            settlements: 0,
            largest_stake: BigInt::zero(),
            seen: Seen::default(),
        })
    }
}

impl History<'_> {
    async fn run(&mut self) -> eyre::Result<()> {
        let mut first = vec![Action::Stake { caller: 0, on_behalf: 0, amount: 7.into() }];
        for stream in 0..STREAMS {
            first.extend((0..ACCOUNTS).map(|account| self.consent(stream, account)));
        }
        self.block(1, first).await?;
        for _ in 0..self.setting.blocks {
            let seconds = self.seconds();
            let actions = self.actions(seconds);
            self.block(seconds, actions).await.wrap_err_with(|| format!("block at {}", self.model.now()))?;
            if self.random.chance(30) {
                self.compare().await.wrap_err_with(|| format!("state at {}", self.model.now()))?;
            }
        }
        self.end().await
    }

    /* CHOICES */

    /// Returns a random time: mostly seconds to days, sometimes weeks, rarely longer than any funding.
    fn seconds(&mut self) -> u64 {
        1 + match self.random.below(20) {
            0..=5 => self.random.below(100),
            6..=16 => self.random.below(3 * EPOCH / 2),
            17..=18 => self.random.below(6 * EPOCH),
            _ => self.random.below(60 * EPOCH),
        }
    }

    /// Returns a few actions that the contract accepts, for a block `seconds` later. Where nobody has to stay, all
    /// leave now and then.
    fn actions(&mut self, seconds: u64) -> Vec<Action> {
        let mut stakes: Vec<BigInt> = (0..ACCOUNTS).map(|account| self.model.staked(account).clone()).collect();
        if !self.setting.somebody_stays && self.random.chance(20) {
            let everything = stakes.into_iter().enumerate().filter(|(_, stake)| !stake.is_zero());
            return everything.map(|(account, amount)| Action::Unstake { account, amount }).collect();
        }
        (0..=self.random.below(5)).map(|_| self.action(self.model.now() + seconds, &mut stakes)).collect()
    }

    fn action(&mut self, time: u64, stakes: &mut [BigInt]) -> Action {
        let account = self.random.index(ACCOUNTS);
        let stream = self.random.index(STREAMS);
        match self.random.below(14) {
            0..=2 => {
                let amount = self.random.amount(90);
                stakes[account] += &amount;
                Action::Stake { caller: self.random.index(ACCOUNTS), on_behalf: account, amount }
            }
            3..=5 => {
                let kept = BigInt::from(u8::from(self.setting.somebody_stays && account == 0));
                let most = &stakes[account] - kept;
                if most <= BigInt::zero() {
                    return Action::Claim { stream, account };
                }
                let all = self.random.chance(50);
                let amount = if all { most } else { self.random.amount(90) % &most + 1 };
                stakes[account] -= &amount;
                Action::Unstake { account, amount }
            }
            6 => Action::Claim { stream, account },
            7..=8 => {
                let ahead = 1 + self.random.below(EPOCHS_AHEAD);
                let epochs = 1 + self.random.below(EPOCHS_AHEAD + 1 - ahead);
                let amount = self.random.amount(85);
                Action::Fund { caller: account, stream, amount, first_epoch: time / EPOCH + ahead, epochs }
            }
            9 => self.consent(stream, account),
            _ => {
                let listed = 1 + self.random.below(7);
                let accounts = (0..listed).map(|_| self.random.index(ACCOUNTS)).collect();
                Action::Harvest { stream, accounts }
            }
        }
    }

    fn consent(&mut self, stream: usize, account: usize) -> Action {
        let terms = Terms {
            enabled: self.random.chance(85),
            compounds: stream == 0 && self.random.chance(60),
            tip_bps: u16::try_from(self.random.below(2001)).unwrap_or_default(),
            smallest: if self.random.chance(50) { BigInt::zero() } else { self.random.amount(80) },
        };
        Action::Consent { stream, account, terms }
    }

    /* ON CHAIN */

    /// Mines the actions in one block and applies the contract's events to the model.
    async fn block(&mut self, seconds: u64, actions: Vec<Action>) -> eyre::Result<()> {
        let provider = self.programmes.devnet.provider();
        let mut pending = Vec::with_capacity(actions.len());
        for action in &actions {
            pending.push(*provider.send_transaction(self.request(action)?).await?.tx_hash());
        }
        provider.anvil_set_next_block_timestamp(self.model.now() + seconds).await?;
        provider.anvil_mine(None, None).await?;

        let idle = self.model.total_staked().is_zero();
        let funded = (0..STREAMS).any(|stream| !self.model.stream(stream).funded().is_zero());
        self.model.advance(self.model.now() + seconds);
        for (action, hash) in actions.iter().zip(pending) {
            let receipt = provider.get_transaction_receipt(hash).await?.wrap_err("an action was not mined")?;
            self.follow(action, &receipt).wrap_err_with(|| format!("{action:?}"))?;
            self.updates += 1;
            self.largest_stake = self.model.total_staked().max(std::mem::take(&mut self.largest_stake));
        }
        self.seen.returns += u64::from(funded && idle && !self.model.total_staked().is_zero());
        Ok(())
    }

    fn request(&self, action: &Action) -> eyre::Result<TransactionRequest> {
        let pool = self.pool;
        let Programmes { rewards, tokens, accounts, .. } = self.programmes;
        let (caller, data) = match action {
            Action::Stake { caller, on_behalf, amount } => {
                let call = IRewards::stakeCall { pool, amount: word(amount)?, onBehalf: accounts[*on_behalf] };
                (*caller, call.abi_encode())
            }
            Action::Unstake { account, amount } => {
                let owner = accounts[*account];
                let call = IRewards::unstakeCall { pool, amount: word(amount)?, onBehalf: owner, receiver: owner };
                (*account, call.abi_encode())
            }
            Action::Claim { stream, account } => {
                let owner = accounts[*account];
                let call = IRewards::claimCall { pool, rewardToken: tokens[*stream], onBehalf: owner, receiver: owner };
                (*account, call.abi_encode())
            }
            Action::Fund { caller, stream, amount, first_epoch, epochs } => {
                let call = IRewards::fundCall {
                    pool,
                    rewardToken: tokens[*stream],
                    amount: word(amount)?,
                    firstEpoch: U256::from(*first_epoch),
                    epochs: U256::from(*epochs),
                };
                (*caller, call.abi_encode())
            }
            Action::Consent { stream, account, terms } => {
                let consent = IRewards::HarvestConsent {
                    enabled: terms.enabled,
                    compounds: terms.compounds,
                    tipBps: terms.tip_bps,
                    smallest: word(&terms.smallest)?.to(),
                };
                let call = IRewards::setHarvestConsentCall { pool, rewardToken: tokens[*stream], consent };
                (*account, call.abi_encode())
            }
            Action::Harvest { stream, accounts: listed } => {
                let listed = listed.iter().map(|account| accounts[*account]).collect();
                let call = IRewards::harvestCall { pool, rewardToken: tokens[*stream], accounts: listed };
                (KEEPER, call.abi_encode())
            }
        };
        // Set explicitly, so that no call is needed for each of thousands of transactions.
        Ok(TransactionRequest::default()
            .with_from(accounts[caller])
            .with_to(*rewards)
            .with_input(data)
            .with_gas_limit(5_000_000)
            .with_gas_price(10_000_000_000))
    }

    /// Applies the events of a receipt to the model, and checks that they are correct.
    fn follow(&mut self, action: &Action, receipt: &TransactionReceipt) -> eyre::Result<()> {
        let logs = receipt.logs();
        if let Action::Harvest { stream, accounts } = action {
            return self.follow_harvest(*stream, accounts, receipt.status(), logs);
        }
        ensure!(receipt.status(), "reverted");
        match action {
            Action::Stake { on_behalf, amount, .. } => {
                ensure!(integer(only::<IRewards::Stake>(logs)?.amount) == *amount);
                self.model.stake(*on_behalf, amount);
                self.settlements += 1;
            }
            Action::Unstake { account, amount } => {
                ensure!(integer(only::<IRewards::Unstake>(logs)?.amount) == *amount);
                self.model.unstake(*account, amount);
                self.settlements += 1;
            }
            Action::Claim { stream, account } => {
                let claims = decoded::<IRewards::Claim>(logs)?;
                let amount = claims.first().map_or_else(BigInt::zero, |claim| integer(claim.amount));
                self.require_close(&self.model.stream(*stream).owed(*account), &amount)?;
                self.model.pay(*stream, *account, &amount);
                self.seen.claims += u64::from(!amount.is_zero());
            }
            Action::Fund { stream, amount, first_epoch, epochs, .. } => {
                ensure!(integer(only::<IRewards::Fund>(logs)?.amount) == *amount);
                self.model.fund(*stream, amount, *first_epoch, *epochs);
            }
            Action::Consent { stream, account, terms } => self.terms[*stream][*account] = terms.clone(),
            Action::Harvest { .. } => {}
        }
        Ok(())
    }

    /// Checks R5: exactly the accounts that consented and had enough were harvested, once, for the tip that they
    /// consented to.
    fn follow_harvest(&mut self, stream: usize, listed: &[usize], done: bool, logs: &[Log]) -> eyre::Result<()> {
        let harvests = decoded::<IRewards::Harvest>(logs)?;
        ensure!(done != harvests.is_empty(), "a harvest reverts exactly when it does nothing");
        let mut harvested = BTreeSet::new();
        for harvest in harvests {
            let account = self.programmes.accounts.iter().position(|account| *account == harvest.account);
            let account = account.filter(|account| listed.contains(account)).wrap_err("nobody listed this account")?;
            ensure!(harvested.insert(account), "account {account} was harvested twice");
            let terms = self.terms[stream].get(account).wrap_err("the keeper has no stake")?.clone();
            let (amount, tip) = (integer(harvest.amount), integer(harvest.tip));
            ensure!(terms.enabled, "account {account} did not agree");
            ensure!(amount >= terms.smallest, "{amount} is less than account {account} agreed to");
            ensure!(tip == &amount * terms.tip_bps / BPS, "the tip {tip} is not what was agreed to");
            ensure!(harvest.compounded == terms.compounds);
            self.require_close(&self.model.stream(stream).owed(account), &amount)?;
            self.model.pay(stream, account, &amount);
            self.seen.harvests += 1;
            self.seen.compounded += u64::from(terms.compounds);
            if terms.compounds {
                self.model.stake(account, &(amount - tip));
                self.settlements += 1;
            }
        }
        for account in listed.iter().filter(|account| !harvested.contains(account)) {
            let terms = &self.terms[stream][*account];
            let enough = BigRational::from(terms.smallest.clone().max(BigInt::one())) + self.slack();
            let owed = self.model.stream(stream).owed(*account);
            ensure!(!terms.enabled || owed < enough, "account {account} was skipped with {owed} to harvest");
            self.seen.skipped += u64::from(terms.enabled && owed >= BigRational::one());
        }
        Ok(())
    }

    /* COMPARISON */

    /// Returns what the contract may hold back by rounding: less than one unit for each claim, less than 2^-24 units
    /// for each change of a stake, a unit in a second of an epoch for each update, 2^-96 of the stake in all (the step
    /// that the accumulator has not made yet), and less than one unit for each return after idle time.
    fn slack(&self) -> BigRational {
        let offsets = BigRational::new(self.settlements.into(), BigInt::one() << 24);
        let updates = BigRational::new(self.updates.into(), EPOCH.into());
        BigRational::from(BigInt::from(1 + self.seen.returns)) + offsets + self.step() + updates
    }

    /// Returns the most that a step of an accumulator was worth: what it leaves over is paid with the next steps, to
    /// the stakes of that time.
    fn step(&self) -> BigRational {
        BigRational::new(self.largest_stake.clone(), BigInt::one() << 96)
    }

    /// Checks that a payment is not more than due (but for a unit of idle time and a step of the accumulator), and not
    /// less by more than the slack.
    fn require_close(&self, due: &BigRational, amount: &BigInt) -> eyre::Result<()> {
        let held_back = due - BigRational::from(amount.clone());
        ensure!(
            held_back >= -BigRational::from(BigInt::from(self.seen.returns)) - self.step(),
            "{amount} is more than {}",
            due.floor()
        );
        ensure!(held_back < self.slack(), "{amount} is less than {} by more than rounding", due.floor());
        Ok(())
    }

    async fn compare(&self) -> eyre::Result<()> {
        let rewards = IRewards::new(self.programmes.rewards, self.programmes.devnet.provider());
        for (stream, token) in self.programmes.tokens.iter().enumerate() {
            let expected = self.model.stream(stream);
            for (index, account) in self.programmes.accounts[..ACCOUNTS].iter().enumerate() {
                let claimable = rewards.claimable(self.pool, *token, *account).call().await?;
                self.require_close(&expected.owed(index), &integer(claimable))
                    .wrap_err_with(|| format!("claimable by account {index} of stream {stream}"))?;
            }
            let schedule = rewards.schedule(self.pool, *token).call().await?;
            ensure!(schedule.currentEpoch == U256::from(self.model.now() / EPOCH));
            for (epoch, amount) in (self.model.now() / EPOCH..).zip(&schedule.amounts) {
                self.require_close(&expected.amount_of(epoch), &integer(*amount))
                    .wrap_err_with(|| format!("epoch {epoch} of stream {stream}"))?;
            }
        }
        let state = rewards.poolState(self.pool).call().await?;
        ensure!(integer(state.totalStaked) == self.model.total_staked(), "total stake");
        Ok(())
    }

    /// Checks R1 and R2: when all epochs are over and every account is paid, all funds are paid out, except for the
    /// slack.
    async fn end(&mut self) -> eyre::Result<()> {
        self.block(1, vec![Action::Stake { caller: 0, on_behalf: 0, amount: BigInt::one() }]).await?;
        let everybody = (0..STREAMS).flat_map(|stream| (0..ACCOUNTS).map(move |account| (stream, account)));
        let claims = everybody.map(|(stream, account)| Action::Claim { stream, account }).collect();
        self.block((EPOCHS_AHEAD + 2) * EPOCH, claims).await?;
        self.compare().await?;
        for stream in (0..STREAMS).map(|stream| self.model.stream(stream)) {
            let funded = BigRational::from(stream.funded().clone());
            ensure!(
                stream.earned() == funded && stream.to_come(self.model.now()).is_zero(),
                "the model lost something"
            );
            ensure!(stream.paid() <= *stream.funded(), "more was paid than funded");
            let left = funded - BigRational::from(stream.paid());
            let slack = self.slack() * BigRational::from(BigInt::from(ACCOUNTS));
            ensure!(left < slack, "{left} was never paid");
        }
        Ok(())
    }
}

fn decoded<E: SolEvent>(logs: &[Log]) -> eyre::Result<Vec<E>> {
    let ours = logs.iter().filter(|log| log.topic0() == Some(&E::SIGNATURE_HASH));
    ours.map(|log| Ok(log.log_decode::<E>()?.inner.data)).collect()
}

fn only<E: SolEvent>(logs: &[Log]) -> eyre::Result<E> {
    let mut events = decoded(logs)?;
    ensure!(events.len() == 1, "{} events {} instead of one", events.len(), E::SIGNATURE);
    events.pop().wrap_err("no event")
}

fn integer(word: U256) -> BigInt {
    BigInt::from_bytes_le(Sign::Plus, &word.to_le_bytes::<32>())
}

fn word(integer: &BigInt) -> eyre::Result<U256> {
    let (_, bytes) = integer.to_bytes_le();
    U256::try_from_le_slice(&bytes).wrap_err("more than 256 bits")
}
