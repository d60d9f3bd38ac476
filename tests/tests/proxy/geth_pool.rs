//! The rules of geth's transaction pool, where Anvil's are more lenient.

use alloy::{
    eips::Encodable2718,
    network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder},
    primitives::{Address, B256, Bytes, U256, keccak256, utils::Unit},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    signers::local::PrivateKeySigner,
};
use plimsoll_testkit::proxy::Fault;
use serde_json::{Value, json};

use super::Fixture;

/// A fee well above the initial base fee of a chain.
const FEE: u128 = 100_000_000_000;
const TIP: u128 = 1_000_000_000;

/// A node that mines on request, behind geth's pool, and an account with one ether.
struct Bidder {
    fixture: Fixture,
    wallet: EthereumWallet,
    sender: Address,
}

impl Bidder {
    async fn new() -> eyre::Result<Self> {
        let fixture = Fixture::new(&["--no-mining"]).await?;
        let signer = PrivateKeySigner::random();
        let sender = signer.address();
        fixture.node.provider().anvil_set_balance(sender, Unit::ETHER.wei()).await?;
        fixture.proxy.inject(Fault::GethPool);
        Ok(Self { fixture, wallet: signer.into(), sender })
    }

    async fn signed(&self, nonce: u64, max_fee: u128, max_tip: u128, value: U256) -> eyre::Result<Bytes> {
        let request = TransactionRequest::default()
            .with_chain_id(self.fixture.node.provider().get_chain_id().await?)
            .with_from(self.sender)
            .with_to(self.sender)
            .with_value(value)
            .with_nonce(nonce)
            .with_gas_limit(21_000)
            .with_max_fee_per_gas(max_fee)
            .with_max_priority_fee_per_gas(max_tip);
        Ok(request.build(&self.wallet).await?.encoded_2718().into())
    }

    /// Sends a transaction that is accepted.
    async fn bid(&self, nonce: u64, max_fee: u128, max_tip: u128) -> eyre::Result<B256> {
        let raw = self.signed(nonce, max_fee, max_tip, U256::ZERO).await?;
        let hash = self.fixture.ask("eth_sendRawTransaction", json!([raw])).await?;
        assert_eq!(hash, json!(keccak256(&raw)));
        Ok(keccak256(&raw))
    }

    /// Sends a transaction that is refused with geth's error code, and returns the message.
    async fn refused(&self, nonce: u64, max_fee: u128, max_tip: u128, value: U256) -> eyre::Result<String> {
        let raw = self.signed(nonce, max_fee, max_tip, value).await?;
        let (code, message) = self.fixture.refused("eth_sendRawTransaction", json!([raw])).await?;
        assert_eq!(code, -32000);
        Ok(message)
    }

    /// Mines a block and waits until the pool has processed it.
    async fn mine(&self) -> eyre::Result<()> {
        let mined = self.fixture.proxy.counts().blocks();
        self.fixture.node.provider().anvil_mine(Some(1), None).await?;
        self.fixture.proxy.wait_for(|counts| counts.blocks() > mined).await?;
        Ok(())
    }

    /// Returns the block number of a transaction as the caller sees it: null while it is pending.
    async fn block_of(&self, transaction: B256) -> eyre::Result<Value> {
        let mut found = self.fixture.ask("eth_getTransactionByHash", json!([transaction])).await?;
        assert_eq!(found["hash"], json!(transaction), "it is not known at all");
        Ok(found["blockNumber"].take())
    }

    async fn pending_nonce(&self) -> eyre::Result<Value> {
        self.fixture.ask("eth_getTransactionCount", json!([self.sender, "pending"])).await
    }
}

#[tokio::test]
async fn a_replacement_needs_ten_percent_more_of_both_fees() -> eyre::Result<()> {
    let bidder = Bidder::new().await?;
    bidder.bid(0, FEE, TIP).await?;
    let (enough_fee, enough_tip) = (FEE / 10 * 11, TIP / 10 * 11);
    for (max_fee, max_tip) in [(enough_fee - 1, enough_tip), (enough_fee, enough_tip - 1), (FEE, TIP * 2)] {
        let refusal = bidder.refused(0, max_fee, max_tip, U256::ZERO).await?;
        assert_eq!(refusal, "replacement transaction underpriced");
    }
    let replacement = bidder.bid(0, enough_fee, enough_tip).await?;
    bidder.mine().await?;
    assert_eq!(bidder.block_of(replacement).await?, "0x1");
    Ok(())
}

#[tokio::test]
async fn a_pooled_transaction_is_already_known_and_a_mined_one_has_a_nonce_too_low() -> eyre::Result<()> {
    let bidder = Bidder::new().await?;
    bidder.bid(0, FEE, TIP).await?;
    assert_eq!(bidder.refused(0, FEE, TIP, U256::ZERO).await?, "already known");
    bidder.mine().await?;
    assert_eq!(bidder.refused(0, FEE, TIP, U256::ZERO).await?, "nonce too low: next nonce 1, tx nonce 0");
    Ok(())
}

#[tokio::test]
async fn a_transaction_without_sufficient_funds_is_refused_with_the_amounts() -> eyre::Result<()> {
    let bidder = Bidder::new().await?;
    let gas_cost = U256::from(21_000 * FEE);
    let cost = Unit::ETHER.wei() + gas_cost;
    let refusal = bidder.refused(0, FEE, TIP, Unit::ETHER.wei()).await?;
    let expected = format!(
        "insufficient funds for gas * price + value: balance {}, tx cost {cost}, overshot {gas_cost}",
        Unit::ETHER.wei()
    );
    assert_eq!(refusal, expected);
    let refusal = bidder.refused(0, TIP, FEE, U256::ZERO).await?;
    assert_eq!(refusal, "max priority fee per gas higher than max fee per gas");
    Ok(())
}

#[tokio::test]
async fn a_transaction_whose_fees_exceed_the_cap_is_refused() -> eyre::Result<()> {
    let bidder = Bidder::new().await?;
    bidder.fixture.node.provider().anvil_set_balance(bidder.sender, Unit::ETHER.wei() * U256::from(10)).await?;
    let one_coin = 1_000_000_000_000_000_000 / 21_000;
    let refusal = bidder.refused(0, one_coin * 3 / 2, TIP, U256::ZERO).await?;
    assert_eq!(refusal, "tx fee (1.50 ether) exceeds the configured cap (1.00 ether)");
    bidder.bid(0, one_coin, TIP).await?;
    Ok(())
}

#[tokio::test]
async fn a_transaction_below_the_base_fee_waits_until_it_can_be_mined() -> eyre::Result<()> {
    let bidder = Bidder::new().await?;
    let node = bidder.fixture.node.provider();
    node.anvil_set_next_block_base_fee_per_gas(FEE).await?;
    let cheap = bidder.bid(0, FEE / 2, TIP).await?;
    let next = bidder.bid(1, FEE * 2, TIP).await?;
    assert_eq!((bidder.block_of(cheap).await?, bidder.pending_nonce().await?), (Value::Null, json!("0x2")));
    assert_eq!(bidder.refused(0, FEE / 2, TIP, U256::ZERO).await?, "already known");
    bidder.mine().await?;
    assert_eq!(bidder.block_of(cheap).await?, Value::Null);

    // Empty blocks lower the base fee by an eighth each, and the second transaction can be mined when the first is.
    let mut blocks = 1;
    while bidder.block_of(next).await?.is_null() {
        bidder.mine().await?;
        blocks += 1;
        assert!(blocks < 20, "it was never mined");
    }
    assert_eq!(bidder.block_of(cheap).await?, bidder.block_of(next).await?);
    assert_eq!(bidder.pending_nonce().await?, "0x2");
    Ok(())
}

#[tokio::test]
async fn a_waiting_transaction_is_replaced_by_the_same_rules() -> eyre::Result<()> {
    let bidder = Bidder::new().await?;
    bidder.fixture.node.provider().anvil_set_next_block_base_fee_per_gas(FEE).await?;
    let cheap = bidder.bid(0, FEE / 2, TIP).await?;
    assert_eq!(bidder.refused(0, FEE * 2, TIP, U256::ZERO).await?, "replacement transaction underpriced");
    let replacement = bidder.bid(0, FEE * 2, TIP * 2).await?;
    bidder.mine().await?;
    assert_eq!(bidder.block_of(replacement).await?, "0x1");
    assert_eq!(bidder.fixture.ask("eth_getTransactionByHash", json!([cheap])).await?, Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_minable_transaction_is_displaced_by_a_waiting_replacement() -> eyre::Result<()> {
    let bidder = Bidder::new().await?;
    let old = bidder.bid(0, FEE, TIP).await?;
    bidder.fixture.node.provider().anvil_set_next_block_base_fee_per_gas(FEE * 2).await?;
    let replacement = bidder.bid(0, FEE / 10 * 11, TIP * 2).await?;
    assert_eq!(bidder.fixture.ask("eth_getTransactionByHash", json!([old])).await?, Value::Null);
    assert_eq!((bidder.block_of(replacement).await?, bidder.pending_nonce().await?), (Value::Null, json!("0x1")));
    Ok(())
}
