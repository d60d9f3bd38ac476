//! Payment channels by manifest, and what `[nodes]` refuses.

use eyre::{ContextCompat, ensure};
use plimsoll_contracts::ITipJar;

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
    ensure!(!fixture.chain.has_randomness().await?);
    let sent = fixture.sent().await?;
    let Err(error) = fixture.apply(&format!("{SMALL}{NODES}")).await else { eyre::bail!("it was not refused") };
    let problems = refusals(&error);
    ensure!(problems.iter().any(|problem| problem.contains("carry no randomness")), "{problems:?}");
    assert_eq!(fixture.sent().await?, sent);
    let usual = Fixture::start(&[]).await?;
    ensure!(usual.chain.has_randomness().await?);
    Ok(())
}
