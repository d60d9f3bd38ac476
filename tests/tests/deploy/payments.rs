//! A payment into a staking programme is made once, whatever happens to the record and on the chain, and nothing is sent
//! that the confirmed plan did not list.

use std::fs;

use alloy::{
    primitives::{Address, U256},
    providers::{Provider, ext::AnvilApi},
    sol,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IPlimsoll, IRewards, deployment::Deployment};
use plimsoll_deploy::{
    apply::{Applier, Progress},
    inspect::StepStatus,
    journal::Journal,
    manifest::Manifest,
    plan::{Inputs, Plan},
};
use plimsoll_testkit::{contracts::artifacts, devnet::mined};

use super::fixture::{FUNDED, Fixture, SMALL, design, seen, without_payments};

sol! {
    #[sol(rpc)]
    interface IMintable {
        function mint(address to, uint256 amount) external;
        function approve(address spender, uint256 amount) external returns (bool);
    }
}

/// The lens, which the small manifest does not have.
const LENS: &str = "\n[contracts.Lens]\narguments = { plimsoll_ = \"Plimsoll\" }\n";

#[tokio::test]
async fn a_payment_is_not_repeated_after_the_record_is_lost_and_the_manifest_has_grown() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    fixture.apply(SMALL).await?;
    fs::remove_file(fixture.record_path())?;
    let grown = format!("{SMALL}{LENS}");
    let plan = fixture.plan(&grown).await?;
    ensure!(matches!(seen(&plan, "rewards.weth.funding.first"), StepStatus::Paid(_)), "{plan:?}");
    assert_eq!(plan.transactions, 1);
    let sent = fixture.sent().await?;
    let record = fixture.apply(&grown).await?;
    assert_eq!(fixture.sent().await?, sent + 1);
    assert_eq!(fixture.funded(&record).await?, U256::from(FUNDED));
    Ok(())
}

#[tokio::test]
async fn a_pending_payment_that_the_record_does_not_know_is_waited_for_and_not_repeated() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let record = fixture.apply(&without_payments()?).await?;
    let (provider, deployer) = (fixture.node.provider(), fixture.node.account(0)?);
    let rewards = record.address("contracts.Rewards").wrap_err("no rewards")?;
    let usdc = record.tokens["USDC"].address;
    let token = IMintable::new(usdc, provider);
    let amount = U256::from(FUNDED / 2);
    mined(token.mint(deployer, U256::from(10 * FUNDED)).from(deployer)).await?;
    // With an exact allowance the second payment would fail; wallets like to give more.
    mined(token.approve(rewards, U256::MAX).from(deployer)).await?;

    provider.anvil_set_auto_mine(false).await?;
    let epoch = fixture.chain.head().await?.timestamp / (7 * 24 * 60 * 60) + 1;
    let rewards = IRewards::new(rewards, provider);
    let by_hand = rewards.fund(record.programmes["weth"].id, usdc, amount, U256::from(epoch), U256::from(4));
    let pending = by_hand.from(deployer).gas(400_000).send().await?;
    let once = SMALL.replace("    { id = \"second\", token = \"USDC\", amount = \"1000 USDC\", epochs = 4 },\n", "");

    let (waits, waiting) = tokio::sync::oneshot::channel();
    let waits = std::sync::Mutex::new(Some(waits));
    let on_progress = move |progress: Progress<'_>| {
        if matches!(progress, Progress::WaitingForOthers { .. })
            && let Some(waits) = waits.lock().ok().and_then(|mut waits| waits.take())
        {
            let _ = waits.send(());
        }
    };
    let apply = fixture.apply_with(&once, &on_progress);
    let mine = async {
        waiting.await?;
        provider.anvil_set_auto_mine(true).await?;
        provider.evm_mine(None).await?;
        eyre::Ok(())
    };
    let (again, mined) = tokio::join!(apply, mine);
    mined?;
    let again = again?;
    assert_eq!(fixture.funded(&again).await?, amount);
    assert_eq!(again.fundings["first"].transaction, *pending.tx_hash());
    Ok(())
}

/// Prepares a plan, changes something, and executes the plan.
async fn execute_after<F: Future<Output = eyre::Result<()>>>(
    fixture: &Fixture,
    manifest: &str,
    change: impl FnOnce(Plan) -> (Plan, F),
) -> eyre::Result<String> {
    let manifest = Manifest::parse("test.toml".as_ref(), manifest.to_owned())?;
    let design = plimsoll_deploy::design::Design::new(&manifest, artifacts()?)?;
    let inputs = Inputs { design: &design, artifacts: artifacts()?, chain: &fixture.chain, may_replace: false };
    let signer = manifest.tables.deployer.key.open(fixture.chain.local()).await?;
    let journal = Journal::open(&fixture.record_path(), &fixture.chain, &design).await?;
    let on_progress = |_: Progress<'_>| {};
    let mut applier = Applier::new(inputs, signer, journal, &on_progress)?;
    let (plan, change) = change(applier.prepare().await?);
    change.await?;
    Ok(applier.execute(&plan).await.err().map(|error| error.to_string()).unwrap_or_default())
}

#[tokio::test]
async fn what_the_confirmed_plan_did_not_list_is_not_sent() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    fixture.apply(&without_payments()?).await?;
    let sent = fixture.sent().await?;
    // As if the payments had been made when the plan was shown.
    let error = execute_after(&fixture, SMALL, |mut plan| {
        plan.steps.retain(|(step, _)| !step.name.contains("funding"));
        (plan, async { Ok(()) })
    })
    .await?;
    ensure!(
        error.contains("rewards.weth.funding.first") && error.contains("the confirmed plan did not list it"),
        "{error}"
    );
    assert_eq!(fixture.sent().await?, sent);
    Ok(())
}

#[tokio::test]
async fn a_plan_never_costs_more_than_was_confirmed() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let (provider, deployer) = (fixture.node.provider(), fixture.node.account(0)?);
    // Gas is a hundred times as dear by the time of sending.
    let error = execute_after(&fixture, SMALL, |plan| {
        let price = plan.budget.price * 100;
        (plan, async move {
            provider.anvil_set_next_block_base_fee_per_gas(price).await?;
            provider.evm_mine(None).await?;
            Ok(())
        })
    })
    .await?;
    ensure!(error.contains("gwei by now, and the confirmed plan allows"), "{error}");
    assert_eq!(fixture.sent().await?, 0);

    // The gas of the plan is used up.
    let error = execute_after(&fixture, SMALL, |mut plan| {
        plan.budget.gas /= 2;
        (plan, async { Ok(()) })
    })
    .await?;
    ensure!(error.contains("of the confirmed plan") && error.contains("gas and 0 ether are left"), "{error}");

    // What remains is confirmed again, and its cost is a bound.
    let before = fixture.node.provider().get_balance(deployer).await?;
    let plan = fixture.plan(SMALL).await?;
    fixture.apply(SMALL).await?;
    let spent = before - fixture.node.provider().get_balance(deployer).await?;
    ensure!(spent <= plan.budget.total(), "{spent} wei of {}", plan.budget.total());
    Ok(())
}

/// Reads what an owner may set on a market.
async fn settings(fixture: &Fixture, record: &Deployment) -> eyre::Result<(U256, Address, Address)> {
    let id = record.markets["weth-usdc"].id;
    let core = IPlimsoll::new(record.address("contracts.Plimsoll").wrap_err("no core")?, fixture.node.provider());
    let fee = core.market(id).call().await?.feeBps;
    Ok((fee, core.feeRecipient(id).call().await?, core.backstop(id).call().await?))
}

#[tokio::test]
async fn what_the_owner_took_back_is_reported_and_not_set_again() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let root = crate::support::tools()?;
    let manifest = fs::read_to_string(root.workspace().root().join("examples/local.toml"))?;
    let record = fixture.apply(&manifest).await?;
    let deployer = fixture.node.account(0)?;
    let core = IPlimsoll::new(record.address("contracts.Plimsoll").wrap_err("no core")?, fixture.node.provider());
    let market = &record.markets["weth-usdc"];
    // The emergency brake for a false oracle, and the income with it.
    mined(core.setBackstop(market.id, Address::ZERO).from(deployer)).await?;
    mined(core.setFee(market.params(), U256::ZERO).from(deployer)).await?;
    mined(core.setFeeRecipient(market.id, Address::ZERO).from(deployer)).await?;
    let (sent, nothing) = (fixture.sent().await?, (U256::ZERO, Address::ZERO, Address::ZERO));

    for is_record_lost in [false, true] {
        if is_record_lost {
            fs::remove_file(fixture.record_path())?;
        }
        let plan = fixture.plan(&manifest).await?;
        for setting in ["fee", "fee_recipient", "backstop"] {
            let status = seen(&plan, &format!("markets.weth-usdc.{setting}"));
            let StepStatus::Differs { found, .. } = status else { eyre::bail!("{setting}: {status:?}") };
            assert_eq!(found, "nothing, after it was set and reset to 0");
        }
        assert_eq!(*seen(&plan, "markets.wbtc-usdc.backstop"), StepStatus::Done);
        assert!(!plan.is_done());
        fixture.apply(&manifest).await?;
        assert_eq!(settings(&fixture, &record).await?, nothing);
        assert_eq!(fixture.sent().await?, sent);
    }
    Ok(())
}

#[tokio::test]
async fn a_backstop_has_shares_for_good_before_it_gets_income() -> eyre::Result<()> {
    let root = crate::support::tools()?;
    let manifest = fs::read_to_string(root.workspace().root().join("examples/local.toml"))?;
    let error = design(&manifest.replace("first_deposit = \"10 USDC\"\n", "")).unwrap_err().to_string();
    ensure!(error.contains("a backstop with a `splitter` needs a `first_deposit`"), "{error}");

    let steps = design(&manifest)?.steps;
    let at = |name: &str| steps.iter().position(|step| step.name == name).wrap_err_with(|| name.to_owned());
    ensure!(at("backstops.usdc.first_deposit")? < at("markets.weth-usdc.fee_recipient")?, "income comes first");
    let fixture = Fixture::start(&[]).await?;
    let record = fixture.apply(&manifest).await?;
    let backstop = record.address("backstops.usdc").wrap_err("no backstop")?;
    let core = IPlimsoll::new(record.address("contracts.Plimsoll").wrap_err("no core")?, fixture.node.provider());
    assert_eq!(core.cover(backstop, record.tokens["USDC"].address).call().await?, U256::from(10_000_000));
    Ok(())
}
