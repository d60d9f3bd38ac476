//! Refusals before anything is sent, each with an error that says what is wrong.

use alloy::{
    primitives::{Address, U256, aliases::I192},
    providers::{Provider, ext::AnvilApi},
};
use eyre::ensure;
use plimsoll_contracts::{ISettableFeed, deployment::Deployment};
use plimsoll_testkit::devnet::mined;

use super::fixture::{Fixture, SMALL, design, quoted, refusals};

/// The small manifest over the feed of an earlier deployment.
fn over_existing_feed(there: &Deployment) -> String {
    SMALL
        .replace("answer = \"2000\"", &format!("address = {}", quoted(there.feeds["eth-usd"])))
        .replace("\"ETH / USD\"", "\"ETH / USD (settable)\"")
        .replace("[network]", "[network]\nsalt = 1")
}

async fn assert_refused(fixture: &Fixture, manifest: &str, because: &str) -> eyre::Result<()> {
    let sent = fixture.sent().await?;
    let Err(error) = fixture.apply(manifest).await else { eyre::bail!("it was not refused, though {because}") };
    let problems = refusals(&error);
    ensure!(problems.iter().any(|problem| problem.contains(because)), "{because}: {problems:?}");
    assert_eq!(fixture.sent().await?, sent, "{because}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_sent_to_a_chain_that_differs_from_the_manifest() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let there = fixture.apply(SMALL).await?;
    let good = over_existing_feed(&there);
    let nothing = "0x00000000000000000000000000000000000000aA".to_lowercase();
    let with_token = |address: &str| good.replace("[tokens.USDC]", &format!("[tokens.USDC]\naddress = \"{address}\""));
    let weth = there.tokens["WETH"].address.to_string();
    let core = there.contracts["contracts.Plimsoll"].address.to_string();

    assert_refused(
        &fixture,
        &good.replace("chain_id = 31337", "chain_id = 1"),
        "is chain 31337, but the manifest is for chain 1",
    )
    .await?;
    assert_refused(&fixture, &with_token(&nothing), "there is no contract at this address").await?;
    assert_refused(&fixture, &with_token(&weth), "it has 18 decimals, but the manifest expects 6").await?;
    assert_refused(&fixture, &with_token(&core), "it does not say how many decimals").await?;
    let eighteen = good.replace("decimals = 8", "decimals = 18");
    assert_refused(&fixture, &eighteen, "it has 8 decimals, but the manifest expects 18").await?;
    let other = good.replace("(settable)", "(ratio)");
    assert_refused(&fixture, &other, "it describes itself as \"ETH / USD (settable)\"").await?;
    let dear = good.replace("[\"500\", \"20000\"]", "[\"5000\", \"20000\"]");
    assert_refused(&fixture, &dear, "it answers 2000, which is not between 5000 and 20000").await?;
    // An error that only a simulation finds: the oracle's own refusal.
    let range = good.replace("[\"1000\", \"5000\"]", "[\"3000\", \"5000\"]");
    assert_refused(&fixture, &range, "PriceOutsideExpectedRange").await?;
    let key = good.replace("{ anvil = 0 }", "{ anvil = 1 }");
    assert_refused(&fixture, &key, "the key is that of 0x70997970C51812dc3A010C7d01b50e0d17dc79C8").await?;

    let feed = ISettableFeed::new(there.feeds["eth-usd"], fixture.node.provider());
    mined(feed.setAnswer(I192::ZERO).from(fixture.node.account(0)?)).await?;
    assert_refused(&fixture, &good, "it answers 0, which is not between 500 and 20000").await?;
    let oracle = there.contracts["oracles.weth-usdc"].address;
    let existing = good.replace(
        "base = [{ feed = \"eth-usd\", borrow_max_age = \"1 day\", liquidation_max_age = \"unbounded\" }]",
        &format!("address = {}", quoted(oracle)),
    );
    assert_refused(&fixture, &existing, "it gives no price").await?;
    mined(feed.setAnswer(I192::try_from(200_000_000_000_i64)?).from(fixture.node.account(0)?)).await?;
    fixture.apply(&good).await?;
    Ok(())
}

#[tokio::test]
async fn all_problems_of_a_chain_are_reported_at_once() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let manifest = SMALL
        .replace("[tokens.USDC]", &format!("[tokens.USDC]\naddress = {}", quoted(Address::repeat_byte(0xaa))))
        .replace("[tokens.WETH]", &format!("[tokens.WETH]\naddress = {}", quoted(Address::repeat_byte(0xbb))))
        .replace("chain_id = 31337", "chain_id = 1");
    let Err(error) = fixture.apply(&manifest).await else { eyre::bail!("it was not refused") };
    let problems = refusals(&error).join("\n");
    for told in ["chain 1", "tokens.USDC", "tokens.WETH"] {
        ensure!(problems.contains(told), "{told} is not in:\n{problems}");
    }
    assert_eq!(fixture.sent().await?, 0);
    Ok(())
}

#[tokio::test]
async fn nothing_is_sent_when_the_deployer_cannot_pay_for_everything() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    fixture.node.provider().anvil_set_balance(fixture.node.account(0)?, U256::from(1_000_000_000_000_u64)).await?;
    assert_refused(&fixture, SMALL, "has 0.000001 ether, and this costs up to").await?;
    assert_eq!(fixture.node.provider().get_block_number().await?, 0);
    Ok(())
}

#[test]
fn all_mistakes_in_a_manifest_are_reported_at_once_by_line_and_column() -> eyre::Result<()> {
    let mistakes = [
        ("ltv = \"80%\"", "ltv = \"90%\"", "the borrow LTV of 9000 bps must be at most 99.5 %"),
        ("rate = \"4% at 90%\"", "rate = \"4% at 99.5%\"", "the target utilisation of 9950 bps"),
        ("steepness = 4\n", "steepness = 40\n", "the steepness of 400000"),
        ("min_debt = \"100 USDC\"", "min_debt = \"0.0000001 USDC\"", "more than the 6 decimals"),
        ("oracle = \"weth-usdc\"", "oracle = \"weth-usd\"", "did you mean \"weth-usdc\"?"),
        ("collateral = \"WETH\"\noracle", "collateral = \"WTEH\"\noracle", "did you mean \"WETH\"?"),
        ("fee = \"10%\"", "fee = \"26%\"", "at most 25%"),
        ("stake = \"WETH\"", "stake = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"", "name this token in [tokens]"),
        ("firstOwner = \"owner\"", "owner = \"owner\"", "Plimsoll needs the argument `firstOwner` (address)"),
        ("[contracts.Rewards]", "[contracts.Reward]", "there is no contract Reward"),
        ("id = \"second\"", "id = \"first\"", "stands here twice"),
        ("epochs = 4 }", "epochs = 27 }", "must be 1 to 26 weeks"),
        ("amount = \"1000 USDC\"", "amount = \"1000 WETH\"", "this amount is in USDC, not in WETH"),
        ("local = true", "local = false", "is made up for local chains only"),
        ("between = [\"1000\", \"5000\"]\n", "", "needs `between`"),
        ("answer = \"2000\"", "answer = \"20001\"", "the first answer lies outside `between`"),
        ("between = [\"1000\", \"5000\"]", "between = [\"400\", \"5000\"]", "at most ten times the lower"),
        ("borrow_max_age = \"1 day\"", "borrow_max_age = \"1\"", "is not a length of time"),
    ];
    for (right, wrong, told) in mistakes {
        ensure!(SMALL.contains(right), "{right}");
        let Err(error) = design(&SMALL.replacen(right, wrong, 1)) else { eyre::bail!("{wrong} was not refused") };
        let text = error.to_string();
        let line = text.lines().find(|line| line.contains(told));
        ensure!(line.is_some_and(|line| line.starts_with("test.toml:")), "{told} is not in:\n{text}");
    }

    let all = SMALL.replace("ltv = \"80%\"", "ltv = \"80\"").replace("speed = \"50 per year\"", "speed = \"fast\"");
    let text = design(&all.replace("stake = \"WETH\"", "stake = \"WEHT\"")).unwrap_err().to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
    Ok(())
}

#[test]
fn an_owner_that_would_not_own_the_core_is_refused() {
    let timelock = r#"timelock = { delay = "2 days", proposers = ["deployer"], executors = ["anyone"] }"#;
    let manifest = SMALL
        .replace("account = \"deployer\"", timelock)
        .replace("firstOwner = \"owner\"", "firstOwner = \"deployer\"");
    let text = design(&manifest).unwrap_err().to_string();
    assert!(text.contains("the core would belong to 0xf39F") && text.contains("firstOwner = \"owner\""), "{text}");
}

#[test]
fn unknown_keys_and_mistaken_values_are_reported_together() {
    let manifest = SMALL
        .replace("steepness = 4", "stepness = 4")
        .replace("speed = \"50 per year\"", "speed = 0.5")
        .replace("[network]", "[network]\ngas_price = 1")
        .replace("stake = \"WETH\"", "stake = \"WEHT\"");
    let text = design(&manifest).unwrap_err().to_string();
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        "unknown key `gas_price`: the keys here are name, chain_id",
        "unknown key `stepness`: did you mean `steepness`?",
        "0.5 is a floating-point number",
        "did you mean \"WETH\"?",
    ];
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, told) in lines.iter().zip(expected) {
        assert!(line.starts_with("test.toml:") && line.contains(told), "{told} is not in {line}");
    }
}

#[test]
fn a_surge_limit_that_no_market_can_have_is_refused_by_line() -> eyre::Result<()> {
    for (limit, told) in [
        (["10%", "1000 USDC", "31 days"], "the surge limit's period of 2678400 seconds"),
        (["101%", "1000 USDC", "1 day"], "101% is more than 100%"),
        (["10%", "0 USDC", "1 day"], "the surge limit's floor of 0 times the minimum debt"),
        (["10%", "150.5 USDC", "1 day"], "a surge limit's floor must be a multiple of the market's `min_debt`"),
    ] {
        let [share, floor, period] = limit;
        let limit = format!("surge_limit = {{ share = \"{share}\", floor = \"{floor}\", period = \"{period}\" }}");
        let problem = design(&SMALL.replace("steepness = 4\n", &format!("steepness = 4\n{limit}\n"))).unwrap_err();
        let problem = problem.to_string();
        ensure!(problem.starts_with("test.toml:") && problem.contains(told), "{told} is not in {problem}");
    }
    Ok(())
}

#[test]
fn a_minimum_debt_that_does_not_pay_for_its_liquidation_is_warned_of() -> eyre::Result<()> {
    let priced =
        |price: &str| SMALL.replace("local = true", &format!("local = true\nnative_prices = {{ USDC = \"{price}\" }}"));
    let warnings = design(&priced("2000"))?.warnings;
    let [warning] = warnings.as_slice() else { eyre::bail!("{warnings:?}") };
    ensure!(warning.contains("at 200 gwei: `min_debt` is 100 USDC, and should be 11000 USDC or more"), "{warning}");
    let enough = priced("2000").replace("min_debt = \"100 USDC\"", "min_debt = \"11000 USDC\"");
    assert!(design(&enough)?.warnings.is_empty());
    let calm = priced("2000").replace("[network]", "[network]\nbad_day_gas_price = \"1 gwei\"");
    assert!(design(&calm)?.warnings.is_empty());
    let unknown = design(&priced("2000").replace("{ USDC", "{ USDX")).unwrap_err().to_string();
    ensure!(unknown.contains("did you mean \"USDC\"?"), "{unknown}");
    Ok(())
}

#[test]
fn a_contract_that_needs_itself_is_refused() {
    let manifest = SMALL
        .replace("[contracts.Rewards]", "[contracts.Lens]\narguments = { plimsoll_ = \"Lens\" }\n[contracts.Rewards]");
    let text = design(&manifest).unwrap_err().to_string();
    assert!(text.contains("this needs itself: contracts.Lens needs contracts.Lens"), "{text}");
}
