//! An `AccessManager` by manifest: the roles on the chain are those that the plan prints, every function that only the
//! manager may call has one, and set-ups that free or freeze too much are refused.

use std::{cell::Cell, collections::BTreeSet};

use alloy::{
    dyn_abi::{DynSolType, DynSolValue, JsonAbiExt, Specifier},
    json_abi::{Function, StateMutability},
    primitives::{Address, B256, Bytes, FixedBytes, U256, Uint},
    providers::{DynProvider, Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    sol,
    sol_types::SolCall,
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{IBackstop, IERC4626, IGuard, IPlimsoll, MarketParams, deployment::Deployment};
use plimsoll_deploy::{inspect::StepStatus, report::PlanReport, restricted::RESTRICTED};
use plimsoll_testkit::contracts::artifacts;

use super::fixture::{Fixture, SMALL, design, seen};

sol! {
    interface IMinted {
        function mint(address to, uint256 amount) external;
        function approve(address spender, uint256 amount) external returns (bool);
    }

    #[sol(rpc)]
    interface IManager {
        function canCall(address caller, address target, bytes4 selector) external view returns (bool immediate, uint32 delay);
        function hasRole(uint64 roleId, address account) external view returns (bool isMember, uint32 executionDelay);
        function getTargetFunctionRole(address target, bytes4 selector) external view returns (uint64);
        function getRoleGuardian(uint64 roleId) external view returns (uint64);
        function grantRole(uint64 roleId, address account, uint32 executionDelay) external;
        function schedule(address target, bytes calldata data, uint48 when) external returns (bytes32, uint32);
        function execute(address target, bytes calldata data) external payable returns (uint32);
    }
}

const GOVERNANCE: &str = r#"
[accounts]
safe = "0x0000000000000000000000000000000000005afe"
council = "0x00000000000000000000000000000000c0000011"

[governance]
administrators = ["safe"]
administrators_delay = "14 days"
guardians = ["council"]
brakes = { "vaults.usdc" = "1000", "backstops.usdc" = "500" }

[governance.roles.money]
members = ["safe"]
delay = "12 days"
functions = ["Plimsoll.setFee", "Plimsoll.setFeeRecipient", "Plimsoll.setBackstop", "Plimsoll.transferOwnership",
    "Plimsoll.acceptOwnership", "Backstop.announceLimit", "Backstop.transferCuratorship", "Backstop.acceptCuratorship",
    "Vault.submit", "Vault.nudgeCap", "Vault.transferOwnership", "Vault.acceptOwnership"]

[governance.roles.brakeman]
members = ["council"]
functions = ["Backstop.cancelLimit", "Vault.revoke", "Vault.setCap", "Vault.setFee", "Vault.setMaxRate",
    "Vault.setAllocator", "Vault.removeMarket", "Vault.deallocate", "Vault.setDepositMarket"]

[backstops.usdc]
asset = "USDC"
name = "Backstop"
symbol = "bUSDC"
curator = "manager"
cooldown = "7 days"
window = "2 days"
covers = { weth-usdc = "1000 USDC" }

[vaults.usdc]
asset = "USDC"
name = "Vault"
symbol = "vUSDC"
owner = "manager"
curator = "manager"
guardian = "manager"
allocators = ["council"]
max_rate = "30%"
penalty = "0.1%"
raise_delay = "3 days"
nudge = { by = "10%", every = "1 day" }
markets = { weth-usdc = { amount = "1000000 USDC" } }
"#;

pub(super) fn manifest() -> String {
    let core = SMALL.replace("account = \"deployer\"", "account = \"manager\"");
    format!("{core}{GOVERNANCE}")
}

#[tokio::test]
async fn d1_d8_the_chain_has_the_roles_and_delays_that_the_plan_prints_and_the_deployer_has_none() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let record = fixture.apply(&manifest()).await?;
    let provider = fixture.node.provider();
    let address = record.address("governance.manager").wrap_err("the record has no manager")?;
    let manager = IManager::new(address, &provider);
    let deployer = fixture.node.account(0)?;

    // What only the owner may do was done by the deployer, through the manager, before the roles were set up.
    let core = record.address("contracts.Plimsoll").wrap_err("no core")?;
    let market = record.markets["weth-usdc"].id;
    ensure!(IPlimsoll::new(core, &provider).owner().call().await? == address);
    ensure!(IPlimsoll::new(core, &provider).market(market).call().await?.feeBps == U256::from(1_000));

    let plan = fixture.plan(&manifest()).await?;
    for (step, status) in &plan.steps {
        let is_announced =
            step.name == "backstops.usdc.covers.weth-usdc" && matches!(status, StepStatus::Waiting { .. });
        ensure!(*status == StepStatus::Done || is_announced, "{}: {status:?}", step.name);
    }

    let powers = PlanReport::online(&design(&manifest())?, &plan).powers;
    ensure!(powers.len() == RESTRICTED.len() + 10, "{powers:?}");
    for power in &powers {
        let (target, selector) = (power.address, power.selector);
        for member in &power.members {
            let access = manager.canCall(*member, target, selector).call().await?;
            // The manager reserves its own functions for its administrators, and asks nobody else about them.
            if target != address {
                ensure!((access.immediate, access.delay) == (power.delay_secs == 0, power.delay_secs), "{power:?}");
            }
        }
        for stranger in [deployer, Address::repeat_byte(7)] {
            let access = manager.canCall(stranger, target, selector).call().await?;
            ensure!((access.immediate, access.delay) == (false, 0), "{stranger}: {power:?}");
        }
        let role = manager.getTargetFunctionRole(target, selector).call().await?;
        let guardian = manager.getRoleGuardian(role).call().await?;
        for canceller in &power.cancelled_by {
            ensure!(guardian != 0 && manager.hasRole(guardian, *canceller).call().await?.isMember, "{power:?}");
        }
        ensure!(power.cancelled_by.is_empty() == (power.delay_secs == 0), "{power:?}");
    }
    for role in 0..8 {
        ensure!(!manager.hasRole(role, deployer).call().await?.isMember, "the deployer has role {role}");
    }
    let text = PlanReport::online(&design(&manifest())?, &plan).text();
    ensure!(text.contains("contracts.Plimsoll setBackstop(bytes32,address): money"), "{text}");
    ensure!(text.contains("after 12 days, unless"), "{text}");
    ensure!(text.contains("vaults.usdc revoke(bytes32): brakeman (") && text.contains(") at once"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_member_that_was_added_since_is_told_and_left() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let record = fixture.apply(&manifest()).await?;
    let provider = fixture.node.provider();
    let address = record.address("governance.manager").wrap_err("the record has no manager")?;
    let manager = IManager::new(address, &provider);
    let safe: Address = "0x0000000000000000000000000000000000005afe".parse()?;
    provider.anvil_set_balance(safe, U256::from(1_000_000_000_000_000_000_u64)).await?;
    provider.anvil_impersonate_account(safe).await?;
    let grant = manager.grantRole(4, Address::repeat_byte(9), 0).calldata().clone();
    let send = async |input: Bytes| -> eyre::Result<()> {
        let request = TransactionRequest::default().from(safe).to(address).input(input.into());
        let hash = provider.anvil_send_impersonated_transaction(request).await?;
        provider.anvil_mine(Some(1), None).await?;
        let receipt = provider.get_transaction_receipt(hash).await?.wrap_err("not mined")?;
        ensure!(receipt.status(), "{receipt:?}");
        Ok(())
    };
    send(manager.schedule(address, grant.clone(), Uint::ZERO).calldata().clone()).await?;
    ensure!(*seen(&fixture.plan(&manifest()).await?, "governance.roles") == StepStatus::Done, "it only waits");
    provider.anvil_increase_time(14 * 24 * 60 * 60).await?;
    provider.anvil_mine(Some(1), None).await?;
    send(manager.execute(address, grant).calldata().clone()).await?;
    let plan = fixture.plan(&manifest()).await?;
    let status = seen(&plan, "governance.roles");
    let StepStatus::Differs { found, .. } = status else { eyre::bail!("{status:?}") };
    ensure!(found.contains("0x0909090909090909090909090909090909090909 in role 4"), "{found}");
    Ok(())
}

/// Calls every function of core, backstop and vault as the manager and as a stranger. Where their results differ, the
/// manager has a right; these functions are exactly those with a role, and none of them takes an account of which a
/// position, a share or an order would be taken.
#[tokio::test]
async fn d1_d9_the_manager_may_call_what_has_a_role_and_can_do_no_more_than_a_stranger_otherwise() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let record = fixture.apply(&manifest()).await?;
    let manager = record.address("governance.manager").wrap_err("the record has no manager")?;
    let market = record.markets["weth-usdc"].id;
    let core = record.address("contracts.Plimsoll").wrap_err("no core")?;
    let provider = fixture.node.provider();
    let params = IPlimsoll::new(core, &provider).marketParams(market).call().await?;
    let params = params_value(&params);
    let mut called = 0;
    let mut restricted = BTreeSet::new();
    let names = [("Plimsoll", "contracts.Plimsoll"), ("Backstop", "backstops.usdc"), ("Vault", "vaults.usdc")];
    for (contract, name) in names {
        let target = record.address(name).wrap_err("not in the record")?;
        for function in artifacts()?.get(contract)?.abi.functions() {
            if matches!(function.state_mutability, StateMutability::View | StateMutability::Pure) {
                continue;
            }
            called += 1;
            // Without a market, too: that is all that a curator may choose for deposits.
            for id in [market, B256::ZERO] {
                let filling =
                    Filling { market: id, params: &params, account: Address::repeat_byte(5), number: U256::ZERO };
                let input = filling.call_data(function)?;
                let mut outcomes = Vec::new();
                for caller in [manager, Address::repeat_byte(7)] {
                    let request = TransactionRequest::default().from(caller).to(target).input(input.clone().into());
                    outcomes.push(match provider.call(request).await {
                        Ok(_) => None,
                        Err(error) => {
                            error.as_error_resp().and_then(|it| it.as_revert_data()).map(|it| selector_of(&it))
                        }
                    });
                }
                if outcomes.first() != outcomes.last() {
                    restricted.insert(format!("{contract}.{}", function.name));
                }
            }
        }
    }
    ensure!(called > 60, "only {called} functions");
    // These are open to a pending owner alone, which the manager is not.
    let is_accepted = |function: &str| function.starts_with("accept");
    let expected: BTreeSet<String> = RESTRICTED
        .iter()
        .filter(|it| !is_accepted(it.function))
        .map(|it| format!("{}.{}", it.contract, it.function))
        .collect();
    ensure!(restricted == expected, "found {restricted:?}\nexpected {expected:?}");
    Ok(())
}

/// What an account has: positions, permissions, shares and an order. Nothing of it depends on the time.
async fn belongings(provider: &DynProvider, record: &Deployment, account: Address) -> eyre::Result<String> {
    let at = |name: &str| record.address(name).wrap_err_with(|| format!("no {name}"));
    let id = record.markets["weth-usdc"].id;
    let core = IPlimsoll::new(at("contracts.Plimsoll")?, provider);
    let position = core.position(id, account).call().await?;
    let expiry = core.authorizationExpiry(account, at("governance.manager")?).call().await?;
    let shares = IERC4626::new(at("vaults.usdc")?, provider).balanceOf(account).call().await?;
    let cover = IERC4626::new(at("backstops.usdc")?, provider).balanceOf(account).call().await?;
    let cooldown = IBackstop::new(at("backstops.usdc")?, provider).cooldown(account).call().await?;
    let order = IGuard::new(at("contracts.Guard")?, provider).order(account, id, IGuard::Kind::Protect).call().await?;
    let mut tokens = Vec::new();
    for token in record.tokens.values() {
        tokens.push(IERC4626::new(token.address, provider).balanceOf(account).call().await?);
    }
    Ok(format!("{position:?} {expiry} {shares} {cover} {cooldown:?} {:?} {} {tokens:?}", order._0, order.lastExecuted))
}

/// Somebody has something of everything. Whatever the manager calls, with his address and his market wherever they fit, he
/// has afterwards what he would have if a stranger had called it.
#[tokio::test]
async fn d9_no_call_of_the_manager_changes_what_an_account_has_more_than_a_strangers() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let guard = "\n[contracts.Guard]\narguments = { plimsoll_ = \"contracts.Plimsoll\" }\n";
    let record = fixture.apply(&format!("{}{guard}", manifest())).await?;
    let provider = fixture.node.impersonating().await?;
    let at = |name: &str| record.address(name).wrap_err_with(|| format!("no {name}"));
    let (victim, manager) = (fixture.node.account(6)?, at("governance.manager")?);
    let stranger = Address::repeat_byte(7);
    let (core, vault, backstop) = (at("contracts.Plimsoll")?, at("vaults.usdc")?, at("backstops.usdc")?);
    let market = &record.markets["weth-usdc"];
    let (usdc, weth) = (market.loan_token, market.collateral_token);
    // No two have the same hash: of one that the provider has seen in a block that was reverted since, it does not wait for
    // the receipt.
    let gas_limit = Cell::new(5_000_000);
    let send = async |from: Address, to: Address, data: Vec<u8>| -> eyre::Result<bool> {
        let request = TransactionRequest::default().from(from).to(to).input(Bytes::from(data).into());
        let request = request.gas_limit(gas_limit.replace(gas_limit.get() + 1));
        let hash = *provider.send_transaction(request).await?.tx_hash();
        provider.evm_mine(None).await?;
        Ok(provider.get_transaction_receipt(hash).await?.wrap_err("not mined")?.status())
    };
    // What the node mines by itself is in its pool still when the state may have been set back.
    provider.anvil_set_auto_mine(false).await?;
    let amount = U256::from(10).pow(U256::from(21));
    for who in [victim, manager, stranger] {
        provider.anvil_set_balance(who, amount).await?;
        for (token, spender) in [(usdc, core), (weth, core), (usdc, vault), (usdc, backstop)] {
            ensure!(send(who, token, IMinted::mintCall { to: who, amount }.abi_encode()).await?);
            ensure!(send(who, token, IMinted::approveCall { spender, amount }.abi_encode()).await?);
        }
    }
    let (params, id) = (market.params(), market.id);
    let (zero, million) = (U256::ZERO, U256::from(1_000_000));
    let data = Bytes::new();
    let supply = IPlimsoll::supplyCall {
        params: params.clone(),
        assets: U256::from(10_000) * million,
        shares: zero,
        onBehalf: victim,
        data: data.clone(),
    };
    let collateral = IPlimsoll::supplyCollateralCall {
        params: params.clone(),
        assets: U256::from(10).pow(U256::from(19)),
        onBehalf: victim,
        data,
    };
    let borrow = IPlimsoll::borrowCall {
        params: params.clone(),
        assets: U256::from(1_000) * million,
        shares: zero,
        onBehalf: victim,
        receiver: victim,
    };
    let deposit = |receiver| IERC4626::depositCall { assets: U256::from(1_000) * million, receiver }.abi_encode();
    let order = IGuard::Order {
        triggerLtvBps: 7_000,
        targetLtvBps: 5_000,
        triggerPrice: zero,
        premiumStartPpm: 1_000,
        premiumEndPpm: 10_000,
        rampBps: 500,
        requireBorrowPrice: false,
        uses: 1,
        expiry: Uint::from(fixture.chain.head().await?.timestamp + 30 * 24 * 60 * 60),
        cooldownSecs: Uint::from(600),
        flatTip: Uint::ZERO,
        maxOwn: Uint::ZERO,
    };
    let has = [
        (core, supply.abi_encode()),
        (core, collateral.abi_encode()),
        (core, borrow.abi_encode()),
        (vault, deposit(victim)),
        (backstop, deposit(victim)),
        (at("contracts.Guard")?, IGuard::placeCall { id, kind: IGuard::Kind::Protect, order }.abi_encode()),
    ];
    for (index, (to, data)) in has.into_iter().enumerate() {
        ensure!(send(victim, to, data).await?, "what the victim has, {index}");
    }
    let tuple = params_value(&params);
    let mut succeeded = 0;
    for (contract, name) in [
        ("Plimsoll", "contracts.Plimsoll"),
        ("Vault", "vaults.usdc"),
        ("Backstop", "backstops.usdc"),
        ("Guard", "contracts.Guard"),
    ] {
        let functions = artifacts()?.get(contract)?.abi.functions();
        let writes = |it: &&Function| !matches!(it.state_mutability, StateMutability::View | StateMutability::Pure);
        for function in functions.filter(writes) {
            for number in [0_u64, 1, 1_000_000] {
                let filling = Filling { market: id, params: &tuple, account: victim, number: U256::from(number) };
                let input = filling.call_data(function)?;
                let mut results = Vec::new();
                for caller in [manager, stranger] {
                    let kept = provider.anvil_snapshot().await?;
                    let is_done = send(caller, at(name)?, input.to_vec()).await?;
                    succeeded += u32::from(is_done && caller == manager);
                    results.push(belongings(&provider, &record, victim).await?);
                    ensure!(provider.anvil_revert(kept).await?);
                }
                ensure!(results.first() == results.last(), "{contract}.{} {number}: {results:#?}", function.name);
            }
        }
    }
    // A test in which nothing succeeds would show nothing.
    ensure!(succeeded > 20, "only {succeeded} calls of the manager succeeded");
    Ok(())
}

fn params_value(params: &MarketParams) -> DynSolValue {
    DynSolValue::Tuple(vec![
        DynSolValue::Address(params.loanToken),
        DynSolValue::Address(params.collateralToken),
        DynSolValue::Address(params.oracle),
        DynSolValue::FixedBytes(params.risk.into(), 32),
        DynSolValue::FixedBytes(params.curve.into(), 32),
    ])
}

fn selector_of(data: &Bytes) -> FixedBytes<4> {
    data.get(..4).map(FixedBytes::from_slice).unwrap_or_default()
}

/// Arguments for any function: a market's id and parameters, an account and a number, wherever they fit.
struct Filling<'a> {
    market: B256,
    params: &'a DynSolValue,
    account: Address,
    number: U256,
}

impl Filling<'_> {
    fn call_data(&self, function: &Function) -> eyre::Result<Bytes> {
        let values = function.inputs.iter().map(|input| Ok(self.value(&input.resolve()?)));
        Ok(function.abi_encode_input(&values.collect::<eyre::Result<Vec<_>>>()?)?.into())
    }

    fn value(&self, kind: &DynSolType) -> DynSolValue {
        if kind.matches(self.params) {
            return self.params.clone();
        }
        match kind {
            DynSolType::Bool => DynSolValue::Bool(false),
            DynSolType::Int(bits) => DynSolValue::Int(Default::default(), *bits),
            // A small type, such as an enumeration, gets 0.
            DynSolType::Uint(bits @ ..=16) => DynSolValue::Uint(U256::ZERO, *bits),
            DynSolType::Uint(bits) => DynSolValue::Uint(self.number, *bits),
            DynSolType::FixedBytes(size) => DynSolValue::FixedBytes(self.market, *size),
            DynSolType::Address => DynSolValue::Address(self.account),
            DynSolType::Function => DynSolValue::Function(alloy::primitives::Function::ZERO),
            DynSolType::Bytes => DynSolValue::Bytes(Vec::new()),
            DynSolType::String => DynSolValue::String(String::new()),
            DynSolType::Array(_) => DynSolValue::Array(Vec::new()),
            DynSolType::FixedArray(kind, size) => DynSolValue::FixedArray(vec![self.value(kind); *size]),
            DynSolType::Tuple(kinds) | DynSolType::CustomStruct { tuple: kinds, .. } => {
                DynSolValue::Tuple(kinds.iter().map(|kind| self.value(kind)).collect())
            }
        }
    }
}

#[test]
fn a_set_up_that_frees_or_freezes_too_much_is_refused_with_function_role_delay_and_remedy() -> eyre::Result<()> {
    let cases = [
        // Sooner than the nine days that leaving the backstop takes.
        ("delay = \"12 days\"", "delay = \"9 days\"", "the role money could do it after 9 days"),
        ("delay = \"12 days\"", "", "Plimsoll.setFee (0x"),
        (
            "members = [\"council\"]\nfunctions",
            "members = [\"council\"]\ndelay = \"3 days\"\nfunctions",
            "the role brakeman would wait 3 days",
        ),
        ("delay = \"12 days\"", "delay = \"31 days\"", "is frozen"),
        ("administrators_delay = \"14 days\"", "administrators_delay = \"8 days\"", "raise `administrators_delay`"),
        ("administrators = [\"safe\"]", "administrators = []", "frozen for good"),
        ("administrators = [\"safe\"]", "administrators = [\"deployer\"]", "the deployer's key keeps no role"),
        ("members = [\"safe\"]", "members = [\"deployer\"]", "the deployer's key keeps no role"),
        ("\"Plimsoll.setBackstop\", ", "", "no role has Plimsoll.setBackstop (0x"),
        ("\"Backstop.cancelLimit\"", "\"Plimsoll.setFee\"", "has the role "),
        ("\"Plimsoll.setFee\"", "\"Plimsoll.setFe\"", "did you mean \"Plimsoll.setFee\"?"),
        ("owner = \"manager\"", "owner = \"safe\"", "make \"manager\" both, or neither"),
        ("allocators = [\"council\"]", "allocators = [\"manager\"]", "an allocator acts within minutes"),
        ("\"vaults.usdc\" = \"1000\"", "\"vaults.usdc\" = \"0\"", "are a veto"),
        ("\"vaults.usdc\" = \"1000\"", "\"vaults.eth\" = \"1000\"", "has no depositors"),
        ("safe = \"0x", "manager = \"0x0000000000000000000000000000000000000001\"\nsafe = \"0x", "rename this account"),
    ];
    let good = manifest();
    design(&good)?;
    for (said, instead, because) in cases {
        ensure!(good.contains(said), "the manifest does not say {said}");
        let Err(error) = design(&good.replacen(said, instead, 1)) else { eyre::bail!("{instead} was not refused") };
        ensure!(error.to_string().contains(because), "{said} → {instead}: {error}");
    }
    let nobody = good
        .replace("guardians = [\"council\"]\n", "")
        .replace("brakes = { \"vaults.usdc\" = \"1000\", \"backstops.usdc\" = \"500\" }\n", "");
    let Err(error) = design(&nobody) else { eyre::bail!("a set-up that nobody can stop was not refused") };
    ensure!(error.to_string().contains("nobody could cancel what is scheduled"), "{error}");
    Ok(())
}
