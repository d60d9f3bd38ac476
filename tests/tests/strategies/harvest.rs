//! Harvests on a real chain: tips arrive as expected, the table of gas is close, and own rewards are staked again.

use std::{collections::BTreeMap, sync::Arc};

use alloy::{
    primitives::{Address, B256, U256, aliases::U96},
    providers::ext::AnvilApi,
};
use eyre::ContextCompat;
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_contracts::IRewards;
use plimsoll_keeper::{
    chain::Sources,
    intent::Purpose,
    prices::{Node, Source, Valuer},
    strategies::{
        Decision, WhyNot,
        gas::{Costs, GasTable, room},
        harvest::{Harvest, Moment, OwnRewards, Patience, Round, Settings, StreamId},
    },
};
use plimsoll_lab::{
    rig::{ITestToken, mined},
    stage::Stage,
};

use super::world::{ETHER, book_of, head_of, send};

const TIP_BPS: u16 = 500;
const WEEK: u64 = 604_800;

struct World {
    stage: Stage,
    keeper: Address,
    rewards: Address,
    pool: B256,
    node: Node,
    valuer: Valuer,
    harvest: Harvest,
}

impl World {
    /// The manifest's programme, which pays the staked token and dollars, with an equal stake of each of these accounts
    /// of the node and of the keeper.
    async fn new(stakers: &[usize]) -> eyre::Result<Self> {
        let stage = Stage::start(&[]).await?;
        let keeper = stage.rig.node.account(3)?;
        let rewards = stage.contract("Rewards")?;
        let pool = stage.deployment.programmes.get("plim").wrap_err("no such programme")?.id;
        let (plim, usdc) = (stage.token("PLIM")?, stage.token("USDC")?);
        let contract = IRewards::new(rewards, stage.rig.provider());
        for index in stakers {
            let staker = stage.rig.node.account(*index)?;
            stage.rig.give(plim, staker, U256::from(100 * ETHER), rewards).await?;
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
        // To stake again what is claimed.
        mined(ITestToken::new(plim, stage.rig.provider()).approve(rewards, U256::MAX).from(keeper)).await?;
        let sources = BTreeMap::from([
            (plim, Source::fixed(U256::from(ETHER / 100), 18).wrap_err("no rate")?),
            (usdc, Source::fixed(U256::from(ETHER / 2_000), 6).wrap_err("no rate")?),
        ]);
        let endpoint: Arc<Endpoint> = Arc::new(stage.rig.node.http_url().parse()?);
        let settings = Settings {
            keeper,
            rewards,
            gas: GasTable::default(),
            patience: Patience { patience_secs: 86_400, longest_wait_secs: 7 * 86_400 },
            largest_batch: 100,
            look_every_secs: 60,
            own: OwnRewards::Compound,
            own_every_secs: 86_400,
            deadline_secs: 600,
        };
        let node = Node::new(endpoint.clone(), endpoint.client().await?);
        Ok(Self { keeper, rewards, pool, node, valuer: Valuer::new(sources), harvest: Harvest::new(settings), stage })
    }

    async fn wait(&self, seconds: u64) -> eyre::Result<()> {
        self.stage.rig.provider().anvil_increase_time(seconds).await?;
        self.stage.rig.provider().evm_mine(None).await?;
        Ok(())
    }

    async fn look(&mut self) -> eyre::Result<Round> {
        let header = head_of(self.stage.rig.provider()).await?;
        let sources = Sources { core: self.stage.contract("Plimsoll")?, rewards: Some(self.rewards) };
        let book = book_of(self.stage.rig.provider(), sources).await?;
        let costs = Costs { gas_price: 1_000_000_000, data_byte_price: 0, margin_bps: 1_000 };
        let moment = Moment { header: &header, costs, room: room(header.gas_limit, 1 << 24, 4_500) };
        let nothing = |_: StreamId, _| None::<WhyNot>;
        let round = self.harvest.round(&self.node, &mut self.valuer, &book, moment, &nothing).await;
        round.wrap_err("it is too early for another look")
    }
}

#[tokio::test]
async fn tips_arrive_and_own_rewards_are_staked_again() -> eyre::Result<()> {
    let mut world = World::new(&[3, 4, 5, 6, 7, 8]).await?;
    let (plim, usdc) = (world.stage.token("PLIM")?, world.stage.token("USDC")?);
    let provider = world.stage.rig.node.impersonating().await?;
    // Funding starts with the next week.
    world.wait(WEEK).await?;
    world.look().await?;
    world.wait(8 * 86_400).await?;
    let round = world.look().await?;
    assert!(round.verdicts.iter().all(|verdict| matches!(verdict.decision, Decision::Act { .. })), "{round:?}");
    // Five others' of both tokens, and both of the keeper's own.
    assert_eq!((round.intents.len(), round.verdicts.len()), (4, 12));
    let stake_before = IRewards::new(world.rewards, &provider).staked(world.pool, world.keeper).call().await?;
    let held = async |token| ITestToken::new(token, &provider).balanceOf(world.keeper).call().await;
    for intent in &round.intents {
        let token = match &intent.purpose {
            Purpose::Harvest { reward_token, .. } | Purpose::ClaimOwn { reward_token, .. } => *reward_token,
            other @ Purpose::Liquidate { .. } => panic!("{other:?}"),
        };
        let (before, worth) = (held(token).await?, if token == plim { 100 } else { 2_000 });
        let receipts = send(&provider, world.keeper, std::slice::from_ref(intent)).await?;
        let arrived = held(token).await? - before;
        let used = receipts[0].gas_used;
        assert!(used <= intent.gas_limit * 9 / 10, "{used} of {} for {:?}", intent.gas_limit, intent.purpose);
        // Each was tried a second later than the one before, which takes further accruals.
        let close = intent.expected_gas.abs_diff(used) < intent.expected_gas / 5;
        assert!(close, "{used} used, {} expected for {:?}", intent.expected_gas, intent.purpose);
        if matches!(intent.purpose, Purpose::ClaimOwn { .. }) && token == plim {
            assert!(arrived < U256::from(ETHER / 1_000), "{arrived} was not staked again");
        } else {
            // What was expected, and at most what some seconds more bring.
            let unit = if token == plim { ETHER } else { 1_000_000 };
            let gain = arrived * U256::from(ETHER) / U256::from(unit * worth);
            assert!(gain >= intent.expected_gain && gain - intent.expected_gain < gain / U256::from(1_000), "{gain}");
        }
    }
    let staked = IRewards::new(world.rewards, &provider).staked(world.pool, world.keeper).call().await?;
    assert!(staked > stake_before);
    // Nothing is left to harvest that would pay.
    world.wait(120).await?;
    assert_eq!(world.look().await?.intents, []);
    assert!(usdc != plim);
    Ok(())
}
