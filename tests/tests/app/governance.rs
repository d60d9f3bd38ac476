//! Governance by the buttons that a person presses: what waits is shown in words, opposed, executed and cancelled; votes are
//! delegated and cast; a proposal lives its whole life. Every verb meets every fault before it succeeds.

use alloy::{
    primitives::{Address, B256, Bytes, U256, address},
    providers::{Provider, ext::AnvilApi},
    sol,
    sol_types::{SolCall, SolValue},
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{
    IERC4626, IPlimsoll,
    deployment::DeployedContract,
    governance::{IAccessManager, IGovernor},
};
use plimsoll_testkit::{
    deployment::Suite,
    devnet::{ITestToken, mined},
    market::units,
};
use serde_json::json;

use super::{
    every_verb::Act::{self, Button, Form},
    fixture::{Page, deploy},
    looks::{load_axe, looks_well},
};
use crate::browser::Browser;

sol! {
    struct GovernorSetup {
        string name;
        address manager;
        address token;
        uint48 votingDelay;
        uint32 votingPeriod;
        uint48 lateQuorumExtension;
        uint256 proposalThreshold;
        uint256 quorumPercent;
        uint32 baseDelay;
        address guardian;
    }

    interface ITransfer {
        function transfer(address to, uint256 value) external returns (bool);
    }
}

/// The account of the wallet: Anvil's account 2. It has the role, and the votes.
const PERSON: Address = address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
const DAY_SECS: u64 = 86_400;
const ROUTE: &str = "governance";
/// The part of the page in which shares are locked.
const BRAKE: &str = "[id=\"brake-brakes.backstops.usdc\"]";

const GOVERNANCE: &str = r#"
[governance]
administrators = ["safe"]
administrators_delay = "14 days"
guardians = ["council"]
brakes = { "backstops.usdc" = "1" }

[governance.roles.money]
members = ["safe"]
delay = "13 days"
functions = ["Plimsoll.setFee", "Plimsoll.setFeeRecipient", "Plimsoll.setBackstop", "Plimsoll.transferOwnership",
    "Plimsoll.acceptOwnership", "Backstop.announceLimit", "Backstop.transferCuratorship", "Backstop.acceptCuratorship"]

[governance.roles.lowering]
members = ["council"]
functions = ["Backstop.cancelLimit"]
"#;

struct Governed {
    page: Page,
    manager: Address,
    governor: Address,
    votes: Address,
}

impl Governed {
    /// A deployment that is governed, with the page open; `None` where there is no browser.
    async fn open() -> eyre::Result<Option<Self>> {
        let Some(browser) = Browser::start().await? else { return Ok(None) };
        let accounts =
            format!("[accounts]\nsafe = \"{PERSON}\"\ncouncil = \"0x14dC79964da2C08b23698B3D3cc7Ca32193d9955\"");
        let change = |text: String| {
            text.replace("[owner]\naccount = \"deployer\"", "[owner]\naccount = \"manager\"")
                .replace("[accounts]", &accounts)
                + GOVERNANCE
        };
        let mut suite = Box::pin(deploy(change)).await?;
        let manager = suite.deployment.address("governance.manager").wrap_err("no manager")?;
        let supply = units(1_000_000, 18);
        let votes = ("Votes".to_owned(), "VOTE".to_owned(), PERSON, supply).abi_encode_params();
        let votes = add(&mut suite, "VotesToken", "contracts.Votes", votes).await?;
        let setup = GovernorSetup {
            name: "Governor".to_owned(),
            manager,
            token: votes,
            votingDelay: alloy::primitives::Uint::from(DAY_SECS),
            votingPeriod: u32::try_from(DAY_SECS)?,
            lateQuorumExtension: alloy::primitives::Uint::from(3_600),
            proposalThreshold: U256::ZERO,
            quorumPercent: U256::from(4),
            baseDelay: u32::try_from(DAY_SECS)?,
            guardian: Address::ZERO,
        };
        let governor = add(&mut suite, "PlimsollGovernor", "contracts.Governor", (setup,).abi_encode_params()).await?;
        let mut page = Page::open_at(suite, browser).await?;
        page.connect("Test wallet").await?;
        page.go(ROUTE).await?;
        page.shows("Nothing is scheduled.").await?;
        Ok(Some(Self { page, manager, governor, votes }))
    }

    async fn pass(&self, secs: u64) -> eyre::Result<()> {
        self.page.suite.provider().anvil_increase_time(secs).await?;
        self.page.suite.provider().evm_mine(None).await?;
        Ok(())
    }

    /// Sends a call from the person's account besides the browser. The node counts the nonces.
    async fn send(&self, to: Address, call: &impl SolCall) -> eyre::Result<()> {
        let provider = self.page.suite.provider();
        let request = json!({ "from": PERSON, "to": to, "data": Bytes::from(call.abi_encode()), "gas": "0x200000" });
        let hash: B256 = provider.raw_request("eth_sendTransaction".into(), (request,)).await?;
        // After a fault that holds blocks back the node does not mine by itself.
        if provider.get_transaction_receipt(hash).await?.is_none() {
            provider.evm_mine(None).await?;
        }
        let receipt = provider.get_transaction_receipt(hash).await?.wrap_err("it is not mined")?;
        ensure!(receipt.status(), "{receipt:?}");
        Ok(())
    }

    /// Schedules the call that makes an account the recipient of the reserve of `weth-usdc`.
    async fn schedule(&mut self, recipient: Address) -> eyre::Result<()> {
        let core = self.page.suite.contract("Plimsoll")?;
        let data = IPlimsoll::setFeeRecipientCall { id: self.page.market.id().0, recipient }.abi_encode();
        let call = IAccessManager::scheduleCall { target: core, data: data.into(), when: Default::default() };
        self.send(self.manager, &call).await?;
        self.page.shows(&format!("contracts.Plimsoll: setFeeRecipient(id: weth-usdc, recipient: {recipient})")).await
    }

    /// Proposes to send a vote to an account.
    async fn propose(&mut self, title: &str) -> eyre::Result<()> {
        let data = ITransfer::transferCall { to: Address::repeat_byte(0x44), value: U256::ONE }.abi_encode();
        let call = IGovernor::proposeCall {
            targets: vec![self.votes],
            values: vec![U256::ZERO],
            calldatas: vec![Bytes::from(data)],
            description: format!("{title}\nWith a reason."),
        };
        self.send(self.governor, &call).await?;
        self.page.shows(title).await?;
        self.page.shows("contracts.Votes: transfer(to: 0x4444444444444444444444444444444444444444, value: 1)").await
    }

    async fn acts(&mut self, act: Act) -> eyre::Result<()> {
        act.meets_every_fault(&mut self.page, ROUTE).await
    }
}

/// Deploys a contract and puts it on record.
async fn add(suite: &mut Suite, contract: &str, name: &str, arguments: Vec<u8>) -> eyre::Result<Address> {
    let address = suite.devnet.deploy(contract, arguments.clone()).await?;
    let deployed = DeployedContract {
        contract: contract.to_owned(),
        address,
        arguments: arguments.into(),
        salt: Default::default(),
        code_hash: Default::default(),
        created: None,
    };
    suite.deployment.contracts.insert(name.to_owned(), deployed);
    Ok(address)
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_opposed_executed_and_cancelled_and_their_verbs_meet_every_fault() -> eyre::Result<()> {
    let Some(mut governed) = Box::pin(Governed::open()).await? else { return Ok(()) };
    let backstop = governed.page.suite.deployment.address("backstops.usdc").wrap_err("no backstop")?;
    let usdc = governed.page.market.loanToken;
    governed.page.suite.devnet.mint_and_approve(usdc, PERSON, units(1_000, 6), backstop).await?;
    let provider = governed.page.suite.provider().clone();
    mined(IERC4626::new(backstop, &provider).deposit(units(1_000, 6), PERSON).from(PERSON)).await?;

    let (first, second, third) = (Address::repeat_byte(0x11), Address::repeat_byte(0x22), Address::repeat_byte(0x33));
    governed.schedule(first).await?;
    governed.acts(Form { part: BRAKE, verb: "Lock", amount: "100" }).await?;
    governed.page.shows("Opposed at brakes.backstops.usdc").await?;
    load_axe(&mut governed.page).await?;
    looks_well(&mut governed.page, ROUTE).await?;
    // A tenth of the shares is more than enough to cancel it the first time.
    governed.acts(Button("Oppose at brakes.backstops.usdc")).await?;
    governed.page.shows("Nothing is scheduled.").await?;

    governed.schedule(second).await?;
    governed.page.has_button("Execute", false).await?;
    governed.page.shows("It can be executed from").await?;
    governed.pass(13 * DAY_SECS).await?;
    governed.acts(Button("Execute")).await?;
    governed.page.shows("Nothing is scheduled.").await?;
    let core = IPlimsoll::new(governed.page.suite.contract("Plimsoll")?, &provider);
    let id = governed.page.market.id().0;
    ensure!(core.feeRecipient(id).call().await? == second);

    governed.schedule(third).await?;
    // It takes less gas than the wallet leaves to a transaction that is to fail.
    governed.page.click("Cancel").await?;
    governed.page.shows("Done: ").await?;
    governed.page.click("Close").await?;
    governed.page.shows("Nothing is scheduled.").await?;
    governed.pass(2 * DAY_SECS).await?;
    governed.acts(Form { part: BRAKE, verb: "Unlock", amount: "40" }).await?;
    // Who may do what, after which delay, unless who cancels it.
    governed.page.shows("contracts.Plimsoll setFeeRecipient").await?;
    governed.page.shows(&format!("money, {PERSON} after 13 days, unless ")).await?;
    governed.page.go("activity").await?;
    for said in ["Locked shares", "Opposed an operation", "Unlocked shares"] {
        governed.page.shows(said).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_voted_on_queued_executed_or_cancelled_and_every_verb_meets_every_fault() -> eyre::Result<()> {
    let Some(mut governed) = Box::pin(Governed::open()).await? else { return Ok(()) };
    let provider = governed.page.suite.provider().clone();
    let pays = ITransfer::transferCall { to: governed.governor, value: U256::from(10) };
    governed.send(governed.votes, &pays).await?;
    governed.acts(Button("Delegate")).await?;
    governed.page.shows("yourself").await?;

    governed.propose("Do not pay").await?;
    governed.acts(Button("Cancel")).await?;
    governed.page.shows("cancelled").await?;

    governed.propose("Pay a vote").await?;
    governed.page.shows("pending").await?;
    governed.pass(DAY_SECS + 1).await?;
    governed.page.shows("active").await?;
    load_axe(&mut governed.page).await?;
    looks_well(&mut governed.page, ROUTE).await?;
    governed.acts(Button("Vote for")).await?;
    governed.page.shows("You have voted.").await?;
    governed.page.has_button("Vote against", false).await?;
    governed.pass(DAY_SECS).await?;
    governed.page.shows("succeeded").await?;
    governed.acts(Button("Queue")).await?;
    governed.page.shows("queued").await?;
    governed.page.has_button("Execute", false).await?;
    governed.pass(DAY_SECS).await?;
    governed.acts(Button("Execute")).await?;
    governed.page.shows("executed").await?;
    let paid = ITestToken::new(governed.votes, &provider).balanceOf(Address::repeat_byte(0x44)).call().await?;
    ensure!(paid == U256::ONE, "{paid}");
    governed.page.go("activity").await?;
    governed.page.shows("Voted for a proposal").await?;
    Ok(())
}
