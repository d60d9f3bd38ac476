//! The gas of staking rewards compared with the `StakingRewards` pattern, which most projects use, and with Morpho's
//! distributor, which pays by Merkle proofs.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    rpc::types::TransactionReceipt,
    sol,
    sol_types::{SolEvent, SolValue},
};
use eyre::ensure;
use plimsoll_contracts::IRewards;
use plimsoll_deploy::toolchain::progress::say;

use super::{
    bench::Bench,
    report::{Harvest, RewardOp, RewardsReport, ratio},
};
use plimsoll_testkit::{devnet::ITestToken, market::units, morpho_blue};

const DISTRIBUTOR: &str = "universal-rewards-distributor/src/UniversalRewardsDistributor__factory.js";
/// Numbers of accounts in the measured harvests.
const HARVESTS: [u32; 3] = [1, 10, 50];
const EPOCH_SECS: u64 = 7 * 24 * 60 * 60;
/// Hashes in a proof of a distributor for a thousand accounts.
const PROOF_LENGTH: u8 = 10;
/// 1 %.
const TIP_BPS: u16 = 100;

sol! {
    interface IStakingRewards {
        function stake(uint256 amount) external;
        function withdraw(uint256 amount) external;
        function getReward() external;
        function notifyRewardAmount(uint256 reward) external;
    }

    interface IDistributor {
        function setRoot(bytes32 root, bytes32 ipfsHash) external;
        function claim(address account, address reward, uint256 claimable, bytes32[] memory proof) external returns (uint256);
    }
}

/// Measures staking, claiming, funding and harvesting.
pub(super) async fn measure(bench: &mut Bench<'_>) -> eyre::Result<RewardsReport> {
    say("setting up staking");
    let (stake_token, reward_token) = (bench.collateral_token, bench.loan_token);
    let ours = bench.deploy("Rewards", Vec::new()).await?;
    let theirs = bench.deploy("StakingRewards", (reward_token, stake_token).abi_encode_params()).await?;
    let spenders = [ours, theirs];
    let funder = bench.account("funder", &spenders).await?;
    let weekly = units(100_000, 6);

    let create =
        IRewards::createPoolCall { stakeToken: stake_token, rewardTokens: vec![reward_token], salt: B256::ZERO };
    let receipt = bench.send(funder, ours, create).await?;
    let pool = receipt.logs().iter().find_map(|log| IRewards::CreatePool::decode_log(&log.inner).ok());
    let pool = pool.map_or(B256::ZERO, |log| log.pool);
    let fund = |first_epoch: u64, epochs: u64| IRewards::fundCall {
        pool,
        rewardToken: reward_token,
        amount: weekly * U256::from(epochs),
        firstEpoch: U256::from(first_epoch),
        epochs: U256::from(epochs),
    };
    let next_epoch = bench.time() / EPOCH_SECS + 2;
    bench.send(funder, ours, fund(next_epoch, 20)).await?;
    bench.wait_until(next_epoch * EPOCH_SECS);
    bench.send(funder, reward_token, ITestToken::mintCall { to: theirs, amount: weekly }).await?;
    bench.send(funder, theirs, IStakingRewards::notifyRewardAmountCall { reward: weekly }).await?;

    let stake = |who: Address| IRewards::stakeCall { pool, amount: units(100, 18), onBehalf: who };
    let stake_there = IStakingRewards::stakeCall { amount: units(100, 18) };
    let claim = |who: Address| IRewards::claimCall { pool, rewardToken: reward_token, onBehalf: who, receiver: who };
    let stakers = HARVESTS.iter().sum::<u32>() + 1;
    say(format_args!("staking for {stakers} accounts"));
    let mut accounts = Vec::new();
    for index in 0..stakers {
        let account = bench.account(&format!("staker {index}"), &spenders).await?;
        bench.send(account, ours, stake(account)).await?;
        let consent =
            IRewards::HarvestConsent { enabled: true, compounds: false, tipBps: TIP_BPS, smallest: Default::default() };
        bench.send(account, ours, IRewards::setHarvestConsentCall { pool, rewardToken: reward_token, consent }).await?;
        accounts.push(account);
    }
    let newcomer = bench.account("new staker", &spenders).await?;

    let mut ops = Vec::new();
    let mut op = |name: &str, here: &TransactionReceipt, there: Option<&TransactionReceipt>, proof: Option<u64>| {
        let staking_rewards = there.map(|receipt| receipt.gas_used);
        ops.push(RewardOp { op: name.to_owned(), plimsoll: here.gas_used, staking_rewards, merkle_distributor: proof });
    };
    say("measuring rewards");
    for name in ["firstStake", "stake"] {
        let here = bench.send(newcomer, ours, stake(newcomer)).await?;
        let there = bench.send(newcomer, theirs, stake_there.clone()).await?;
        ensure!(accrued(&here), "{name} settled no rewards");
        op(name, &here, Some(&there), None);
    }
    let by_proof = claim_by_proof(bench, reward_token).await?;
    let here = bench.send(newcomer, ours, claim(newcomer)).await?;
    let there = bench.send(newcomer, theirs, IStakingRewards::getRewardCall {}).await?;
    ensure!(accrued(&here), "the claim settled no rewards");
    op("claim", &here, Some(&there), Some(by_proof));
    let amount = units(50, 18);
    let unstake = IRewards::unstakeCall { pool, amount, onBehalf: newcomer, receiver: newcomer };
    let here = bench.send(newcomer, ours, unstake).await?;
    let there = bench.send(newcomer, theirs, IStakingRewards::withdrawCall { amount }).await?;
    op("unstake", &here, Some(&there), None);
    let here = bench.send(funder, ours, fund(bench.time() / EPOCH_SECS + 2, 1)).await?;
    bench.send(funder, reward_token, ITestToken::mintCall { to: theirs, amount: weekly }).await?;
    let there = bench.send(funder, theirs, IStakingRewards::notifyRewardAmountCall { reward: weekly }).await?;
    op("fund", &here, Some(&there), None);

    // The harvester holds the reward token; one harvest comes before the measured ones.
    let harvester = bench.account("harvester", &spenders).await?;
    let mut rest = accounts.as_slice();
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at(count.min(rest.len()));
        rest = left;
        taken.to_vec()
    };
    let harvest = |accounts| IRewards::harvestCall { pool, rewardToken: reward_token, accounts };
    bench.send(harvester, ours, harvest(take(1))).await?;
    let mut harvests = BTreeMap::new();
    let mut single = 0;
    for count in HARVESTS {
        let receipt = bench.send(harvester, ours, harvest(take(count.try_into()?))).await?;
        let paid = receipt.logs().iter().filter(|log| log.topic0() == Some(&IRewards::Harvest::SIGNATURE_HASH)).count();
        ensure!(u32::try_from(paid)? == count, "{paid} of {count} accounts were harvested");
        let total = receipt.gas_used;
        if count == 1 {
            single = total;
        }
        let marginal = if count == 1 { 0.0 } else { ratio(total - single, u64::from(count - 1)) };
        harvests.insert(count, Harvest { total, marginal });
    }
    Ok(RewardsReport { ops, harvest: harvests })
}

/// Returns the gas of a claim at Morpho's distributor: the account's second one, as ours is.
async fn claim_by_proof(bench: &mut Bench<'_>, reward: Address) -> eyre::Result<u64> {
    let account = bench.account("claimer by proof", &[]).await?;
    let mut last = 0;
    // The distributor stores the amount claimed; a new root raises the claimable total, as a new distribution does.
    let owner = bench.devnet.deployer();
    let code = morpho_blue::creation_code(DISTRIBUTOR)?;
    let distributor = bench.deploy_code(&code, (owner, U256::ZERO, B256::ZERO, B256::ZERO).abi_encode_params()).await?;
    bench.send(owner, reward, ITestToken::mintCall { to: distributor, amount: units(1_000, 6) }).await?;
    for total in [units(100, 6), units(200, 6)] {
        let leaf = keccak256(keccak256((account, reward, total).abi_encode_params()));
        let proof: Vec<B256> = (0..PROOF_LENGTH).map(|level| keccak256([level])).collect();
        let root = proof.iter().fold(leaf, |node, sibling| {
            let (low, high) = if node < *sibling { (node, *sibling) } else { (*sibling, node) };
            keccak256([low.0, high.0].concat())
        });
        bench.send(owner, distributor, IDistributor::setRootCall { root, ipfsHash: B256::ZERO }).await?;
        let claim = IDistributor::claimCall { account, reward, claimable: total, proof };
        last = bench.send(account, distributor, claim).await?.gas_used;
    }
    Ok(last)
}

fn accrued(receipt: &TransactionReceipt) -> bool {
    receipt.logs().iter().any(|log| log.topic0() == Some(&IRewards::Accrue::SIGNATURE_HASH))
}
