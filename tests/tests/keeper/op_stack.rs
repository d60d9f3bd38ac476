//! The OP Stack's fee for data on layer 1, on the bytecode of its predeploys as Optimism published it.

use alloy::{
    consensus::Transaction as _,
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256, address},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    sol,
    sol_types::SolCall,
};
use eyre::{ContextCompat, ensure};
use plimsoll_testkit::keeper::{Keeper, KeeperSetup};
use serde_json::Value;

use super::fixture::{Fixture, program, soon};

const GAS_PRICE_ORACLE: Address = address!("0x420000000000000000000000000000000000000F");
const L1_BLOCK: Address = address!("0x4200000000000000000000000000000000000015");
/// Flags of the oracle in slot 0: Ecotone and Fjord are active.
const FJORD: u64 = 0x0101;
/// Slots of `L1Block`: the base fee of layer 1; the scalars of base fee (bits 96 to 127) and blob base fee (64 to 95);
/// and the blob base fee.
const BASE_FEE_SLOT: u64 = 1;
const SCALARS_SLOT: u64 = 3;
const BLOB_BASE_FEE_SLOT: u64 = 7;
/// Scalars of the size that chains have.
const BASE_FEE_SCALAR: u64 = 2_269;
const BLOB_BASE_FEE_SCALAR: u64 = 1_055_762;
/// Size that the keeper asks the upper bound for, in bytes.
const SAMPLE_BYTES: u64 = 1_000;

sol! {
    interface IGasPriceOracle {
        function getL1Fee(bytes memory data) external view returns (uint256);
        function getL1FeeUpperBound(uint256 unsignedTxSize) external view returns (uint256);
    }
}

/// Places the predeploys on the chain.
async fn place(fixture: &Fixture) -> eyre::Result<()> {
    let predeploys: Value = serde_json::from_str(include_str!("../../fixtures/op_stack.json"))?;
    for (name, contract) in [("GasPriceOracle", GAS_PRICE_ORACLE), ("L1Block", L1_BLOCK)] {
        let code: Bytes = predeploys[name].as_str().wrap_err("the bytecode is there")?.parse()?;
        fixture.provider().anvil_set_code(contract, code).await?;
    }
    set(fixture, GAS_PRICE_ORACLE, 0, U256::from(FJORD)).await?;
    let scalars = (U256::from(BASE_FEE_SCALAR) << 96_usize) | (U256::from(BLOB_BASE_FEE_SCALAR) << 64_usize);
    set(fixture, L1_BLOCK, SCALARS_SLOT, scalars).await?;
    set(fixture, L1_BLOCK, BLOB_BASE_FEE_SLOT, U256::ONE).await
}

async fn set(fixture: &Fixture, contract: Address, slot: u64, value: U256) -> eyre::Result<()> {
    fixture.provider().anvil_set_storage_at(contract, U256::from(slot), B256::from(value)).await?;
    Ok(())
}

/// Sets the base fee of layer 1, in gwei.
async fn set_layer_1_base_fee(fixture: &Fixture, gwei: u64) -> eyre::Result<()> {
    set(fixture, L1_BLOCK, BASE_FEE_SLOT, U256::from(gwei) * U256::from(1_000_000_000)).await
}

async fn ask<C: SolCall<Return = U256>>(fixture: &Fixture, call: C) -> eyre::Result<U256> {
    let request = TransactionRequest::default().with_to(GAS_PRICE_ORACLE).with_input(call.abi_encode());
    Ok(C::abi_decode_returns(&fixture.provider().call(request).await?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liquidation_waits_until_its_data_fee_on_layer_1_is_less_than_it_brings() -> eyre::Result<()> {
    let fixture = Fixture::new(&[1]).await?;
    place(&fixture).await?;
    // The data of one liquidation costs more than it brings.
    set_layer_1_base_fee(&fixture, 5_000_000).await?;
    let further = "[chain]\ndata_fee = \"op_stack\"\n".to_owned();
    let setup = KeeperSetup { further, ..KeeperSetup::live(&fixture.suite) };
    let keeper = Keeper::start_with(&fixture.suite, program(), &setup).await?;
    keeper.wait_until_ready().await?;
    fixture.drop_price_below(0).await?;
    let is_skipped = |positions: &Value| positions["positions"][0]["decision"]["reason"] == "gain_below_gas";
    soon(keeper.wait_until("positions", is_skipped)).await?;
    ensure!(fixture.mined_transactions(keeper.signer()).await?.is_empty(), "something was sent");

    set_layer_1_base_fee(&fixture, 30).await?;
    fixture.wait_until_liquidated(1, &[&keeper]).await?;

    // What the keeper had expected covers the fee for the bytes of the transaction, and not several times.
    let mined = fixture.mined_transactions(keeper.signer()).await?;
    let (hash, ..) = *mined.values().next().wrap_err("nothing was sent")?;
    let sent = fixture.provider().get_transaction_by_hash(hash).await?.wrap_err("no transaction")?;
    // The oracle adds the signature to the bytes of the unsigned transaction, of which nearly all are calldata.
    let data: Bytes = sent.inner.input().clone();
    let paid = ask(&fixture, IGasPriceOracle::getL1FeeCall { data: data.clone() }).await?;
    let sample = IGasPriceOracle::getL1FeeUpperBoundCall { unsignedTxSize: U256::from(SAMPLE_BYTES) };
    let per_byte = ask(&fixture, sample).await?.div_ceil(U256::from(SAMPLE_BYTES));
    let expected = per_byte * U256::from(data.len());
    ensure!(expected >= paid && expected <= paid * U256::from(10), "expected {expected}, paid {paid}");
    Ok(())
}
