//! Payment channels by manifest, and what `[nodes]` refuses.

use alloy::{primitives::U256, providers::ext::AnvilApi};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IJobs, INodes, IRewards, ITipJar};
use plimsoll_deploy::inspect::StepStatus;

use super::fixture::{Fixture, SMALL, design, refusals};

const CHANNELS: &str = r#"
[contracts.Channels]

[contracts.ERC3009Collector]
arguments = { channels_ = "Channels" }

[contracts.TipJar]
arguments = { channels_ = "Channels", operator_ = "owner", tipBps_ = 100 }
"#;

pub(super) const NODES: &str = r#"
[nodes]
token = "WETH"
sink = "owner"
min_bond = "10 WETH"
cooldown = "7 days"
min_fee = "0.01 WETH"
draw_delay = 8
commit = "1 hour"
reveal = "30 minutes"
challenge = "2 hours"
emission = [{ id = "emission", token = "WETH", amount = "5 WETH", epochs = 2 }]
"#;

#[tokio::test]
async fn channels_collector_and_tip_jar_are_deployed() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let manifest = format!("{SMALL}{CHANNELS}");
    let record = fixture.apply(&manifest).await?;
    let jar = ITipJar::new(record.address("contracts.TipJar").wrap_err("no tip jar")?, fixture.node.provider());
    assert_eq!(Some(jar.channels().call().await?), record.address("contracts.Channels"));
    assert_eq!(jar.operator().call().await?, fixture.node.account(0)?);
    let findings = fixture.verify(&manifest).await?;
    ensure!(findings.iter().all(|finding| finding.is_good()), "{findings:?}");
    Ok(())
}

#[test]
fn chains_without_randomness_are_refused_by_name() -> eyre::Result<()> {
    for chain in [42_161, 42_170, 421_614, 324, 300] {
        let manifest = format!("{SMALL}{NODES}").replace("chain_id = 31337", &format!("chain_id = {chain}"));
        let Err(error) = design(&manifest) else { eyre::bail!("chain {chain} was not refused") };
        let text = format!("{error:#}");
        ensure!(text.contains(&format!("chain {chain} has no randomness in its blocks")), "{text}");
    }
    Ok(())
}

/// Before the merge, blocks carried a difficulty where the randomness is now.
#[tokio::test]
async fn a_chain_whose_blocks_carry_no_randomness_is_found_by_asking_it() -> eyre::Result<()> {
    let fixture = Fixture::start(&["--hardfork", "london"]).await?;
    fixture.node.provider().anvil_mine(Some(1), None).await?;
    ensure!(!fixture.chain.has_randomness().await?);
    let sent = fixture.sent().await?;
    let Err(error) = fixture.apply(&format!("{SMALL}{NODES}")).await else { eyre::bail!("it was not refused") };
    let problems = refusals(&error);
    ensure!(problems.iter().any(|problem| problem.contains("carry no randomness")), "{problems:?}");
    assert_eq!(fixture.sent().await?, sent);
    let usual = Fixture::start(&[]).await?;
    ensure!(usual.chain.has_randomness().await?, "the first block says nothing");
    usual.node.provider().anvil_mine(Some(1), None).await?;
    ensure!(usual.chain.has_randomness().await?);
    Ok(())
}

#[tokio::test]
async fn jobs_bonds_and_emission_are_deployed() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let manifest = format!("{SMALL}{NODES}");
    let record = fixture.apply(&manifest).await?;
    let provider = fixture.node.provider();
    let jobs = record.address("nodes.jobs").wrap_err("no jobs")?;
    let registry = INodes::new(IJobs::new(jobs, &provider).nodes().call().await?, &provider);
    assert_eq!(registry.jobs().call().await?, jobs);
    assert_eq!(registry.minBond().call().await?, U256::from(10_000_000_000_000_000_000_u64));

    let emission = &record.programmes["nodes"];
    assert_eq!(registry.pool().call().await?, emission.id);
    assert_eq!(emission.stake_token, *registry.address());
    let rewards = IRewards::new(record.address("contracts.Rewards").wrap_err("no rewards")?, &provider);
    let stream = rewards.streamState(emission.id, record.tokens["WETH"].address).call().await?;
    assert_eq!(stream.funded, U256::from(5_000_000_000_000_000_000_u64));

    let findings = fixture.verify(&manifest).await?;
    ensure!(findings.iter().all(|finding| finding.is_good()), "{findings:?}");
    for (step, seen) in &fixture.plan(&manifest).await?.steps {
        ensure!(*seen == StepStatus::Done, "{}: {seen:?}", step.name);
    }
    Ok(())
}

#[tokio::test]
async fn nodes_that_cannot_work_are_refused() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let sent = fixture.sent().await?;
    let cases = [
        ("cooldown = \"7 days\"", "cooldown = \"4 days\"", "CooldownTooShort"),
        ("min_bond = \"10 WETH\"", "min_bond = \"10 USDC\"", "this amount is in WETH, not in USDC"),
        ("draw_delay = 8", "draw_delay = 0", "OutOfRange"),
        ("commit = \"1 hour\"", "commit = \"1 second\"", "OutOfRange"),
        ("id = \"emission\"", "id = \"first\"", "stands here twice"),
    ];
    for (good, bad, because) in cases {
        ensure!(NODES.contains(good), "{good}");
        let Err(error) = fixture.apply(&format!("{SMALL}{}", NODES.replace(good, bad))).await else {
            eyre::bail!("{bad} was not refused")
        };
        let problems = refusals(&error);
        ensure!(problems.iter().any(|problem| problem.contains(because)), "{because}: {problems:?}");
    }
    assert_eq!(fixture.sent().await?, sent);
    Ok(())
}
