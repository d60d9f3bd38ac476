//! Vaults by manifest: what is created, and what is refused before anything is sent.

use alloy::primitives::U256;
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IERC4626, IVault};
use plimsoll_deploy::{design::SHARES_FOR_GOOD, inspect::StepStatus, report::PlanReport};

use super::fixture::{Fixture, SMALL, design};

const VAULT: &str = r#"
[vaults.usdc]
asset = "USDC"
name = "Plimsoll USDC Vault"
symbol = "plvUSDC"
owner = "owner"
curator = "owner"
guardian = "owner"
allocators = ["deployer"]
fee = "10%"
fee_recipient = "owner"
max_rate = "30%"
penalty = "0.1%"
raise_delay = "3 days"
nudge = { by = "10%", every = "1 day" }
deposit_market = "weth-usdc"
first_deposit = "10 USDC"
markets = { weth-usdc = { amount = "1000000 USDC" } }
collateral_caps = { WETH = { amount = "500000 USDC", part = "50%" } }
"#;

#[tokio::test]
async fn a_vault_is_deployed_with_its_markets_caps_roles_and_first_deposit() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let manifest = format!("{SMALL}{VAULT}");
    let record = fixture.apply(&manifest).await?;
    let address = record.address("vaults.usdc").wrap_err("the record has no vault")?;
    let provider = fixture.node.provider();
    let vault = IVault::new(address, &provider);

    let market = record.markets["weth-usdc"].id;
    let holdings = vault.holdings().call().await?;
    assert_eq!(holdings.len(), 1);
    assert_eq!(holdings[0].id, market);
    let state = vault.state().call().await?;
    assert_eq!((state.depositMarket, state.feeBps), (market, U256::from(1_000)));
    assert_eq!(state.maxRatePerSecond, U256::from(300_000_000_000_000_000_u64 / 31_536_000));
    // The relative cap of the collateral is of nothing in an empty vault: the first deposit is idle.
    assert_eq!(state.idle, U256::from(10_000_000));
    let shares = IERC4626::new(address, &provider).balanceOf(SHARES_FOR_GOOD).call().await?;
    assert_eq!(shares, U256::from(10_000_000_000_000_u64));

    let weth = vault.collateralCapId(record.tokens["WETH"].address).call().await?;
    let cap = vault.cap(weth).call().await?;
    assert_eq!((cap.absolute, cap.relativeBps), (U256::from(500_000_000_000_u64), U256::from(5_000)));
    let cap = vault.cap(market).call().await?;
    assert_eq!((cap.absolute, cap.relativeBps), (U256::from(1_000_000_000_000_u64), U256::from(10_000)));
    let oracle = vault.oracleCapId(record.address("oracles.weth-usdc").wrap_err("no oracle")?).call().await?;
    assert_eq!(vault.cap(oracle).call().await?.absolute, U256::from(u128::MAX), "not named: no bound of its own");

    for (step, seen) in &fixture.plan(&manifest).await?.steps {
        ensure!(*seen == StepStatus::Done, "{}: {seen:?}", step.name);
    }
    for finding in fixture.verify(&manifest).await? {
        ensure!(finding.is_good(), "{finding:?}");
    }
    assert_eq!(fixture.apply(&manifest).await?, record);
    Ok(())
}

#[test]
fn a_plan_says_who_may_do_what_with_a_vault_after_which_delay() -> eyre::Result<()> {
    let report = PlanReport::offline(&design(&format!("{SMALL}{VAULT}"))?);
    let step = report.steps.iter().find(|step| step.name == "vaults.usdc").wrap_err("the plan has no vault")?;
    for words in [
        "for USDC",
        "collateral WETH 500000 USDC and 50% of the vault",
        "weth-usdc 1000000 USDC",
        "other roles wait 3 days",
        "by at most 10% every 1 day",
        "gains of at most 30% a year, 10% of them",
        "leaving in kind costs 0.1%",
    ] {
        ensure!(step.what.contains(words), "{words}: {}", step.what);
    }
    Ok(())
}

#[test]
fn a_vault_that_could_not_be_created_is_refused_with_the_reason() -> eyre::Result<()> {
    let weth_market = "[markets.usdc-weth]\nloan = \"WETH\"\ncollateral = \"USDC\"\noracle = \"usdc-weth\"\nltv = \"80%\"\n\
                       liquidation_ltv = \"86%\"\nmin_debt = \"1 WETH\"\nrate = \"4% at 90%\"\nsteepness = 4\n\
                       speed = \"50 per year\"\n[oracles.usdc-weth]\ncollateral = \"USDC\"\nloan = \"WETH\"\n\
                       ratio = \"0.0005\"\n";
    let cases = [
        ("markets = { weth-usdc", "markets = { weth-usdt", "there is no \"weth-usdt\" in [markets]"),
        ("deposit_market = \"weth-usdc\"", "deposit_market = \"other\"", "the vault's `markets`"),
        ("fee = \"10%\"\nfee_r", "fee = \"26%\"\nfee_r", "at most 25% of its gains"),
        ("fee_recipient = \"owner\"\nmax", "max", "a fee needs a `fee_recipient`"),
        ("max_rate = \"30%\"", "max_rate = \"201%\"", "at most 200% a year"),
        ("penalty = \"0.1%\"", "penalty = \"2%\"", "between 0.05% and 1%"),
        ("raise_delay = \"3 days\"", "raise_delay = \"40 days\"", "between 1 and 30 days"),
        ("by = \"10%\"", "by = \"11%\"", "more than 1.5 times"),
        ("collateral_caps = { WETH", "collateral_caps = { USDC", "no market of the vault has this collateral"),
        ("amount = \"500000 USDC\"", "amount = \"5 WETH\"", "this amount is in USDC, not in WETH"),
        ("first_deposit = \"10 USDC\"", "first_deposit = \"0 USDC\"", "makes no shares"),
    ];
    let good = format!("{SMALL}{VAULT}");
    design(&good)?;
    for (said, instead, because) in cases {
        ensure!(good.contains(said), "the manifest does not say {said}");
        let Err(error) = design(&good.replace(said, instead)) else { eyre::bail!("{instead} was not refused") };
        ensure!(error.to_string().contains(because), "{instead}: {error}");
    }
    let other =
        good.replace("markets = { weth-usdc", "markets = { usdc-weth").replace("deposit_market = \"weth-usdc\"\n", "");
    let Err(error) = design(&format!("{other}\n{weth_market}")) else {
        eyre::bail!("another loan token was not refused")
    };
    ensure!(error.to_string().contains("the market usdc-weth lends WETH, and the vault's asset is USDC"), "{error}");
    Ok(())
}
