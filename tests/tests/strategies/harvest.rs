//! Harvests on a real chain: tips arrive as expected, gas is close to the table, the keeper's own rewards are restaked,
//! and a hostile reward token holds up nobody else's harvest.

use std::{collections::BTreeMap, sync::Arc};

use alloy::{
    primitives::{Address, B256, U256, aliases::U96},
    providers::ext::AnvilApi,
    sol,
};
use eyre::ContextCompat;
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_contracts::IRewards;
use plimsoll_keeper::{
    chain::Sources,
    intent::Purpose,
    prices::{EndpointReader, Prices, Source, Valuer},
    strategies::{
        BlockContext, Decision, Decisions, SkipReason,
        gas::{Costs, GasTable, room},
        harvest::{Harvest, HarvestSettings, HarvestTiming, OwnRewards, RewardId, StreamId},
    },
};
use plimsoll_testkit::{
    deployment::Suite,
    devnet::{ITestToken, mined},
};

use super::fixture::{ETHER, book_of, head_of, send};

const TIP_BPS: u16 = 500;
const WEEK: u64 = 604_800;
/// A payment that burns all of its gas: `Payout.BurnsAllGas`.
const BURNS_ALL_GAS: u8 = 3;
/// A payment that moves the tokens and returns false: `Payout.MovesAndReturnsFalse`.
const MOVES_AND_RETURNS_FALSE: u8 = 5;

sol! {
    #[sol(rpc)]
    interface IOddToken {
        function setPayout(address receiver, uint8 payout) external;
    }
}

struct Fixture {
    suite: Suite,
    keeper: Address,
    rewards: Address,
    pool: B256,
    node: EndpointReader,
    valuer: Valuer,
    harvest: Harvest,
}

impl Fixture {
    /// The manifest's programme, which pays the staked token and dollars, with equal stakes of these accounts of the
    /// node.
    async fn new(stakers: &[usize]) -> eyre::Result<Self> {
        let suite = Suite::start().await?;
        let keeper = suite.devnet.node.account(3)?;
        let rewards = suite.contract("Rewards")?;
        let pool = suite.deployment.programmes.get("plim").wrap_err("no such programme")?.id;
        let (plim, usdc) = (suite.token("PLIM")?, suite.token("USDC")?);
        let contract = IRewards::new(rewards, suite.devnet.provider());
        for index in stakers {
            let staker = suite.devnet.node.account(*index)?;
            suite.devnet.mint_and_approve(plim, staker, U256::from(100 * ETHER), rewards).await?;
            mined(contract.stake(pool, U256::from(100 * ETHER), staker).from(staker)).await?;
            for (token, compounds) in [(plim, true), (usdc, false)] {
                let consent =
                    IRewards::HarvestConsent { enabled: true, compounds, tipBps: TIP_BPS, smallest: U96::ZERO };
                let consent = contract.setHarvestConsent(pool, token, consent);
                if staker != keeper {
                    mined(consent.from(staker)).await?;
                }
            }
        }
        // Allows restaking claimed rewards.
        mined(ITestToken::new(plim, suite.devnet.provider()).approve(rewards, U256::MAX).from(keeper)).await?;
        let sources = sources(&suite)?;
        let endpoint: Arc<Endpoint> = Arc::new(suite.devnet.node.http_url().parse()?);
        let settings = HarvestSettings {
            keeper,
            rewards,
            programmes: [pool].into(),
            gas: GasTable::default(),
            timing: HarvestTiming { patience_secs: 86_400, max_wait_secs: 7 * 86_400 },
            max_batch: 100,
            interval_secs: 60,
            own: OwnRewards::Compound,
            own_interval_secs: 86_400,
            deadline_secs: 600,
        };
        let node = EndpointReader::new(endpoint.clone(), endpoint.client().await?, keeper);
        Ok(Self { keeper, rewards, pool, node, valuer: Valuer::new(sources), harvest: Harvest::new(settings), suite })
    }

    /// Creates a programme of the staked token that pays an odd one, with the stakes and consents of these accounts.
    async fn odd_programme(&mut self, stakers: &[Address]) -> eyre::Result<StreamId> {
        let devnet = &self.suite.devnet;
        let (plim, odd) = (self.suite.token("PLIM")?, devnet.deploy("OddToken", Vec::new()).await?);
        let contract = IRewards::new(self.rewards, devnet.provider());
        mined(contract.createPool(plim, vec![odd], B256::ZERO).from(devnet.deployer())).await?;
        let pool = contract.poolId(plim, vec![odd], B256::ZERO).call().await?;
        for staker in stakers {
            devnet.mint_and_approve(plim, *staker, U256::from(100 * ETHER), self.rewards).await?;
            mined(contract.stake(pool, U256::from(100 * ETHER), *staker).from(*staker)).await?;
            let consent =
                IRewards::HarvestConsent { enabled: true, compounds: false, tipBps: TIP_BPS, smallest: U96::ZERO };
            mined(contract.setHarvestConsent(pool, odd, consent).from(*staker)).await?;
        }
        let (amount, weeks) = (U256::from(10_000 * ETHER), U256::from(4));
        devnet.mint_and_approve(odd, devnet.deployer(), amount, self.rewards).await?;
        let next_week = contract.schedule(pool, odd).call().await?.currentEpoch + U256::ONE;
        mined(contract.fund(pool, odd, amount, next_week, weeks).from(devnet.deployer())).await?;
        let mut sources = sources(&self.suite)?;
        sources.insert(odd, Source::fixed(U256::from(ETHER / 100), 18).wrap_err("no rate")?);
        self.valuer = Valuer::new(sources);
        let programmes = [self.pool, pool].into();
        self.harvest = Harvest::new(HarvestSettings { programmes, ..self.harvest.settings().clone() });
        Ok(StreamId { pool, reward_token: odd })
    }

    async fn wait(&self, seconds: u64) -> eyre::Result<()> {
        self.suite.devnet.provider().anvil_increase_time(seconds).await?;
        self.suite.devnet.provider().evm_mine(None).await?;
        Ok(())
    }

    async fn look(&mut self) -> eyre::Result<Decisions<RewardId>> {
        let header = head_of(self.suite.devnet.provider()).await?;
        let sources = Sources::all(self.suite.contract("Plimsoll")?, Some(self.rewards));
        let book = book_of(self.suite.devnet.provider(), sources).await?;
        let costs = Costs { gas_price: 1_000_000_000, data_byte_price: 0, margin_bps: 1_000 };
        let context = BlockContext {
            header: &header,
            prices: &Prices::default(),
            costs,
            room: room(header.gas_limit, 1 << 24, 4_500),
        };
        let nothing = |_: RewardId| None::<SkipReason>;
        let round = self.harvest.decide(&self.node, &mut self.valuer, &book, context, &nothing).await;
        round.wrap_err("it is too early for another look")
    }
}

#[tokio::test]
async fn tips_arrive_and_own_rewards_are_staked_again() -> eyre::Result<()> {
    let mut fixture = Fixture::new(&[3, 4, 5, 6, 7, 8]).await?;
    let (plim, usdc) = (fixture.suite.token("PLIM")?, fixture.suite.token("USDC")?);
    let provider = fixture.suite.devnet.node.impersonating().await?;
    // Funding starts with the next week.
    fixture.wait(WEEK).await?;
    fixture.look().await?;
    fixture.wait(8 * 86_400).await?;
    let round = fixture.look().await?;
    assert!(round.verdicts.iter().all(|verdict| matches!(verdict.decision, Decision::Act { .. })), "{round:?}");
    // Harvests of both tokens for the five others, and claims of both of the keeper's own.
    assert_eq!((round.intents.len(), round.verdicts.len()), (4, 12));
    let stake_before = IRewards::new(fixture.rewards, &provider).staked(fixture.pool, fixture.keeper).call().await?;
    let held = async |token| ITestToken::new(token, &provider).balanceOf(fixture.keeper).call().await;
    for intent in &round.intents {
        let token = match &intent.purpose {
            Purpose::Harvest { reward_token, .. } | Purpose::ClaimOwn { reward_token, .. } => *reward_token,
            other => panic!("{other:?}"),
        };
        let (before, worth) = (held(token).await?, if token == plim { 100 } else { 2_000 });
        let receipts = send(&provider, fixture.keeper, std::slice::from_ref(intent)).await?;
        let arrived = held(token).await? - before;
        let used = receipts[0].gas_used;
        assert!(used <= intent.gas_limit * 9 / 10, "{used} of {} for {:?}", intent.gas_limit, intent.purpose);
        // Each was simulated a second later than the one before, in which further rewards accrue.
        // It was tried alone and is counted before refunds.
        let close = (used * 9 / 10..=used * 3 / 2).contains(&intent.expected_gas);
        assert!(close, "{used} used, {} expected for {:?}", intent.expected_gas, intent.purpose);
        if matches!(intent.purpose, Purpose::ClaimOwn { .. }) && token == plim {
            assert!(arrived < U256::from(ETHER / 1_000), "{arrived} was not staked again");
        } else {
            // What was expected, plus at most the rewards of some seconds.
            let unit = if token == plim { ETHER } else { 1_000_000 };
            let gain = arrived * U256::from(ETHER) / U256::from(unit * worth);
            assert!(gain >= intent.expected_gain && gain - intent.expected_gain < gain / U256::from(1_000), "{gain}");
        }
    }
    let staked = IRewards::new(fixture.rewards, &provider).staked(fixture.pool, fixture.keeper).call().await?;
    assert!(staked > stake_before);
    // No profitable harvest remains.
    fixture.wait(120).await?;
    assert_eq!(fixture.look().await?.intents, []);
    assert!(usdc != plim);
    Ok(())
}

#[tokio::test]
async fn a_hostile_reward_token_holds_up_nobody_elses_harvest() -> eyre::Result<()> {
    let mut fixture = Fixture::new(&[4, 5, 6, 7]).await?;
    let provider = fixture.suite.devnet.node.impersonating().await?;
    let accounts = (4..8).map(|index| fixture.suite.devnet.node.account(index)).collect::<eyre::Result<Vec<_>>>()?;
    let [fair, unconfirmed, burning, other] = accounts[..] else { panic!("{accounts:?}") };
    let stream = fixture.odd_programme(&accounts).await?;
    let odd = IOddToken::new(stream.reward_token, fixture.suite.devnet.provider());
    for (account, payout) in [(unconfirmed, MOVES_AND_RETURNS_FALSE), (burning, BURNS_ALL_GAS)] {
        mined(odd.setPayout(account, payout).from(fixture.suite.devnet.deployer())).await?;
    }
    fixture.wait(WEEK).await?;
    fixture.look().await?;
    fixture.wait(8 * 86_400).await?;
    let round = fixture.look().await?;

    // Of all rewards, only the one that the token does not confirm is left out.
    let skipped: Vec<_> =
        round.verdicts.iter().filter(|verdict| !matches!(verdict.decision, Decision::Act { .. })).collect();
    let [verdict] = skipped[..] else { panic!("{skipped:?}") };
    assert_eq!(verdict.target, RewardId { stream, account: unconfirmed });
    assert!(matches!(verdict.decision, Decision::Skip(SkipReason::TransferFailed { .. })), "{verdict:?}");
    assert_eq!((round.intents.len(), round.verdicts.len()), (3, 12));

    let held = async |account| ITestToken::new(stream.reward_token, &provider).balanceOf(account).call().await;
    let receipts = send(&provider, fixture.keeper, &round.intents).await?;
    assert!(receipts.iter().all(alloy::rpc::types::TransactionReceipt::status), "{receipts:?}");
    for (account, is_paid) in
        [(fair, true), (other, true), (fixture.keeper, true), (unconfirmed, false), (burning, false)]
    {
        assert_eq!(held(account).await? > U256::ZERO, is_paid, "{account}");
    }
    for (intent, receipt) in round.intents.iter().zip(&receipts) {
        assert!(receipt.gas_used <= intent.gas_limit * 9 / 10, "{} of {}", receipt.gas_used, intent.gas_limit);
    }

    // It stays left out without a further simulation that fails.
    fixture.wait(3_600).await?;
    let later = fixture.look().await?;
    let verdict =
        later.verdicts.iter().find(|verdict| verdict.target.account == unconfirmed && verdict.target.stream == stream);
    let decision = &verdict.wrap_err("no verdict")?.decision;
    assert!(matches!(decision, Decision::Skip(SkipReason::TransferFailed { .. })), "{decision:?}");
    Ok(())
}

/// Fixed values of the manifest's reward tokens.
fn sources(suite: &Suite) -> eyre::Result<BTreeMap<Address, Source>> {
    Ok(BTreeMap::from([
        (suite.token("PLIM")?, Source::fixed(U256::from(ETHER / 100), 18).wrap_err("no rate")?),
        (suite.token("USDC")?, Source::fixed(U256::from(ETHER / 2_000), 6).wrap_err("no rate")?),
    ]))
}
