//! Proposals as files: calls by name, resolved against the deployment record. `docs/reference/governance.md` explains every
//! key.

use std::{collections::BTreeMap, fs, path::Path};

use alloy::{
    dyn_abi::{DynSolType, DynSolValue, JsonAbiExt, Specifier},
    hex,
    json_abi::{Function, Param},
    primitives::{Address, B256, Bytes, FixedBytes, U256, keccak256},
    sol_types::SolValue,
};
use eyre::{ContextCompat, WrapErr, bail, ensure, eyre};
use plimsoll_contracts::{
    deployment::Deployment,
    governance::CallReader,
    quantity::{Amount, BasisPoints, Decimal, Seconds},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{compile::Artifacts, manifest::spelling::nearest};

/// Bytes at each end of an address that people compare, and that a look-alike shares.
const COMPARED_BYTES: usize = 2;

/// A proposal: what is said of it, and what it calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// One line.
    pub title: String,
    /// Reasons, in Markdown.
    pub description: String,
    /// Calls in order.
    pub actions: Vec<Action>,
}

/// A call of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// Contract that is called.
    pub target: Address,
    /// Coins that go along, in wei.
    pub value: U256,
    /// Calldata.
    pub data: Bytes,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    #[serde(default)]
    description: String,
    actions: Vec<Written>,
}

/// An action as it is written: by names, or raw.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Name in the record, or an address.
    contract: Option<String>,
    /// Name of the function, or its signature.
    function: Option<String>,
    #[serde(default)]
    arguments: Vec<Value>,
    /// Raw calldata.
    data: Option<String>,
    /// Coins in ether.
    #[serde(default)]
    value: Option<Value>,
}

impl Proposal {
    /// Reads a proposal from a TOML or JSON file. Fails, naming the action and what is wrong, if a name is unknown, an
    /// argument does not fit, or an address looks like a recorded one and is another.
    pub fn read(path: &Path, names: &Names<'_>) -> eyre::Result<Self> {
        let text = fs::read_to_string(path).wrap_err_with(|| path.display().to_string())?;
        Self::parse(&text, names).wrap_err_with(|| path.display().to_string())
    }

    /// Reads a proposal from a text as [`Proposal::read`] does.
    pub fn parse(text: &str, names: &Names<'_>) -> eyre::Result<Self> {
        let json: Value = if text.trim_start().starts_with('{') {
            serde_json::from_str(text)?
        } else {
            serde_json::to_value(toml::from_str::<toml::Value>(text)?)?
        };
        let file: File = serde_json::from_value(json)?;
        ensure!(!file.title.trim().is_empty(), "`title` is empty: say in one line what this does");
        ensure!(!file.title.contains('\n'), "`title` has several lines: put all but the first in `description`");
        ensure!(!file.actions.is_empty(), "there are no [[actions]]: a proposal calls at least one function");
        let mut actions = Vec::with_capacity(file.actions.len());
        for (index, written) in file.actions.iter().enumerate() {
            actions.push(names.action(written, None).wrap_err_with(|| format!("action {}", index + 1))?);
        }
        let twice = (1..actions.len()).find(|at| actions[..*at].contains(&actions[*at]));
        if let Some(at) = twice {
            bail!("action {} is there twice: the manager schedules the same call only once at a time", at + 1);
        }
        Ok(Self { title: file.title.trim().to_owned(), description: file.description.trim().to_owned(), actions })
    }

    /// Returns title and description as a governor stores them, in Markdown.
    #[must_use]
    pub fn text(&self) -> String {
        format!("# {}\n\n{}", self.title, self.description).trim_end().to_owned()
    }

    /// Makes a proposal from what a governor stores.
    #[must_use]
    pub fn of_text(text: &str, actions: Vec<Action>) -> Self {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let title = first.trim_start_matches('#').trim().to_owned();
        Self { title, description: rest.trim().to_owned(), actions }
    }
}

/// What names in a proposal mean.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Record of the deployment.
    pub record: &'a Deployment,
    /// Contracts with their functions.
    pub artifacts: &'a Artifacts,
    /// Labels of the manager's roles.
    pub roles: &'a BTreeMap<u64, String>,
    /// Names of accounts and functions.
    pub reader: &'a CallReader,
}

impl Names<'_> {
    fn action(&self, written: &Written, within: Option<Address>) -> eyre::Result<Action> {
        let target = match (&written.contract, within) {
            (Some(text), _) => self.account(text)?,
            (None, Some(target)) => target,
            (None, None) => bail!("`contract` is missing: write a name of the record, or an address"),
        };
        let value = match &written.value {
            None => U256::ZERO,
            Some(said) => {
                let ether: Decimal = text_of(said)?.parse().map_err(|problem: String| eyre!("`value`: {problem}"))?;
                ether.scaled(18).map_err(|problem| eyre!("`value`: {problem}"))?
            }
        };
        let data = match (&written.function, &written.data) {
            (Some(function), None) => self.call_data(target, function, &written.arguments)?,
            (None, Some(data)) => {
                ensure!(
                    written.arguments.is_empty(),
                    "`arguments` belong to a `function`, and `data` has them already"
                );
                hex::decode(data).map_err(|_| eyre!("`data` is not hexadecimal: {data}"))?.into()
            }
            (None, None) if !value.is_zero() => Bytes::new(),
            _ => bail!("write either a `function` with its `arguments`, or `data`"),
        };
        self.check_addresses(target, &data)?;
        Ok(Action { target, value, data })
    }

    fn call_data(&self, target: Address, name: &str, arguments: &[Value]) -> eyre::Result<Bytes> {
        let function = self.function(target, name)?;
        ensure!(
            function.inputs.len() == arguments.len(),
            "{} takes {} arguments, and {} are given",
            described(&function),
            function.inputs.len(),
            arguments.len()
        );
        let mut values = Vec::with_capacity(arguments.len());
        for (param, said) in function.inputs.iter().zip(arguments) {
            let kind = param.resolve()?;
            let first = values.first().and_then(DynSolValue::as_fixed_bytes);
            let market = first.and_then(|(word, _)| B256::try_from(word).ok());
            let value = self.value(target, market, param, &kind, said);
            values.push(value.wrap_err_with(|| format!("{} of {}", param.name, described(&function)))?);
        }
        Ok(function.abi_encode_input(&values)?.into())
    }

    /// Returns a function of a contract: by name, or by signature where there are several, or where the contract is not in
    /// the record.
    fn function(&self, target: Address, text: &str) -> eyre::Result<Function> {
        let kind = self.record.contracts.values().find(|known| known.address == target).map(|known| &known.contract);
        let abi = match kind {
            Some(kind) => Some(&self.artifacts.get(kind)?.abi),
            // A token of the record that others deployed is an ERC-20.
            None if self.record.tokens.values().any(|token| token.address == target) => {
                Some(&self.artifacts.get("TestToken")?.abi)
            }
            None => None,
        };
        let (name, has_types) = text.split_once('(').map_or((text, false), |(name, _)| (name.trim(), true));
        let Some(abi) = abi else {
            ensure!(
                has_types,
                "the contract is not in the record: write the signature of {name}, as in {name}(uint256)"
            );
            return Function::parse(&format!("function {text}")).map_err(|error| eyre!("{text}: {error}"));
        };
        let all = abi.function(name).map(Vec::as_slice).unwrap_or_default();
        let fits = |function: &&Function| !has_types || function.signature() == text.replace(' ', "");
        match all.iter().filter(fits).collect::<Vec<_>>().as_slice() {
            [function] => Ok((*function).clone()),
            [] => {
                let known: Vec<_> = abi.functions().map(|function| function.signature()).collect();
                let names = abi.functions().map(|function| function.name.as_str());
                match nearest(name, names) {
                    Some(near) => bail!(
                        "there is no function {text}: did you mean {}?",
                        known.iter().find(|it| it.starts_with(&format!("{near}("))).map_or(near, String::as_str)
                    ),
                    None => bail!("there is no function {text}; there are {}", known.join(", ")),
                }
            }
            several => {
                let choices: Vec<_> = several.iter().map(|function| function.signature()).collect();
                bail!("{name} has several forms: write {}", choices.join(" or "))
            }
        }
    }

    fn account(&self, text: &str) -> eyre::Result<Address> {
        if text.starts_with("0x") {
            let address: Address = text.parse().map_err(|_| eyre!("\"{text}\" is not an address"))?;
            self.check_look_alike(address)?;
            return Ok(address);
        }
        let record = self.record;
        let contracts = record.contracts.iter().map(|(name, contract)| (name.clone(), contract.address));
        let tokens = record.tokens.iter().map(|(name, token)| (format!("tokens.{name}"), token.address));
        let feeds = record.feeds.iter().map(|(name, feed)| (format!("feeds.{name}"), *feed));
        let pools = record.pools.iter().map(|(name, pool)| (format!("pools.{name}"), pool.address));
        let known: BTreeMap<String, Address> = contracts.chain(tokens).chain(feeds).chain(pools).collect();
        if text == "nobody" {
            return Ok(Address::ZERO);
        }
        let short = |name: &str| name.split_once('.').is_some_and(|(_, rest)| rest == text);
        let found: Vec<_> = known.iter().filter(|(name, _)| *name == text || short(name)).collect();
        match found.as_slice() {
            [(_, address)] => Ok(**address),
            [] => match nearest(text, known.keys().map(String::as_str)) {
                Some(near) => bail!("there is no \"{text}\" in the record: did you mean \"{near}\"?"),
                None => bail!("there is no \"{text}\" in the record: write a name of it, or an address"),
            },
            several => {
                if let Some((_, exact)) = several.iter().find(|(name, _)| *name == text) {
                    return Ok(**exact);
                }
                let choices: Vec<_> = several.iter().map(|(name, _)| name.as_str()).collect();
                bail!("\"{text}\" means several things: write {}", choices.join(" or "))
            }
        }
    }

    fn value(
        &self,
        target: Address,
        market: Option<B256>,
        param: &Param,
        kind: &DynSolType,
        said: &Value,
    ) -> eyre::Result<DynSolValue> {
        match (kind, said) {
            (_, Value::Number(number))
                if !number.to_string().bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') =>
            {
                bail!("{number} is not a whole number: put it in quotes, with its unit")
            }
            (DynSolType::Array(inner), Value::Array(list)) => {
                let values = list.iter().map(|one| self.value(target, market, param, inner, one));
                Ok(DynSolValue::Array(values.collect::<eyre::Result<_>>()?))
            }
            (DynSolType::Bytes, Value::Object(_)) => {
                let inner: Written = serde_json::from_value(said.clone())?;
                Ok(DynSolValue::Bytes(self.action(&inner, Some(target))?.data.to_vec()))
            }
            (DynSolType::Tuple(_) | DynSolType::CustomStruct { .. }, Value::String(name)) => {
                let market = self.market(name)?;
                let value = kind.abi_decode_params(&market.params().abi_encode()).ok();
                value.wrap_err_with(|| format!("\"{name}\" is a market, and this takes no market"))
            }
            (DynSolType::Address, Value::String(text)) => Ok(DynSolValue::Address(self.account(text)?)),
            (DynSolType::FixedBytes(32), Value::String(text)) if !text.starts_with("0x") => {
                Ok(DynSolValue::FixedBytes(self.id(text)?, 32))
            }
            (DynSolType::FixedBytes(4), Value::String(text)) if !text.starts_with("0x") => {
                let selector = self.selector(text)?;
                let mut word = B256::ZERO;
                word[..4].copy_from_slice(selector.as_slice());
                Ok(DynSolValue::FixedBytes(word, 4))
            }
            (DynSolType::Uint(bits), _) => {
                let number = self.number(target, market, param, &text_of(said)?)?;
                ensure!(*bits == 256 || number.bit_len() <= *bits, "{number} does not fit {bits} bits");
                Ok(DynSolValue::Uint(number, *bits))
            }
            (DynSolType::Bool, Value::Bool(flag)) => Ok(DynSolValue::Bool(*flag)),
            _ => {
                let text = text_of(said)?;
                kind.coerce_str(&text).map_err(|error| eyre!("\"{text}\" is not a {}: {error}", param.ty))
            }
        }
    }

    /// Reads a number: whole, a percentage as basis points, a time as seconds, an amount of a token, or a role's name.
    fn number(&self, target: Address, market: Option<B256>, param: &Param, text: &str) -> eyre::Result<U256> {
        if let Ok(number) = text.parse::<U256>() {
            return Ok(number);
        }
        if let Some((id, _)) = self.roles.iter().find(|(_, label)| *label == text) {
            ensure!(param.ty == "uint64", "\"{text}\" is a role, and this is a {}", param.ty);
            return Ok(U256::from(*id));
        }
        if text.ends_with('%') {
            ensure!(param.name.ends_with("Bps"), "{} is not in basis points: write a whole number", param.name);
            return Ok(U256::from(text.parse::<BasisPoints>().map_err(|problem| eyre!(problem))?.0));
        }
        if let Ok(Seconds(secs)) = text.parse() {
            return Ok(U256::from(secs));
        }
        let amount: Amount = text.parse().map_err(|_| {
            eyre!("\"{text}\" is not a number: write a whole number, \"5%\", \"3 days\", \"1000 USDC\" or the name of a role")
        })?;
        let name = amount.token.wrap_err_with(|| format!("\"{text}\" needs a unit, as in \"1000 USDC\""))?;
        let token = self.record.tokens.get(&name);
        let decimals = match token {
            Some(token) => {
                let of_market = self.record.markets.values().find(|known| Some(known.id) == market);
                if let Some(known) = of_market.filter(|known| known.loan_token != token.address) {
                    let right = self.reader.account_text(known.loan_token);
                    bail!("{name} is not what this market lends: {right} is");
                }
                token.decimals
            }
            // The votes' token is no token of the manifest, and has 18 decimals.
            None if self
                .record
                .contracts
                .values()
                .any(|known| known.contract == "VotesToken" && known.address == target) =>
            {
                18
            }
            None => bail!("there is no token \"{name}\" in the record"),
        };
        amount.number.scaled(decimals).map_err(|problem| eyre!("{text}: {problem}"))
    }

    fn market(&self, text: &str) -> eyre::Result<&plimsoll_contracts::deployment::MarketRecord> {
        let name = text.strip_prefix("markets.").unwrap_or(text);
        self.record.markets.get(name).ok_or_else(|| {
            match nearest(name, self.record.markets.keys().map(String::as_str)) {
                Some(near) => eyre!("there is no market \"{name}\" in the record: did you mean \"{near}\"?"),
                None => eyre!("there is no market \"{name}\" in the record"),
            }
        })
    }

    /// Returns the id of a market, or of the cap of a collateral token or an oracle.
    fn id(&self, text: &str) -> eyre::Result<B256> {
        let cap = |kind: U256, address: Address| keccak256((kind, address).abi_encode());
        if let Some(name) = text.strip_prefix("collateral ") {
            return Ok(cap(U256::ZERO, self.account(name)?));
        }
        if let Some(name) = text.strip_prefix("oracle ") {
            return Ok(cap(U256::ONE, self.account(name)?));
        }
        Ok(self.market(text)?.id)
    }

    /// Returns the selector of a function as in `Plimsoll.setFee`.
    fn selector(&self, text: &str) -> eyre::Result<FixedBytes<4>> {
        let (contract, name) = text.split_once('.').wrap_err_with(|| format!("\"{text}\": write Contract.function"))?;
        let abi = &self.artifacts.get(contract)?.abi;
        let name = name.split('(').next().unwrap_or(name);
        match abi.function(name).map(Vec::as_slice).unwrap_or_default() {
            [function] => Ok(function.selector()),
            [] => bail!("{contract} has no function {name}"),
            _ => bail!("{contract} has several functions {name}: write the selector of the one that is meant"),
        }
    }

    /// Checks every address in a call: the target, and the arguments where the function is known.
    fn check_addresses(&self, target: Address, data: &Bytes) -> eyre::Result<()> {
        self.check_look_alike(target)?;
        // An address is a word that begins with twelve zeros. A number that looks like a recorded address is none by chance.
        for start in (4..data.len()).step_by(32) {
            let Some(word) = data.get(start..start + 32) else { break };
            if word[..12].iter().all(|byte| *byte == 0) {
                self.check_look_alike(Address::from_slice(&word[12..]))?;
            }
        }
        let read = self.reader.read(target, data);
        for inner in read.inner {
            self.check_addresses(inner.target, &inner.data)?;
        }
        Ok(())
    }

    /// Fails if an address is not in the record and looks like one that is.
    fn check_look_alike(&self, address: Address) -> eyre::Result<()> {
        let record = self.record;
        let contracts = record.contracts.iter().map(|(name, contract)| (name.clone(), contract.address));
        let tokens = record.tokens.iter().map(|(name, token)| (format!("tokens.{name}"), token.address));
        let feeds = record.feeds.iter().map(|(name, feed)| (format!("feeds.{name}"), *feed));
        let pools = record.pools.iter().map(|(name, pool)| (format!("pools.{name}"), pool.address));
        let known: Vec<_> = contracts.chain(tokens).chain(feeds).chain(pools).collect();
        if address.is_zero() || known.iter().any(|(_, other)| *other == address) {
            return Ok(());
        }
        let ends = |address: &Address| {
            let bytes = address.0.0;
            (bytes[..COMPARED_BYTES].to_vec(), bytes[bytes.len() - COMPARED_BYTES..].to_vec())
        };
        let Some((name, real)) = known.iter().find(|(_, other)| ends(other) == ends(&address)) else { return Ok(()) };
        bail!(
            "{address} looks like {name}, which is {real}, and is another address: take it from where you are sure of it"
        )
    }
}

fn described(function: &Function) -> String {
    let inputs: Vec<_> = function.inputs.iter().map(|it| format!("{} {}", it.selector_type(), it.name)).collect();
    format!("{}({})", function.name, inputs.join(", "))
}

fn text_of(value: &Value) -> eyre::Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => bail!("{other} is neither a text nor a number"),
    }
}
