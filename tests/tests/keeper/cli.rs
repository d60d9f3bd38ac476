//! The keeper's command line, as a process of its own.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, U256, utils::parse_units},
    providers::{Provider, ext::AnvilApi},
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{ILens, deployment::Deployment};
use plimsoll_keeper::view::View;
use plimsoll_testkit::{
    borrowers::{Borrowers, NewLoan},
    deployment::Suite,
    keeper::{Keeper, KeeperSetup},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use super::{
    fixture::{Fixture, program, soon},
    page::Shown,
    sample,
};

const ETHER: u128 = 1_000_000_000_000_000_000;
const DOLLAR: u128 = 1_000_000;
/// How long a command that is to fail at once may take.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// The result of a command.
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    pub(super) fn json(&self) -> eyre::Result<Value> {
        serde_json::from_str(&self.out).map_err(|error| eyre::eyre!("{error}: {}{}", self.out, self.err))
    }
}

/// Runs the keeper with an empty environment, so that no variable of the test run changes its behaviour.
pub(super) fn keeper(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> eyre::Result<Said> {
    let output = Command::new(env!("CARGO_BIN_EXE_keeper_bin"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()?;
    let text = |bytes| String::from_utf8(bytes);
    Ok(Said { code: output.status.code(), out: text(output.stdout)?, err: text(output.stderr)? })
}

/// A suite with a configuration file.
struct Site {
    suite: Suite,
    folder: TempDir,
}

impl Site {
    async fn start() -> eyre::Result<Self> {
        Self::of(Suite::start().await?)
    }

    fn of(suite: Suite) -> eyre::Result<Self> {
        let site = Self { suite, folder: tempfile::tempdir()? };
        site.write("")?;
        Ok(site)
    }

    /// Writes keeper.toml with further settings.
    fn write(&self, further: &str) -> eyre::Result<()> {
        let node = &self.suite.devnet.node;
        let text = format!(
            "[deployment]\nrecord = {:?}\n[http]\nlisten = \"127.0.0.1:0\"\n[[endpoints]]\nurl = \"{}\"\n\
             [[endpoints]]\nurl = \"{}\"\n{further}\n",
            self.suite.record(),
            node.http_url(),
            node.ws_url()
        );
        Ok(fs::write(self.folder.path().join("keeper.toml"), text)?)
    }

    async fn keeper(&self, arguments: &[&str], variables: &[(&str, &str)]) -> eyre::Result<Said> {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (folder, arguments): (PathBuf, _) = (self.folder.path().to_owned(), own(arguments));
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        tokio::task::spawn_blocking(move || {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            keeper(&folder, &arguments, &variables)
        })
        .await?
    }
}

/// Returns the finding about a subject, with its remedy.
fn finding<'a>(report: &'a Value, name: &str, verdict: &str) -> Option<(&'a str, &'a str)> {
    let findings = report["findings"].as_array()?.iter();
    let found = findings.filter(|finding| finding["name"] == name).find(|finding| finding["verdict"] == verdict)?;
    Some((found["what"].as_str()?, found["remedy"].as_str().unwrap_or_default()))
}

#[test]
fn help_names_every_command() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let said = keeper(folder.path(), &["--help"], &[])?;
    assert_eq!(said.code, Some(0));
    let commands = said.out.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next());
    let names: Vec<_> =
        commands.wrap_err("no commands")?.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, COMMANDS);
    let with_config =
        COMMANDS.iter().filter(|name| !["snapshot", "fleet", "watch", "completions", "man", "help"].contains(*name));
    let alone = with_config.map(|name| vec![*name]);
    for command in alone.chain([vec!["snapshot", "export"], vec!["snapshot", "import"], vec!["fleet", "status"]]) {
        let said = keeper(folder.path(), &[&command[..], &["--help"]].concat(), &[])?;
        ensure!(said.code == Some(0) && said.out.contains("--config <FILE>"), "{command:?}: {}", said.out);
    }
    Ok(())
}

const COMMANDS: &[&str] = &[
    "run",
    "check",
    "positions",
    "report",
    "pause",
    "resume",
    "sweep",
    "cancel",
    "breaker",
    "snapshot",
    "fleet",
    "watch",
    "config",
    "completions",
    "man",
    "help",
];

#[test]
fn wrong_arguments_and_wrong_settings_have_different_exit_codes() -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    assert_eq!(keeper(folder.path(), &["chek"], &[])?.code, Some(2));
    let said = keeper(folder.path(), &["config", "--config", "nowhere.toml"], &[])?;
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    ensure!(said.err.contains("nowhere.toml") && said.err.contains("keeper.example.toml"), "{}", said.err);

    fs::write(folder.path().join("keeper.toml"), "[htp]\n[deployment]\nchain_id = 1.5\n")?;
    let said = keeper(folder.path(), &["check"], &[])?;
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    ensure!(said.err.lines().any(|line| line.starts_with("keeper.toml:3:12: ")), "{}", said.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_reports_what_is_right_and_what_is_wrong_with_the_remedy() -> eyre::Result<()> {
    let site = Site::start().await?;
    let units = |whole: u64, decimals: u64| U256::from(whole) * U256::from(10).pow(U256::from(decimals));
    for (market, collateral, loan) in [
        ("weth-usdc", units(1_000, 18), units(2_000_000, 6)),
        ("wbtc-usdc", units(1_000, 8), units(60_000_000, 6)),
        ("wsteth-weth", units(1_000, 18), units(1_180, 18)),
    ] {
        site.suite.add_liquidity(market, collateral, loan).await?;
    }
    let said = site.keeper(&["check"], &[]).await?;
    ensure!(said.code == Some(0), "{}{}", said.out, said.err);
    // Collateral worth 1 ETH sells for 2,000 USDC at the oracle's price, less 0.3 % and the price impact.
    let sells = said.out.lines().any(|line| line.contains(" for 1,99") && line.contains("the oracle says 2,000"));
    ensure!(sells, "{}", said.out);
    ensure!(said.out.contains("The keeper can run, with "), "{}", said.out);

    // Nothing listens there, and the path is a secret.
    const KEY: &str = "deadbeefdeadbeef";
    let dead = format!("http://127.0.0.1:1/v3/{KEY}");
    site.write(
        "[[endpoints]]\nurl_env = \"DEAD_NODE\"\nname = \"dead\"\n[signers]\nliquidations = { environment = \"NO_KEY\" }\n\
         harvests = { anvil = 9 }\n[safety]\nmin_balance = \"20000\"\n",
    )?;
    let mut record = Deployment::read(site.suite.record())?.wrap_err("no record")?;
    let contract = record.contracts.get_mut("contracts.Liquidator").wrap_err("no liquidator")?;
    contract.code_hash.0[0] ^= 1;
    record.write(site.suite.record())?;
    let said = site.keeper(&["check", "--json"], &[("DEAD_NODE", &dead)]).await?;
    assert_eq!(said.code, Some(1));
    ensure!(!format!("{}{}", said.out, said.err).contains(KEY), "{}{}", said.out, said.err);
    let report = said.json()?;
    assert_eq!(report["good"], false);
    for (name, what, remedy) in [
        ("dead", "http://127.0.0.1:1/… does not answer", "is the node running"),
        ("contracts.Liquidator", "is another than the record says", "name the record of this chain's deployment"),
        ("liquidations", "the environment variable NO_KEY is not set", "see `liquidations` in [signers]"),
        ("harvests", "10000 ETH, nonce 0, which is less than 20000", "lower `min_balance` in [safety]"),
    ] {
        let found = finding(&report, name, "wrong");
        ensure!(found.is_some_and(|found| found.0.contains(what) && found.1.contains(remedy)), "{name}: {found:?}");
    }
    ensure!(finding(&report, "weth-usdc", "right").is_some_and(|found| found.0 == "sells by WETH 0.3% USDC"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_asks_a_remote_signer_whether_it_has_the_account() -> eyre::Result<()> {
    const DEAD: &str = "http://127.0.0.1:1";
    let site = Site::start().await?;
    let (url, known) = (site.suite.devnet.node.http_url(), site.suite.devnet.account(8)?);
    let found = async |address: Address, url: &str, verdict: &str| -> eyre::Result<String> {
        site.write(&format!(
            "[signers]\nliquidations = {{ remote = {{ url_env = \"S\", address = \"{address}\" }} }}\n"
        ))?;
        let report = site.keeper(&["check", "--json"], &[("S", url)]).await?.json()?;
        let (what, remedy) = finding(&report, "liquidations", verdict).wrap_err_with(|| format!("{report:#}"))?;
        Ok(format!("{what}: {remedy}"))
    };
    let text = found(known, &url, "right").await?;
    ensure!(text.contains(&format!("signs for {known}")), "{text}");
    let text = found(Address::repeat_byte(5), &url, "wrong").await?;
    ensure!(text.contains("and not for 0x0505") && text.contains("correct `liquidations` in [signers]"), "{text}");
    let text = found(known, DEAD, "wrong").await?;
    ensure!(text.contains(DEAD) && text.contains("start the signer, or correct S"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_an_empty_pool_and_what_inventory_lacks() -> eyre::Result<()> {
    let site = Site::start().await?;
    site.write("[liquidate.markets.weth-usdc]\nfrom_inventory = true\n")?;
    let report = site.keeper(&["check", "--json"], &[]).await?.json()?;
    let findings = report["findings"].as_array().wrap_err("no findings")?;
    let says = |area: &str, what: &str| {
        let is_that = |finding: &Value| {
            let text = finding["what"].as_str().unwrap_or_default();
            finding["area"] == area && finding["verdict"] == "wrong" && text.contains(what)
        };
        findings.iter().any(is_that)
    };
    ensure!(says("swaps", "the pool WETH 0.3% USDC") && says("swaps", "has no liquidity"), "{report:#}");
    ensure!(says("inventory", "holds no USDC"), "{report:#}");

    let (usdc, core, signer) =
        (site.suite.token("USDC")?, site.suite.contract("Plimsoll")?, site.suite.devnet.account(8)?);
    site.suite.devnet.mint_and_approve(usdc, signer, U256::from(50 * DOLLAR), core).await?;
    let report = site.keeper(&["check", "--json"], &[]).await?.json()?;
    let found = report["findings"].as_array().wrap_err("no findings")?.iter().find(|one| one["area"] == "inventory");
    ensure!(found.is_some_and(|one| one["what"] == "50 USDC that the core may pull"), "{report:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_a_liquidator_that_can_pay_a_builder_from_an_older_one() -> eyre::Result<()> {
    let site = Site::start().await?;
    site.write("[[endpoints]]\nurl = \"http://127.0.0.1:1\"\nrole = \"bundle\"\n")?;
    let report = site.keeper(&["check", "--json"], &[]).await?.json()?;
    ensure!(finding(&report, "builder", "right").is_some(), "{report:#}");
    // Its profit is in dollars, and can be in ether.
    let (what, remedy) = finding(&report, "weth-usdc", "note").wrap_err("nothing is said of bids")?;
    ensure!(what.contains("profit is in USDC") && remedy.contains("profit_in_wrapped_coin = true"), "{what}: {remedy}");
    ensure!(finding(&report, "wsteth-weth", "note").is_none(), "{report:#}");
    let (_, remedy) = finding(&report, "wbtc-usdc", "note").wrap_err("nothing is said of bids")?;
    ensure!(remedy.contains("neither of the market's tokens"), "{remedy}");
    site.write(
        "[liquidate]\nprofit_in_wrapped_coin = true\n[[endpoints]]\nurl = \"http://127.0.0.1:1\"\nrole = \"bundle\"\n",
    )?;
    let report = site.keeper(&["check", "--json"], &[]).await?.json()?;
    ensure!(finding(&report, "weth-usdc", "note").is_none(), "{report:#}");

    // The lens has no such function either.
    let (lens, provider) = (site.suite.contract("Lens")?, site.suite.devnet.provider());
    provider.anvil_set_code(site.suite.contract("Liquidator")?, provider.get_code_at(lens).await?).await?;
    let report = site.keeper(&["check", "--json"], &[]).await?.json()?;
    let (_, remedy) = finding(&report, "builder", "wrong").wrap_err("nothing is said of builders")?;
    ensure!(remedy.contains("deploy the Liquidator"), "{remedy}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_market_is_left_alone_until_it_is_resumed() -> eyre::Result<()> {
    let fixture = Fixture::new(&[1]).await?;
    let setup = KeeperSetup::live(&fixture.suite);
    let running = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    running.wait_until_ready().await?;
    let folder = tempfile::tempdir()?;
    let text = format!(
        "[deployment]\nrecord = {:?}\n[store]\nfolder = {:?}\n",
        fixture.suite.record(),
        setup.store(&fixture.suite)
    );
    fs::write(folder.path().join("keeper.toml"), text)?;
    let command = |arguments: &'static [&'static str]| {
        let folder = folder.path().to_owned();
        tokio::task::spawn_blocking(move || keeper(&folder, arguments, &[]))
    };

    let said = command(&["pause", "weth-usdc", "--json"]).await??;
    assert_eq!(said.json()?["paused"], serde_json::json!(["weth-usdc"]), "{}", said.err);
    fixture.drop_price_below(0).await?;
    let is_held = |positions: &Value| positions["positions"][0]["decision"]["text"] == "paused by the operator";
    soon(running.wait_until("positions", is_held)).await?;
    ensure!(fixture.mined_transactions(running.signer()).await?.is_empty(), "something was sent");
    let unknown = command(&["pause", "weth"]).await??;
    ensure!(unknown.code == Some(1) && unknown.err.contains("there is no market weth"), "{}", unknown.err);

    let said = command(&["resume"]).await??;
    ensure!(said.code == Some(0) && said.out.contains("nothing is paused"), "{}{}", said.out, said.err);
    fixture.wait_until_liquidated(1, &[&running]).await?;
    running.shut_down().await?;
    let said = command(&["breaker", "close"]).await??;
    ensure!(said.code == Some(1) && said.err.contains("no keeper runs with the store"), "{}", said.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_detects_a_node_of_another_chain() -> eyre::Result<()> {
    let site = Site::start().await?;
    let other = Suite::start_with(&["--timestamp", "1700000000"]).await?;
    let text = fs::read_to_string(site.folder.path().join("keeper.toml"))?;
    let text = text.replace(&site.suite.devnet.node.http_url(), &other.devnet.node.http_url());
    fs::write(site.folder.path().join("keeper.toml"), text)?;
    let report = site.keeper(&["check", "--json"], &[]).await?.json()?;
    let found = finding(&report, &other.devnet.node.http_url(), "wrong");
    ensure!(found.is_some_and(|found| found.1.contains("another chain of the same id")), "{report:#}");
    Ok(())
}

/// It would follow nothing, and look healthy.
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_of_an_address_or_a_chain_without_the_deployment_ends_before_it_writes_anything() -> eyre::Result<()> {
    let site = Site::start().await?;
    let (url, core) = (site.suite.devnet.node.http_url(), site.suite.contract("Plimsoll")?);
    let (token, nobody) = (site.suite.token("USDC")?, Address::repeat_byte(0xab));
    let genesis = B256::repeat_byte(1);
    for (deployment, value, remedy) in [
        (format!("chain_id = 31337\ncore = \"{token}\""), token.to_string(), "correct `core` in [deployment]"),
        (format!("chain_id = 31337\ncore = \"{nobody}\""), nobody.to_string(), "correct `core` in [deployment]"),
        (
            format!("chain_id = 1\ncore = \"{core}\""),
            "its chain id is 31337, not 1".to_owned(),
            "Name a node of chain 1",
        ),
        (
            format!("chain_id = 31337\ngenesis = \"{genesis}\"\ncore = \"{core}\""),
            genesis.to_string(),
            "Name a node of chain 31337",
        ),
    ] {
        let text =
            format!("[deployment]\n{deployment}\n[http]\nlisten = \"127.0.0.1:0\"\n[[endpoints]]\nurl = \"{url}\"\n");
        fs::write(site.folder.path().join("keeper.toml"), text)?;
        for command in ["run", "positions"] {
            let said = timeout(WAIT_TIMEOUT, site.keeper(&[command], &[])).await??;
            ensure!(said.code == Some(1), "{}{}", said.out, said.err);
            let error = said.err.lines().find(|line| line.starts_with("error: ")).wrap_err("no error")?;
            ensure!(error.contains(&value) && error.contains(remedy), "{command}: {error}");
        }
        ensure!(!site.folder.path().join("keeper-data").exists(), "a store was created");
    }

    site.write("")?;
    let text = fs::read_to_string(site.folder.path().join("keeper.toml"))?;
    let record = format!("record = {:?}", site.suite.record());
    let one_by_one = format!("chain_id = 31337\ncore = \"{token}\"\nrewards = \"{token}\"\nguard = \"{token}\"");
    fs::write(site.folder.path().join("keeper.toml"), text.replace(&record, &one_by_one))?;
    let report = site.keeper(&["check", "--json"], &[]).await?.json()?;
    for name in ["core", "rewards", "the guard"] {
        let (what, remedy) = finding(&report, name, "wrong").wrap_err_with(|| format!("{name}: {report:#}"))?;
        ensure!(what.contains(&token.to_string()) && remedy.contains("`record`"), "{what} {remedy}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_or_cannot_be_created_is_named_with_the_remedy() -> eyre::Result<()> {
    let site = Site::start().await?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let text = fs::read_to_string(site.folder.path().join("keeper.toml"))?;
    let listen = taken.local_addr()?.to_string();
    fs::write(site.folder.path().join("keeper.toml"), text.replace("127.0.0.1:0", &listen))?;
    let said = timeout(WAIT_TIMEOUT, site.keeper(&["run"], &[])).await??;
    ensure!(said.code == Some(1) && said.err.contains(&listen), "{}", said.err);
    ensure!(said.err.contains("which may be another keeper, or set another address"), "{}", said.err);
    ensure!(!site.folder.path().join("keeper-data").exists(), "a store was created");

    // A file is where the folder should be.
    site.write("[store]\nfolder = \"keeper.toml\"\n")?;
    let said = timeout(WAIT_TIMEOUT, site.keeper(&["run"], &[])).await??;
    ensure!(said.code == Some(1), "{}{}", said.out, said.err);
    ensure!(
        said.err.contains("keeper.toml cannot be created") && said.err.contains("another `folder` in [store]"),
        "{}",
        said.err
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_equal_the_lens_and_are_sorted_by_health() -> eyre::Result<()> {
    let site = Site::start().await?;
    let (suite, market) = (&site.suite, site.suite.market("weth-usdc")?);
    suite.supply(&market, U256::from(1_000_000 * DOLLAR)).await?;
    let debts = [1_600, 900, 1_500, 300];
    let openings: Vec<_> = debts.iter().map(|debt| NewLoan { collateral: ETHER, debt: debt * DOLLAR }).collect();
    let core = suite.contract("Plimsoll")?;
    Borrowers::deploy(&suite.devnet, core, 16_000_000).await?.open(&market, &openings).await?;

    let all = site.keeper(&["positions", "--json"], &[]).await?.json()?;
    let rows = all["positions"].as_array().wrap_err("no positions")?;
    assert_eq!(rows.len(), debts.len(), "{all:#}");
    let accounts: Vec<_> =
        rows.iter().map(|row| row["account"].as_str().unwrap_or_default().parse()).collect::<Result<_, _>>()?;
    let lens = ILens::new(suite.contract("Lens")?, suite.devnet.provider());
    let block = all["block"].as_u64().wrap_err("no block")?;
    let told = lens.positions(market.id().0, accounts).block(block.into()).call().await?;
    let mut before = U256::ZERO;
    for (row, line) in rows.iter().zip(&told.lines) {
        let number = |text: &Value, decimals: u8| -> eyre::Result<U256> {
            Ok(parse_units(text.as_str().unwrap_or_default(), decimals)?.into())
        };
        assert_eq!(number(&row["health"], 18)?, line.health);
        assert_eq!(number(&row["debt"]["amount"], 6)?, line.debt);
        assert_eq!(number(&row["collateral"]["amount"], 18)?, line.collateral);
        assert_eq!(number(&row["waterline"], 24)?, line.waterlinePrice);
        ensure!(line.health >= before, "not in order");
        before = line.health;
    }

    let some = site.keeper(&["positions", "--market", "weth-usdc", "--below", "1.2", "--json"], &[]).await?.json()?;
    assert_eq!(some["positions"].as_array().map(Vec::len), Some(2), "{some:#}");
    let none = site.keeper(&["positions", "--market", "wbtc-usdc"], &[]).await?;
    ensure!(none.code == Some(0) && none.out.contains("no positions"), "{}", none.out);
    let text = site.keeper(&["positions", "--below", "1.1"], &[]).await?;
    ensure!(text.out.contains("1.0750") && text.out.contains("1,860") && text.out.lines().count() == 3, "{}", text.out);
    let wrong = site.keeper(&["positions", "--market", "weth-usd"], &[]).await?;
    ensure!(wrong.code == Some(1) && wrong.err.contains("the record has"), "{}", wrong.err);
    Ok(())
}

/// The URL of a keeper for `plimsoll-keeper positions`.
const LISTEN: &str = "PLIMSOLL_KEEPER__HTTP__LISTEN";

#[tokio::test(flavor = "multi_thread")]
async fn positions_show_the_running_keepers_decision_and_its_reason() -> eyre::Result<()> {
    let mut fixture = Fixture::new(&[]).await?;
    for (collateral, debt) in [(100 * ETHER, 150_000), (ETHER / 100 * 21, 315), (ETHER, 500)] {
        fixture.open_loans(NewLoan { collateral, debt: debt * DOLLAR }, 1).await?;
    }
    // At this gas price the large loan is profitable and the small one is not.
    let further = "[fees]\nmin_priority_fee = \"500 gwei\"\nmax_gas_price = \"1000 gwei\"\n\
                   [safety]\nmax_cost_per_transaction = \"1000\"\n"
        .to_owned();
    let setup = KeeperSetup { live: false, further, ..KeeperSetup::live(&fixture.suite) };
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    fixture.drop_price_below(0).await?;
    let head = fixture.head().await?;
    soon(keeper.wait_for_block(head)).await?;
    let page = keeper.api("positions").await?;
    let site = Site::of(fixture.suite)?;
    let there = keeper.url().trim_start_matches("http://").to_owned();
    let told = site.keeper(&["positions", "--json"], &[(LISTEN, &there)]).await?;
    let found = told.json()?;
    assert_eq!(found["keeper"]["url"], keeper.url(), "{}", told.err);
    assert_eq!((&found["keeper"]["block"], &found["keeper"]["live"]), (&head.into(), &false.into()));
    let rows = found["positions"].as_array().wrap_err("no positions")?;
    let mut reasons: Vec<_> = rows.iter().map(|row| row["decision"]["reason"].as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, [None, Some("dry_run"), Some("gain_below_gas")], "{found:#}");
    let table = site.keeper(&["positions"], &[(LISTEN, &there)]).await?;
    for (row, shown) in rows.iter().zip(page["positions"].as_array().wrap_err("nothing is shown")?) {
        assert_eq!((&row["account"], &row["decision"]), (&shown["account"], &shown["decision"]));
        let why = row["decision"]["text"].as_str().wrap_err("no words")?;
        let account = row["account"].as_str().wrap_err("no account")?.to_lowercase();
        let line = table.out.lines().find(|line| line.to_lowercase().contains(&account)).wrap_err("no line")?;
        ensure!(why.contains("it would bring") && line.ends_with(why), "{}", table.out);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_ignores_a_keeper_of_another_deployment() -> eyre::Result<()> {
    let site = Site::start().await?;
    let (deployment, core) = (&site.suite.deployment, site.suite.contract("Plimsoll")?);
    let shown = Shown::start(sample::view()).await?;
    let there = shown.server.address.to_string();
    let node = site.suite.devnet.node.http_url();
    let asked = async |listen: &str| -> eyre::Result<(Value, String)> {
        let said = site.keeper(&["positions", "--json"], &[(LISTEN, listen)]).await?;
        ensure!(said.code == Some(0), "{}", said.err);
        let lines: Vec<_> = said.err.lines().filter(|line| line.contains("no keeper was asked")).collect();
        ensure!(
            lines.len() <= 1 && lines.iter().all(|line| line.contains("start `plimsoll-keeper run`")),
            "{}",
            said.err
        );
        Ok((said.json()?["keeper"].clone(), lines.concat()))
    };
    let ours = |view: &mut View| {
        let keeper = &mut view.keeper;
        (keeper.chain_id, keeper.genesis, keeper.core) = (deployment.chain_id, deployment.genesis, Some(core));
    };
    for (listen, why) in [
        (there.as_str(), "has another chain: 1, and here it is 31337"),
        (node.trim_start_matches("http://"), "is not a keeper of this version"),
        ("127.0.0.1:1", "nothing responds at http://127.0.0.1:1"),
        ("127.0.0.1:0", "leaves the port to the system"),
        ("off", "is off"),
    ] {
        let (keeper, said) = asked(listen).await?;
        ensure!(keeper.is_null() && said.contains(why), "{listen}: {said}");
    }
    for (other, why) in [
        ((|view| view.keeper.core = sample::view().keeper.core) as fn(&mut View), "has another core"),
        (|view| view.keeper.genesis = sample::view().keeper.genesis, "has another first block"),
        (|view| view.head = None, "has not read the chain yet"),
    ] {
        shown.change(|view| {
            ours(view);
            other(view);
        });
        let (keeper, said) = asked(&there).await?;
        ensure!(keeper.is_null() && said.contains(why), "{said}");
    }
    shown.change(|view| {
        *view = sample::view();
        ours(view);
    });
    let (keeper, said) = asked(&there).await?;
    ensure!(keeper["live"] == true && said.is_empty(), "{keeper} {said}");
    Ok(())
}
