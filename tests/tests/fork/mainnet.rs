//! State of mainnet that the fork needs and the recorded block did not touch, and reads that are correctly empty.

use std::{env, fs::File, path::PathBuf};

use alloy::{
    primitives::{Address, B256, Bytes, U256, address, keccak256},
    sol_types::SolValue,
};
use eyre::ContextCompat;
use flate2::read::GzDecoder;
use plimsoll_contracts::deployment::Deployment;
use plimsoll_deploy::create2;
use plimsoll_testkit::recording::{ANVILS_OWN, Declared, Override, Read, State};
use serde_json::Value;

use super::anvils_own_accounts;

pub(super) const USDC: Address = address!("A0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48");
pub(super) const WETH: Address = address!("C02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2");
/// Chainlink's ETH / USD proxy.
pub(super) const FEED: Address = address!("5f4eC3Df9cbd43714FE2740f5E3616155c5b8419");
const AGGREGATOR: Address = address!("E62B71cf983019BFf55bC83B48601ce8419650CC");
/// The factory of Uniswap V3.
const FACTORY: Address = address!("1F98431c8aD98523631AE4a59f267346ea31F984");
/// Uniswap's pool of USDC and WETH with a fee of 0.05 %.
pub(super) const POOL: Address = address!("88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640");

/// A file with the code of well-known contracts.
const KNOWN_CODE: &str = "mainnet/known_mainnet_contracts.json.gz";

/// The proxy's slot with its aggregator and phase, that phase, and the slot of its access controller.
const PROXY_PHASE: U256 = slot(2);
const PHASE: U256 = slot(6);
const PROXY_ACCESS: U256 = slot(5);
/// The aggregator's slots of its description and its readers.
const DESCRIPTION: U256 = slot(0x30);
const READERS: U256 = slot(0x32);
/// The tokens' slots of decimals, balances and allowances.
const USDC_SLOTS: [U256; 3] = [slot(6), slot(9), slot(10)];
const WETH_SLOTS: [U256; 3] = [slot(2), slot(3), slot(4)];

/// The beneficiary of blocks that Anvil mines.
const ANVILS_COINBASE: Address = Address::ZERO;
/// The contract with block hashes under today's rules (EIP-2935).
const BLOCK_HASHES: Address = address!("0000F90827F1C53a10cb7A02335B175320002935");

/// The accounts on the fork, none of which existed on mainnet.
pub(super) struct People {
    pub(super) keeper: Address,
    pub(super) lender: Address,
    pub(super) borrowers: Vec<Address>,
}

/// State that the block did not use, with its real values, except for the code of Uniswap's factory.
pub(super) fn overrides() -> eyre::Result<Vec<Override>> {
    let code = |address, code: Bytes, why| Override { address, state: State::Code(code), why };
    let word = |address, slot, value, why| Override { address, state: State::Slot(slot, value), why };
    let phase = (U256::from_be_slice(AGGREGATOR.as_slice()) << 16) | PHASE;
    let mut overrides = vec![
        word(FEED, PROXY_PHASE, phase, "the block updates the aggregator and reads nothing through the proxy"),
        word(AGGREGATOR, mapped(FEED, READERS), U256::ONE, "the aggregator's access list: the proxy may read it"),
        word(AGGREGATOR, DESCRIPTION, short_string("ETH / USD")?, "deploy compares the feed's description"),
        word(USDC, USDC_SLOTS[0], U256::from(6), "deploy compares the token's decimals"),
        word(WETH, WETH_SLOTS[0], U256::from(18), "deploy compares the token's decimals"),
        code(create2::FACTORY, create2::FACTORY_CODE.into(), "what deploys has been on mainnet for years"),
        code(FACTORY, [0].into(), "the swapper wants some code there when it is created, and never calls it"),
    ];
    if let Some(proxy) = known_code(FEED)? {
        overrides.push(code(FEED, proxy, "the block updates the aggregator and reads nothing through the proxy"));
    }
    Ok(overrides)
}

/// Nonces that a live node has and the recording does not.
pub(super) fn anvils_accounts_in_use() -> Vec<Override> {
    let why = "everybody has the keys to Anvil's accounts, and uses them on mainnet, too";
    ANVILS_OWN.map(|address| Override { address, state: State::Nonce(7), why }).into()
}

/// Reads outside the recording, each with the reason why it is empty there.
pub(super) fn outside(deployment: &Deployment, people: &People) -> eyre::Result<Vec<Declared>> {
    let contract = |kind: &str| {
        Ok::<_, eyre::Report>(deployment.only(kind).wrap_err_with(|| format!("no single {kind} on record"))?.address)
    };
    let (core, swapper, liquidator) = (contract("Plimsoll")?, contract("UniswapV3Swapper")?, contract("Liquidator")?);
    let mut declared = anvils_own_accounts();
    let mut declare = |read, why: &str| declared.push(Declared { read, why: why.to_owned() });
    declare(Read::Block(0), "deploy asks which chain this is; the number says enough");
    declare(Read::Account(ANVILS_COINBASE), "Anvil's blocks pay it, and nothing depends on what it has");
    declare(Read::Account(BLOCK_HASHES), "it came with later rules");
    declare(Read::Slot(FEED, PROXY_ACCESS), "everybody may read the proxy; in block 17034869 it is recorded as 0");
    for created in deployment.contracts.values() {
        declare(Read::Account(created.address), "a contract that is deployed here for the first time");
    }
    let traders = || people.borrowers.iter().copied().chain([people.lender, core, liquidator]);
    for holder in traders().chain([people.keeper]) {
        declare(Read::Slot(USDC, mapped(holder, USDC_SLOTS[1])), "it had no USDC before");
    }
    for holder in traders().chain([swapper]) {
        declare(Read::Slot(WETH, mapped(holder, WETH_SLOTS[1])), "it had no WETH before");
    }
    for owner in [people.lender, liquidator] {
        declare(Read::Slot(USDC, allowance(owner, core, USDC_SLOTS[2])), "it had not approved the core before");
    }
    for owner in &people.borrowers {
        declare(Read::Slot(WETH, allowance(*owner, core, WETH_SLOTS[2])), "it had not approved the core before");
    }
    Ok(declared)
}

/// Returns a contract's code from the folder of real data, where available. A recording that was made by running this
/// test has it itself.
fn known_code(contract: Address) -> eyre::Result<Option<Bytes>> {
    let file = env::var_os("PLIMSOLL_DATA").map(|folder| PathBuf::from(folder).join(KNOWN_CODE));
    let Some(file) = file.filter(|file| file.is_file()) else { return Ok(None) };
    let known: Value = serde_json::from_reader(GzDecoder::new(File::open(file)?))?;
    Ok(Some(serde_json::from_value(known[format!("{contract:#x}")]["code"].clone())?))
}

const fn slot(number: u64) -> U256 {
    U256::from_limbs([number, 0, 0, 0])
}

/// Returns the slot of a key in a Solidity mapping.
fn mapped(key: Address, mapping: U256) -> U256 {
    keccak256((key, mapping).abi_encode()).into()
}

/// Returns the slot of an allowance.
fn allowance(owner: Address, spender: Address, allowances: U256) -> U256 {
    keccak256((spender, B256::from(mapped(owner, allowances))).abi_encode()).into()
}

/// Encodes a string as Solidity stores it in one slot: left-aligned, with twice its length in the last byte.
fn short_string(text: &str) -> eyre::Result<U256> {
    let mut word = [0; 32];
    let (kept, length) = word.split_at_mut(31);
    kept.get_mut(..text.len()).wrap_err("the text is too long")?.copy_from_slice(text.as_bytes());
    length.copy_from_slice(&[u8::try_from(text.len() * 2)?]);
    Ok(U256::from_be_bytes(word))
}
