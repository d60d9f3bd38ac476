//! Governance: bindings of OpenZeppelin's manager, governor and tokens with votes, and calls in words.

use std::{collections::BTreeMap, fmt};

use alloy::{
    dyn_abi::{DynSolValue, JsonAbiExt},
    hex,
    json_abi::Function,
    primitives::{Address, B256, Bytes, FixedBytes, U256, keccak256},
    sol_types::SolValue,
};
use serde::Serialize;

use crate::{
    IVault,
    deployment::Deployment,
    quantity::{BasisPoints, Seconds, decimal_text},
};

pub use interfaces::*;

#[allow(clippy::too_many_arguments, reason = "an event has as many fields as it has")]
mod interfaces {
    use alloy::sol;

    sol! {
        /// OpenZeppelin's manager of roles.
        #[sol(rpc)]
        #[derive(Debug, PartialEq, Eq)]
        interface IAccessManager {
            event OperationScheduled(
                bytes32 indexed operationId, uint32 indexed nonce, uint48 schedule, address caller, address target, bytes data
            );
            event OperationExecuted(bytes32 indexed operationId, uint32 indexed nonce);
            event OperationCanceled(bytes32 indexed operationId, uint32 indexed nonce);
            event RoleLabel(uint64 indexed roleId, string label);
            event RoleGranted(uint64 indexed roleId, address indexed account, uint32 delay, uint48 since, bool newMember);
            event TargetFunctionRoleUpdated(address indexed target, bytes4 selector, uint64 indexed roleId);

            error AccessManagerNotReady(bytes32 operationId);
            error AccessManagerExpired(bytes32 operationId);
            error AccessManagerNotScheduled(bytes32 operationId);
            error AccessManagerAlreadyScheduled(bytes32 operationId);
            error AccessManagerUnauthorizedCall(address caller, address target, bytes4 selector);
            error AccessManagerUnauthorizedAccount(address msgsender, uint64 roleId);

            function canCall(address caller, address target, bytes4 selector) external view returns (bool immediate, uint32 delay);
            function expiration() external view returns (uint32);
            function isTargetClosed(address target) external view returns (bool);
            function getTargetFunctionRole(address target, bytes4 selector) external view returns (uint64);
            function getTargetAdminDelay(address target) external view returns (uint32);
            function getRoleAdmin(uint64 roleId) external view returns (uint64);
            function getRoleGuardian(uint64 roleId) external view returns (uint64);
            function getRoleGrantDelay(uint64 roleId) external view returns (uint32);
            function getAccess(uint64 roleId, address account) external view returns (uint48 since, uint32 currentDelay, uint32 pendingDelay, uint48 effect);
            function hasRole(uint64 roleId, address account) external view returns (bool isMember, uint32 executionDelay);
            function labelRole(uint64 roleId, string calldata label) external;
            function grantRole(uint64 roleId, address account, uint32 executionDelay) external;
            function revokeRole(uint64 roleId, address account) external;
            function renounceRole(uint64 roleId, address callerConfirmation) external;
            function setRoleAdmin(uint64 roleId, uint64 admin) external;
            function setRoleGuardian(uint64 roleId, uint64 guardian) external;
            function setGrantDelay(uint64 roleId, uint32 newDelay) external;
            function setTargetFunctionRole(address target, bytes4[] calldata selectors, uint64 roleId) external;
            function setTargetAdminDelay(address target, uint32 newDelay) external;
            function setTargetClosed(address target, bool closed) external;
            function getSchedule(bytes32 id) external view returns (uint48);
            function getNonce(bytes32 id) external view returns (uint32);
            function hashOperation(address caller, address target, bytes calldata data) external view returns (bytes32);
            function schedule(address target, bytes calldata data, uint48 when) external returns (bytes32 operationId, uint32 nonce);
            function execute(address target, bytes calldata data) external payable returns (uint32);
            function cancel(address caller, address target, bytes calldata data) external returns (uint32);
            function updateAuthority(address target, address newAuthority) external;
            function multicall(bytes[] calldata data) external returns (bytes[] memory results);
        }

        /// OpenZeppelin's governor with the parts of `PlimsollGovernor`.
        #[sol(rpc)]
        #[derive(Debug, PartialEq, Eq)]
        interface IGovernor {
            event ProposalCreated(
                uint256 proposalId, address proposer, address[] targets, uint256[] values, string[] signatures,
                bytes[] calldatas, uint256 voteStart, uint256 voteEnd, string description
            );
            event ProposalQueued(uint256 proposalId, uint256 etaSeconds);
            event ProposalExecuted(uint256 proposalId);
            event ProposalCanceled(uint256 proposalId);

            function name() external view returns (string memory);
            function token() external view returns (address);
            function clock() external view returns (uint48);
            function accessManager() external view returns (address);
            function state(uint256 proposalId) external view returns (uint8);
            function proposalThreshold() external view returns (uint256);
            function proposalSnapshot(uint256 proposalId) external view returns (uint256);
            function proposalDeadline(uint256 proposalId) external view returns (uint256);
            function proposalEta(uint256 proposalId) external view returns (uint256);
            function proposalProposer(uint256 proposalId) external view returns (address);
            function hashProposal(address[] calldata targets, uint256[] calldata values, bytes[] calldata calldatas, bytes32 descriptionHash) external view returns (uint256);
            function proposalNeedsQueuing(uint256 proposalId) external view returns (bool);
            function proposalVotes(uint256 proposalId) external view returns (uint256 againstVotes, uint256 forVotes, uint256 abstainVotes);
            function proposalGuardian() external view returns (address);
            function votingDelay() external view returns (uint256);
            function votingPeriod() external view returns (uint256);
            function lateQuorumVoteExtension() external view returns (uint48);
            function quorum(uint256 timepoint) external view returns (uint256);
            function quorumNumerator() external view returns (uint256);
            function baseDelaySeconds() external view returns (uint32);
            function isAccessManagerIgnored(address target, bytes4 selector) external view returns (bool);
            function getVotes(address account, uint256 timepoint) external view returns (uint256);
            function hasVoted(uint256 proposalId, address account) external view returns (bool);
            function propose(address[] calldata targets, uint256[] calldata values, bytes[] calldata calldatas, string calldata description) external returns (uint256);
            function queue(address[] calldata targets, uint256[] calldata values, bytes[] calldata calldatas, bytes32 descriptionHash) external returns (uint256);
            function execute(address[] calldata targets, uint256[] calldata values, bytes[] calldata calldatas, bytes32 descriptionHash) external payable returns (uint256);
            function cancel(address[] calldata targets, uint256[] calldata values, bytes[] calldata calldatas, bytes32 descriptionHash) external returns (uint256);
            function castVoteWithReason(uint256 proposalId, uint8 support, string calldata reason) external returns (uint256);
            function relay(address target, uint256 value, bytes calldata data) external payable;
        }

        /// A token whose holders vote.
        #[sol(rpc)]
        #[derive(Debug, PartialEq, Eq)]
        interface IVotes {
            function getVotes(address account) external view returns (uint256);
            function delegates(address account) external view returns (address);
            function delegate(address delegatee) external;
        }
    }
}

/// Parameters of a market, as an argument of a signature.
const PARAMS: &str = "(address,address,address,uint256,uint256) params";

/// Signatures of the functions that governance calls, for calls in words.
const SIGNATURES: [&str; 56] = [
    "setFee(PARAMS, uint256 feeBps)",
    "setFeeRecipient(bytes32 id, address recipient)",
    "setBackstop(bytes32 id, address backstop)",
    "transferOwnership(address newOwner)",
    "acceptOwnership()",
    "announceLimit(bytes32 id, uint256 limit)",
    "cancelLimit(bytes32 id)",
    "applyLimit(bytes32 id)",
    "transferCuratorship(address newCurator)",
    "acceptCuratorship()",
    "submit(bytes call)",
    "revoke(bytes32 hash)",
    "nudgeCap(bytes32 capId, uint256 absolute)",
    "setCap(bytes32 capId, uint256 absolute, uint256 relativeBps)",
    "setFee(uint256 feeBps)",
    "setMaxRate(uint256 maxRatePerSecond)",
    "setFeeRecipient(address recipient)",
    "setCurator(address newCurator)",
    "setGuardian(address newGuardian)",
    "setAllocator(address account, bool allowed)",
    "enableMarket(bytes32 id)",
    "removeMarket(bytes32 id)",
    "deallocate(bytes32 id)",
    "setDepositMarket(bytes32 id)",
    "abdicate(bytes4 selector)",
    "labelRole(uint64 roleId, string label)",
    "grantRole(uint64 roleId, address account, uint32 executionDelay)",
    "revokeRole(uint64 roleId, address account)",
    "renounceRole(uint64 roleId, address callerConfirmation)",
    "setRoleAdmin(uint64 roleId, uint64 admin)",
    "setRoleGuardian(uint64 roleId, uint64 guardian)",
    "setGrantDelay(uint64 roleId, uint32 newDelay)",
    "setTargetFunctionRole(address target, bytes4[] selectors, uint64 roleId)",
    "setTargetAdminDelay(address target, uint32 newDelay)",
    "setTargetClosed(address target, bool closed)",
    "updateAuthority(address target, address newAuthority)",
    "schedule(address target, bytes data, uint48 when)",
    "execute(address target, bytes data)",
    "execute(bytes call)",
    "cancel(address caller, address target, bytes data)",
    "multicall(bytes[] data)",
    "relay(address target, uint256 value, bytes data)",
    "setVotingDelay(uint48 newVotingDelay)",
    "setVotingPeriod(uint32 newVotingPeriod)",
    "setProposalThreshold(uint256 newProposalThreshold)",
    "setLateQuorumVoteExtension(uint48 newVoteExtension)",
    "setProposalGuardian(address newGuardian)",
    "setBaseDelaySeconds(uint32 newBaseDelay)",
    "setAccessManagerIgnored(address target, bytes4[] selectors, bool ignored)",
    "updateQuorumNumerator(uint256 newQuorumNumerator)",
    "delegate(address delegatee)",
    "transfer(address to, uint256 amount)",
    "transferFrom(address from, address to, uint256 amount)",
    "approve(address spender, uint256 amount)",
    "delegate(address token, address delegatee)",
    "setAuthorization(address authorized, uint256 expiry)",
];

/// Names of the roles that the manifest's set-up of a manager has by itself.
const FIXED_ROLES: [(u64, &str); 3] = [(0, "administrators"), (1, "brake"), (u64::MAX, "everybody")];

/// Reads calls for people: functions by name, accounts, markets and roles by their names in the deployment record, and
/// quantities with their units.
#[derive(Debug, Clone)]
pub struct CallReader {
    functions: BTreeMap<FixedBytes<4>, Function>,
    accounts: BTreeMap<Address, String>,
    ids: BTreeMap<B256, String>,
    roles: BTreeMap<u64, String>,
    units: BTreeMap<Address, (String, u8)>,
    market_units: BTreeMap<B256, (String, u8)>,
}

/// A call in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadCall {
    /// Contract that is called.
    pub target: Address,
    /// Name of the contract, or its address if it has none.
    pub target_text: String,
    /// Selector of the function; `None` if there is no data.
    pub selector: Option<FixedBytes<4>>,
    /// Signature of the function; `None` if it is not known.
    pub signature: Option<String>,
    /// Arguments; empty if the function is not known.
    pub arguments: Vec<Argument>,
    /// Data of the call.
    pub data: Bytes,
    /// Calls that this one makes or prepares.
    pub inner: Vec<Self>,
}

/// An argument of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Argument {
    /// Name in Solidity.
    pub name: String,
    /// Value with names and units.
    pub text: String,
}

impl fmt::Display for ReadCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(selector) = self.selector else { return write!(f, "{}: no call", self.target_text) };
        let Some(signature) = &self.signature else {
            return write!(f, "{}: unknown function {selector}, 0x{}", self.target_text, hex::encode(&self.data));
        };
        let name = signature.split('(').next().unwrap_or_default();
        write!(f, "{} {name}(", self.target_text)?;
        for (index, argument) in self.arguments.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}: {}", argument.name, argument.text)?;
        }
        f.write_str(")")?;
        for inner in &self.inner {
            write!(f, " → {inner}")?;
        }
        Ok(())
    }
}

impl CallReader {
    /// Makes a reader with the functions that governance calls and the names of a deployment.
    #[must_use]
    pub fn new(record: &Deployment) -> Self {
        let known = SIGNATURES.iter().filter_map(|text| parse(text).ok());
        let functions = known.map(|function| (function.selector(), function)).collect();
        let mut reader = Self {
            functions,
            accounts: record.contracts.iter().map(|(name, contract)| (contract.address, name.clone())).collect(),
            ids: BTreeMap::new(),
            roles: FIXED_ROLES.iter().map(|(id, name)| (*id, (*name).to_owned())).collect(),
            units: BTreeMap::new(),
            market_units: BTreeMap::new(),
        };
        for (name, token) in &record.tokens {
            reader.accounts.entry(token.address).or_insert_with(|| format!("tokens.{name}"));
            reader.units.insert(token.address, (name.clone(), token.decimals));
            reader.ids.insert(keccak256((U256::ZERO, token.address).abi_encode()), format!("collateral {name}"));
        }
        for (name, feed) in &record.feeds {
            reader.accounts.entry(*feed).or_insert_with(|| format!("feeds.{name}"));
        }
        for (name, market) in &record.markets {
            reader.ids.insert(market.id, format!("markets.{name}"));
            let oracle = reader.account_text(market.oracle);
            reader.ids.insert(keccak256((U256::ONE, market.oracle).abi_encode()), format!("oracle {oracle}"));
            if let Some(unit) = reader.units.get(&market.loan_token).cloned() {
                reader.market_units.insert(market.id, unit);
            }
        }
        for contract in record.contracts.values().filter(|contract| contract.contract == "Vault") {
            let asset = IVault::Setup::abi_decode(&contract.arguments).ok().map(|setup| setup.asset);
            if let Some(unit) = asset.and_then(|asset| reader.units.get(&asset).cloned()) {
                reader.units.insert(contract.address, unit);
            }
        }
        reader.accounts.entry(record.deployer).or_insert_with(|| "the deployer".to_owned());
        reader
    }

    /// Adds functions. Those that are known keep the names of their parameters.
    #[must_use]
    pub fn with_functions<'a>(mut self, functions: impl IntoIterator<Item = &'a Function>) -> Self {
        for function in functions {
            self.functions.entry(function.selector()).or_insert_with(|| function.clone());
        }
        self
    }

    /// Adds the name of a role, as its label in the manager says.
    pub fn name_role(&mut self, id: u64, label: String) {
        if !label.is_empty() {
            self.roles.insert(id, label);
        }
    }

    /// Returns an account's name and address, or its address alone.
    #[must_use]
    pub fn account_text(&self, account: Address) -> String {
        if account.is_zero() {
            return "nobody (address 0)".to_owned();
        }
        self.accounts.get(&account).map_or_else(|| account.to_string(), |name| format!("{name} ({account})"))
    }

    /// Returns an account's name in the record.
    #[must_use]
    pub fn name_of(&self, account: Address) -> Option<&str> {
        self.accounts.get(&account).map(String::as_str)
    }

    /// Returns a role's name, or its number if it has none.
    #[must_use]
    pub fn role_text(&self, id: u64) -> String {
        self.roles.get(&id).cloned().unwrap_or_else(|| format!("role {id}"))
    }

    /// Returns the signature of a function; its selector if it is not known.
    #[must_use]
    pub fn function_text(&self, selector: FixedBytes<4>) -> String {
        self.functions.get(&selector).map_or_else(|| selector.to_string(), |function| function.signature())
    }

    /// Returns an amount with its unit: of a token, or of what a vault lends.
    #[must_use]
    pub fn amount_text(&self, token: Address, amount: U256) -> String {
        with_unit(amount, self.units.get(&token))
    }

    /// Reads a call. What is not known is shown as it is.
    #[must_use]
    pub fn read(&self, target: Address, data: &[u8]) -> ReadCall {
        let selector = data.get(..4).map(FixedBytes::from_slice);
        let mut call = ReadCall {
            target,
            target_text: self.account_text(target),
            selector,
            signature: None,
            arguments: Vec::new(),
            data: Bytes::copy_from_slice(data),
            inner: Vec::new(),
        };
        let function = selector.and_then(|selector| self.functions.get(&selector));
        let values = function.and_then(|function| function.abi_decode_input(data.get(4..)?).ok());
        let (Some(function), Some(values)) = (function, values) else { return call };
        call.signature = Some(function.signature());
        let id = values.first().and_then(DynSolValue::as_fixed_bytes).map(|(word, _)| word);
        let market = id.filter(|word| word.len() == 32).map(B256::from_slice);
        for (param, value) in function.inputs.iter().zip(&values) {
            let unit = market.and_then(|id| self.market_units.get(&id)).filter(|_| function.name.contains("Limit"));
            let text = self.value_text(&param.name, value, unit.or_else(|| self.units.get(&target)));
            call.arguments.push(Argument { name: param.name.clone(), text });
        }
        call.inner = self.inner_calls(target, &function.name, &values);
        call
    }

    /// Returns the calls that a call makes or prepares.
    fn inner_calls(&self, target: Address, name: &str, values: &[DynSolValue]) -> Vec<ReadCall> {
        let bytes = |at: usize| values.get(at).and_then(DynSolValue::as_bytes);
        let account = |at: usize| values.get(at).and_then(DynSolValue::as_address);
        let one = |to: Option<Address>, data: Option<&[u8]>| match (to, data) {
            (Some(to), Some(data)) => vec![self.read(to, data)],
            _ => Vec::new(),
        };
        match (name, values.len()) {
            ("submit" | "execute", 1) => one(Some(target), bytes(0)),
            ("schedule", 3) | ("execute", 2) => one(account(0), bytes(1)),
            ("cancel", 3) => one(account(1), bytes(2)),
            ("relay", 3) => one(account(0), bytes(2)),
            ("multicall", 1) => {
                let list = values.first().and_then(DynSolValue::as_array).unwrap_or_default();
                list.iter().filter_map(DynSolValue::as_bytes).map(|data| self.read(target, data)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn value_text(&self, name: &str, value: &DynSolValue, unit: Option<&(String, u8)>) -> String {
        let is_delay = ["delay", "period", "extension", "secs"].iter().any(|part| name.to_lowercase().contains(part));
        let list = |values: &[DynSolValue]| {
            let texts: Vec<_> = values.iter().map(|value| self.value_text(name, value, unit)).collect();
            texts.join(", ")
        };
        match value {
            DynSolValue::Address(account) => self.account_text(*account),
            DynSolValue::FixedBytes(word, 4) => self.function_text(FixedBytes::from_slice(&word[..4])),
            DynSolValue::FixedBytes(word, 32) => {
                self.ids.get(word).map_or_else(|| word.to_string(), |name| format!("{name} ({word})"))
            }
            DynSolValue::Uint(number, 64) if ["roleId", "guardian", "admin"].contains(&name) => {
                self.role_text(number.saturating_to())
            }
            DynSolValue::Uint(number, _) if is_delay => Seconds(number.saturating_to()).to_string(),
            DynSolValue::Uint(number, _) if name.ends_with("Bps") => match u16::try_from(*number) {
                Ok(bps) => BasisPoints(bps).to_string(),
                Err(_) => format!("{number} basis points"),
            },
            DynSolValue::Uint(number, _) if name == "newQuorumNumerator" => format!("{number}%"),
            DynSolValue::Uint(number, 256) if ["amount", "absolute", "limit"].contains(&name) => {
                with_unit(*number, unit)
            }
            DynSolValue::Uint(number, _) => number.to_string(),
            DynSolValue::Int(number, _) => number.to_string(),
            DynSolValue::Bool(flag) => flag.to_string(),
            DynSolValue::String(text) => format!("{text:?}"),
            DynSolValue::Bytes(bytes) => format!("0x{}", hex::encode(bytes)),
            DynSolValue::Array(values) | DynSolValue::FixedArray(values) => format!("[{}]", list(values)),
            DynSolValue::Tuple(values) | DynSolValue::CustomStruct { tuple: values, .. } => {
                // A market's id is the hash of its five parameters.
                let id = keccak256(DynSolValue::Tuple(values.clone()).abi_encode_params());
                self.ids.get(&id).cloned().unwrap_or_else(|| format!("({})", list(values)))
            }
            other => format!("{other:?}"),
        }
    }
}

fn parse(signature: &str) -> alloy::dyn_abi::parser::Result<Function> {
    Function::parse(&format!("function {}", signature.replace("PARAMS", PARAMS)))
}

fn with_unit(amount: U256, unit: Option<&(String, u8)>) -> String {
    if amount >= U256::from(u128::MAX) {
        return "without limit".to_owned();
    }
    unit.map_or_else(|| amount.to_string(), |(name, decimals)| format!("{} {name}", decimal_text(amount, *decimals)))
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolCall;

    use super::*;
    use crate::{
        IPlimsoll, MarketParams,
        deployment::{DeployedContract, MarketRecord, TokenRecord},
    };

    fn params() -> MarketParams {
        MarketParams {
            loanToken: Address::repeat_byte(1),
            collateralToken: Address::repeat_byte(2),
            oracle: Address::repeat_byte(3),
            risk: U256::from(4),
            curve: U256::from(5),
        }
    }

    fn record() -> Deployment {
        let mut record = Deployment::new("test".into(), 1, B256::ZERO, Address::repeat_byte(9));
        let contract = |contract: &str, byte| DeployedContract {
            contract: contract.to_owned(),
            address: Address::repeat_byte(byte),
            arguments: Bytes::new(),
            salt: B256::ZERO,
            code_hash: B256::ZERO,
            created: None,
        };
        record.contracts.insert("contracts.Plimsoll".into(), contract("Plimsoll", 7));
        record.contracts.insert("governance.manager".into(), contract("AccessManager", 8));
        record.tokens.insert("USDC".into(), TokenRecord { address: Address::repeat_byte(1), decimals: 6 });
        let params = params();
        record.markets.insert(
            "weth-usdc".into(),
            MarketRecord {
                id: params.id().0,
                loan_token: params.loanToken,
                collateral_token: params.collateralToken,
                oracle: params.oracle,
                risk: params.risk,
                curve: params.curve,
                created: None,
            },
        );
        record
    }

    #[test]
    fn every_signature_is_understood_and_none_occurs_twice() {
        for text in SIGNATURES {
            if let Err(error) = parse(text) {
                panic!("{text}: {error}");
            }
        }
        assert_eq!(CallReader::new(&record()).functions.len(), SIGNATURES.len());
    }

    #[test]
    fn a_call_is_read_with_the_names_of_market_account_and_role_and_with_units() {
        let mut reader = CallReader::new(&record());
        reader.name_role(3, "money".to_owned());
        let core = Address::repeat_byte(7);
        let fee = IPlimsoll::setFeeCall { params: params(), feeBps: U256::from(1_500) }.abi_encode();
        let text = reader.read(core, &fee).to_string();
        assert_eq!(text, format!("contracts.Plimsoll ({core}) setFee(params: markets.weth-usdc, feeBps: 15%)"));

        let grant =
            IAccessManager::grantRoleCall { roleId: 3, account: core, executionDelay: 3 * 24 * 60 * 60 }.abi_encode();
        let manager = Address::repeat_byte(8);
        let schedule = IAccessManager::scheduleCall { target: manager, data: grant.into(), when: Default::default() };
        let read = reader.read(manager, &schedule.abi_encode());
        let inner = format!(
            "governance.manager ({manager}) grantRole(roleId: money, account: contracts.Plimsoll ({core}), \
             executionDelay: 3 days)"
        );
        assert_eq!(read.inner.first().map(ToString::to_string), Some(inner));

        let backstop = IPlimsoll::setBackstopCall { id: params().id().0, backstop: Address::ZERO }.abi_encode();
        let text = reader.read(core, &backstop).to_string();
        assert!(text.contains("id: markets.weth-usdc (0x") && text.contains("backstop: nobody (address 0)"), "{text}");
    }

    #[test]
    fn a_call_that_is_not_known_or_does_not_decode_is_shown_as_it_is() {
        let reader = CallReader::new(&record());
        let at = Address::repeat_byte(7);
        assert!(reader.read(at, &[1, 2, 3, 4, 5]).to_string().ends_with("unknown function 0x01020304, 0x0102030405"));
        let short = &IPlimsoll::setBackstopCall::SELECTOR;
        assert!(reader.read(at, short).to_string().contains("unknown function"));
        assert!(reader.read(at, &[]).to_string().ends_with("no call"));
    }
}
