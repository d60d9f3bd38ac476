//! `apply`: what it deploys, that it is idempotent, and how it treats changes by others.

use std::{collections::BTreeMap, fs};

use alloy::{
    consensus::Transaction,
    primitives::{Address, B256, U256, keccak256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    sol,
};
use eyre::{ContextCompat, bail, ensure};
use plimsoll_contracts::{IExecutor, IPlimsoll, deployment::Deployment};
use plimsoll_deploy::{
    connection::Chain,
    inspect::{Action, StepStatus},
    journal::{Journal, record_of},
    seed::seed_pools,
    verify::Code,
};
use plimsoll_testkit::{contracts::artifacts, devnet::mined};

use super::fixture::{FUNDED, Fixture, SMALL, design, seen};
use crate::support;

sol! {
    /// The administrator's calls of OpenZeppelin's access control.
    #[sol(rpc)]
    interface IRoles {
        function grantRole(bytes32 role, address account) external;
        function revokeRole(bytes32 role, address account) external;
    }
}

fn example(name: &str) -> eyre::Result<String> {
    Ok(fs::read_to_string(support::tools()?.workspace().root().join("examples").join(name))?)
}

#[tokio::test]
async fn the_example_manifest_is_deployed_completely_and_a_second_apply_changes_nothing() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let manifest = example("local.toml")?;
    let record = fixture.apply(&manifest).await?;
    let (sent, bytes) = (fixture.sent().await?, fs::read(fixture.record_path())?);

    let plan = fixture.plan(&manifest).await?;
    for (step, seen) in &plan.steps {
        // A backstop's limits wait for their notice period; everything else is done at once.
        let waits = step.name.starts_with("backstops.usdc.covers.") && matches!(seen, StepStatus::Waiting { .. });
        ensure!(waits || *seen == StepStatus::Done, "{}: {seen:?}", step.name);
    }
    for finding in fixture.verify(&manifest).await? {
        ensure!(finding.is_good(), "{finding:?}");
        let is_ours = finding.contract != "UniswapV3Factory";
        ensure!((finding.code == Code::Same) == is_ours, "{finding:?}");
    }

    assert_eq!(fixture.apply(&manifest).await?, record);
    assert_eq!(fixture.sent().await?, sent);
    assert_eq!(fs::read(fixture.record_path())?, bytes);
    Ok(())
}

#[tokio::test]
async fn a_backstop_limit_is_raised_by_the_first_apply_after_its_notice_period() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let manifest = example("local.toml")?;
    let record = fixture.apply(&manifest).await?;
    fixture.node.provider().anvil_increase_time(14 * 24 * 60 * 60).await?;
    fixture.node.provider().evm_mine(None).await?;
    fixture.apply(&manifest).await?;
    let core = record.address("contracts.Plimsoll").wrap_err("no core")?;
    let backstop = record.address("backstops.usdc").wrap_err("no backstop")?;
    let core = IPlimsoll::new(core, fixture.node.provider());
    let limit = core.coverLimit(backstop, record.markets["weth-usdc"].id).call().await?;
    assert_eq!(limit, U256::from(100_000_000_000_u64));
    Ok(())
}

#[tokio::test]
async fn the_executor_of_the_example_finds_the_pools_of_the_example() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let record = fixture.apply(&example("local.toml")?).await?;
    let executor = record.address("contracts.Executor").wrap_err("no executor")?;
    let executor = IExecutor::new(executor, fixture.node.provider());
    let target = executor.targetAt(U256::ZERO).call().await?;
    assert_eq!(Some(target.account), record.address("contracts.Plimsoll"));
    assert_eq!(executor.wrappedCoin().call().await?, record.tokens["WETH"].address);
    for pool in record.pools.values() {
        let fee = pool.fee.try_into()?;
        let computed = executor.poolOf(U256::ZERO, pool.token0, pool.token1, fee).call().await?;
        assert_eq!(computed, pool.address);
    }
    Ok(())
}

#[test]
fn the_testnet_example_is_planned_without_a_chain() -> eyre::Result<()> {
    let design = design(&example("sepolia.toml")?)?;
    let contracts: Vec<&str> = design.creations().map(|(_, creation)| creation.contract.as_str()).collect();
    for contract in ["TimelockController", "Plimsoll", "ChainlinkOracle", "Backstop", "FeeSplitter", "Lens", "Rewards"]
    {
        ensure!(contracts.contains(&contract), "{contract} is not planned: {contracts:?}");
    }
    Ok(())
}

#[tokio::test]
async fn addresses_are_the_same_on_another_chain_and_differ_only_with_what_they_depend_on() -> eyre::Result<()> {
    let elsewhere = SMALL.replace("chain_id = 31337", "chain_id = 4242");
    let (here, there) = (Fixture::start(&[]).await?, Fixture::start(&["--chain-id", "4242"]).await?);
    let addresses = |record: &Deployment| -> BTreeMap<String, Address> {
        record.contracts.iter().map(|(name, contract)| (name.clone(), contract.address)).collect()
    };
    let record = here.apply(SMALL).await?;
    assert_eq!(addresses(&record), addresses(&there.apply(&elsewhere).await?));

    let other_owner =
        SMALL.replace("account = \"deployer\"", "account = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"");
    let other = design(&other_owner)?;
    for (name, creation) in other.creations() {
        let is_same = creation.address == record.contracts[name].address;
        let depends_on_owner =
            creation.depends_on.iter().any(|fact| fact.contains("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"));
        ensure!(is_same != depends_on_owner, "{name} depends on {:?}", creation.depends_on);
    }
    Ok(())
}

#[tokio::test]
async fn settings_that_somebody_else_changed_are_reported_and_left() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let record = fixture.apply(SMALL).await?;
    let (deployer, other) = (fixture.node.account(0)?, fixture.node.account(1)?);
    let core = IPlimsoll::new(record.address("contracts.Plimsoll").wrap_err("no core")?, fixture.node.provider());
    let market = &record.markets["weth-usdc"];
    mined(core.setFee(market.params(), U256::from(500)).from(deployer)).await?;
    mined(core.transferOwnership(other).from(deployer)).await?;
    mined(core.acceptOwnership().from(other)).await?;
    let sent = fixture.sent().await?;

    let plan = fixture.plan(SMALL).await?;
    assert!(!plan.is_done());
    let StepStatus::Differs { found, wanted } = seen(&plan, "markets.weth-usdc.fee") else { panic!("{plan:?}") };
    assert_eq!((found.as_str(), wanted.as_str()), ("a fee of 5%", "a fee of 10%"));
    let [drift] = plan.drift.as_slice() else { panic!("{:?}", plan.drift) };
    assert!(drift.contains("contracts.Plimsoll: owner is") && drift.contains(&other.to_string()), "{drift}");
    let findings = fixture.verify(SMALL).await?;
    let bad: Vec<&str> = findings.iter().filter(|finding| !finding.is_good()).map(|f| f.name.as_str()).collect();
    assert_eq!(bad, ["contracts.Plimsoll"]);

    fixture.apply(SMALL).await?;
    assert_eq!(fixture.sent().await?, sent);
    assert_eq!(core.market(market.id).call().await?.feeBps, U256::from(500));
    assert_eq!(core.owner().call().await?, other);
    Ok(())
}

#[tokio::test]
async fn owner_only_steps_become_timelock_calls_that_work() -> eyre::Result<()> {
    let timelock = r#"timelock = { delay = "2 days", proposers = ["deployer"], executors = ["anyone"] }"#;
    let manifest = SMALL.replace("account = \"deployer\"", timelock);
    let fixture = Fixture::start(&[]).await?;
    let record = fixture.apply(&manifest).await?;
    let owner = record.address("owner.timelock").wrap_err("no timelock")?;
    for finding in fixture.verify(&manifest).await? {
        ensure!(finding.is_good(), "{finding:?}");
    }

    let plan = fixture.plan(&manifest).await?;
    let StepStatus::ForOthers { who, call } = seen(&plan, "markets.weth-usdc.fee") else { panic!("{plan:?}") };
    assert_eq!(*who, owner);
    let provider = fixture.node.impersonating().await?;
    provider.anvil_set_balance(owner, U256::from(10).pow(U256::from(18))).await?;
    // An estimate in the second of the last accrual is too low for a later one.
    let request =
        TransactionRequest::default().from(owner).to(call.to).input(call.input.clone().into()).gas_limit(500_000);
    assert!(provider.send_transaction(request).await?.get_receipt().await?.status());
    assert_eq!(*seen(&fixture.plan(&manifest).await?, "markets.weth-usdc.fee"), StepStatus::Done);
    Ok(())
}

#[tokio::test]
async fn a_payment_is_not_repeated_after_the_record_is_lost() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let record = fixture.apply(SMALL).await?;
    let sent = fixture.sent().await?;
    fs::remove_file(fixture.record_path())?;
    let again = fixture.apply(SMALL).await?;
    assert_eq!(fixture.sent().await?, sent);
    assert_eq!(fixture.funded(&again).await?, U256::from(FUNDED));
    // Two payments with equal contents are each found once.
    let paid = |record: &Deployment| {
        let mut paid: Vec<_> = record.fundings.values().map(|sent| sent.transaction).collect();
        paid.sort();
        paid
    };
    assert_eq!(paid(&again), paid(&record));
    Ok(())
}

#[tokio::test]
async fn the_record_of_a_local_chain_that_no_longer_exists_is_replaced() -> eyre::Result<()> {
    let mut fixture = Fixture::start(&[]).await?;
    let before = fixture.apply(SMALL).await?;
    let next = Fixture::start(&[]).await?;
    fixture.chain = Chain::connect(next.node.http_url().parse()?).await?;
    let empty = record_of(&fixture.record_path(), &fixture.chain, &design(SMALL)?).await?;
    assert!(empty.fundings.is_empty() && empty.contracts.is_empty());
    let after = fixture.apply(SMALL).await?;
    assert_eq!(next.funded(&after).await?, U256::from(FUNDED));
    assert_eq!(before.contracts.len(), after.contracts.len());
    Ok(())
}

#[tokio::test]
async fn a_local_chain_without_the_deterministic_deployer_gets_it() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    fixture.node.provider().anvil_set_code(plimsoll_deploy::create2::FACTORY, Default::default()).await?;
    let plan = fixture.plan(SMALL).await?;
    assert_eq!(*seen(&plan, "factory"), StepStatus::ToDo(vec![Action::PlaceFactory]));
    assert!(plan.was_rehearsed && plan.problems.is_empty(), "{:?}", plan.problems);
    fixture.apply(SMALL).await?;
    assert!(fixture.plan(SMALL).await?.is_done());
    Ok(())
}

#[tokio::test]
async fn two_deployments_cannot_use_one_record_at_the_same_time() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let _first = Journal::open(&fixture.record_path(), &fixture.chain, &design(SMALL)?).await?;
    let error = fixture.apply(SMALL).await.unwrap_err().to_string();
    assert!(error.contains("somebody else is deploying with this record"), "{error}");
    assert_eq!(fixture.sent().await?, 0);
    Ok(())
}

#[tokio::test]
async fn up_deploys_everything_on_its_own_node_and_ends_when_told() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_deploy_bin"));
    command.args(["up", "--exit", "--json", "--port", "0", "--records"]).arg(folder.path());
    let output = command.output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Deployment = serde_json::from_slice(&output.stdout)?;
    assert_eq!(Deployment::read(&folder.path().join("31337.json"))?.as_ref(), Some(&printed));
    assert_eq!(printed.markets.len(), 3);
    assert_eq!(printed.fundings.len(), 2);
    Ok(())
}

/// The gas of a pool depends on whether the second has changed since its last transaction, which an estimate does not know.
#[tokio::test]
async fn liquidity_is_provided_with_gas_to_spare() -> eyre::Result<()> {
    const OBSERVATION_GAS: u64 = 50_000;
    let fixture = Fixture::start(&[]).await?;
    let manifest = example("local.toml")?;
    fixture.apply(&manifest).await?;
    let before = fixture.chain.head().await?.number;
    assert_eq!(seed_pools(&fixture.chain, &design(&manifest)?, artifacts()?).await?, 3);
    let provider = fixture.node.provider();
    // The market maker is created first; each transaction has a block of its own.
    for number in before + 2..=before + 4 {
        let receipts = provider.get_block_receipts(number.into()).await?.wrap_err("no block")?;
        let [receipt] = receipts.as_slice() else { bail!("{} transactions", receipts.len()) };
        let sent = provider.get_transaction_by_hash(receipt.transaction_hash).await?.wrap_err("no transaction")?;
        ensure!(sent.gas_limit() >= receipt.gas_used + OBSERVATION_GAS, "{} of {}", receipt.gas_used, sent.gas_limit());
    }
    Ok(())
}

#[tokio::test]
async fn whoever_has_a_role_in_the_timelock_besides_those_in_the_manifest_is_reported() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let (proposer, stranger) = (fixture.node.account(5)?, fixture.node.account(6)?);
    let timelock =
        format!("timelock = {{ delay = \"2 days\", proposers = [\"{proposer}\"], executors = [\"anyone\"] }}");
    let manifest = SMALL.replace("account = \"deployer\"", &timelock);
    let record = fixture.apply(&manifest).await?;
    let timelock = record.address("owner.timelock").wrap_err("no timelock")?;
    let differences = async || -> eyre::Result<Vec<String>> {
        let findings = fixture.verify(&manifest).await?;
        Ok(findings.into_iter().flat_map(|finding| finding.differences).collect())
    };
    assert_eq!(differences().await?, [""; 0]);

    let provider = fixture.node.impersonating().await?;
    provider.anvil_set_balance(timelock, U256::from(10).pow(U256::from(18))).await?;
    let roles = IRoles::new(timelock, &provider);
    let other = keccak256("OTHER_ROLE");
    let granted = [
        (B256::ZERO, "administrators".to_owned()),
        (keccak256("PROPOSER_ROLE"), "proposers".to_owned()),
        (keccak256("CANCELLER_ROLE"), "cancellers".to_owned()),
        (keccak256("EXECUTOR_ROLE"), "executors".to_owned()),
        (other, format!("holders of the role {other}")),
    ];
    for (role, name) in granted {
        mined(roles.grantRole(role, stranger).from(timelock)).await?;
        assert_eq!(differences().await?, [format!("{stranger} is among the {name}, which the manifest does not say")]);
        // Who had a role and lost it is no holder.
        mined(roles.revokeRole(role, stranger).from(timelock)).await?;
        assert_eq!(differences().await?, [""; 0]);
    }

    mined(roles.revokeRole(keccak256("PROPOSER_ROLE"), proposer).from(timelock)).await?;
    assert_eq!(differences().await?, [format!("{proposer} is not among the proposers, as the manifest says")]);
    Ok(())
}
