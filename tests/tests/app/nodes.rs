//! Nodes by the buttons that a person presses: a node is registered, its bond is raised, lowered and withdrawn, and a job is
//! shown.

use alloy::{
    primitives::{Address, B256, Bytes, U256, address},
    providers::ext::AnvilApi,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IJobs, INodes};
use plimsoll_testkit::devnet::mined;
use serde_json::json;

use super::{
    fixture::Page,
    looks::{load_axe, looks_well},
};

/// The account of the wallet: Anvil's account 2.
const PERSON: Address = address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
const KIND: B256 = B256::repeat_byte(0x4b);
const WETH: u128 = 1_000_000_000_000_000_000;
const DAY_SECS: u64 = 86_400;
const NODES: &str = r#"
[nodes]
token = "WETH"
sink = "deployer"
min_bond = "1 WETH"
cooldown = "7 days"
min_fee = "0.001 WETH"
draw_delay = 4
commit = "1 hour"
reveal = "30 minutes"
challenge = "2 hours"
emission = []
"#;

async fn write(page: &mut Page, label: &str, text: &str) -> eyre::Result<()> {
    let find = format!(
        "[...document.querySelectorAll('label')].find((label) => label.innerText.trim() === {}).querySelector('input').select()",
        json!(label)
    );
    page.browser.evaluate(&find).await?;
    page.browser.command("Input.insertText", json!({ "text": text })).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_registered_bonded_and_left_and_a_job_is_shown() -> eyre::Result<()> {
    let Some(mut page) = Box::pin(Page::connected_with(NODES)).await? else { return Ok(()) };
    let jobs = page.suite.deployment.address("nodes.jobs").wrap_err("no jobs")?;
    let weth = page.suite.token("WETH")?;
    let registry = IJobs::new(jobs, page.suite.provider()).nodes().call().await?;
    page.go("nodes").await?;
    page.shows("No node is registered.").await?;
    write(&mut page, "Kind", &KIND.to_string()).await?;
    write(&mut page, "Signer", &PERSON.to_string()).await?;
    write(&mut page, "URL", "https://node.example").await?;
    page.execute("Register", "2").await?;
    page.shows("https://node.example").await?;
    let bonds = async |page: &Page| {
        let node = INodes::new(registry, page.suite.provider()).node(1).call().await?;
        eyre::Ok([node.active.assets, node.unbonding])
    };
    ensure!(bonds(&page).await? == [2 * WETH, 0]);
    page.execute("Bond", "1").await?;
    ensure!(bonds(&page).await? == [3 * WETH, 0]);
    page.execute("Unbond", "0.5").await?;
    let [active, unbonding] = bonds(&page).await?;
    ensure!(active + unbonding == 3 * WETH && unbonding.abs_diff(WETH / 2) <= 1, "{active} {unbonding}");

    page.suite.devnet.mint_and_approve(weth, PERSON, U256::from(10 * WETH), jobs).await?;
    page.suite.provider().anvil_increase_time(8 * DAY_SECS).await?;
    let board = IJobs::new(jobs, page.suite.provider());
    mined(board.post(KIND, Bytes::from_static(b"a question"), WETH, 1).from(PERSON)).await?;
    page.shows("1 seats, 1 WETH: waits for its draw").await?;
    load_axe(&mut page).await?;
    looks_well(&mut page, "nodes").await?;
    page.click("Withdraw").await?;
    page.shows("Done: Withdraw").await?;
    ensure!(bonds(&page).await?[1] == 0, "it was not withdrawn");
    Ok(())
}
