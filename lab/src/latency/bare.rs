//! The least that any keeper does: at a head it makes one call in the new block, and sends a signed transaction.

use std::pin::Pin;

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::{BlockId, Encodable2718},
    network::{Ethereum, TxSignerSync},
    primitives::{Address, Bytes, TxKind, U256, utils::Unit},
    providers::{DynProvider, Provider, ProviderBuilder, ext::AnvilApi},
    rpc::types::{Header, TransactionRequest},
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use eyre::ContextCompat;
use futures_util::{Stream, StreamExt};
use plimsoll_chain::endpoint::Endpoint;
use plimsoll_contracts::IOracle;
use plimsoll_testkit::deployment::Suite;

/// Gas limit of a transfer.
const TRANSFER_GAS: u64 = 21_000;
/// A maximum fee per gas that no block of these chains exceeds: 1,000 gwei.
const MAX_FEE: u128 = 1_000_000_000_000;

/// A client with a connection for heads and one for requests, as a keeper has them.
pub(super) struct BareClient {
    heads: Pin<Box<dyn Stream<Item = Header> + Send>>,
    // The subscription ends with its connection.
    _announcer: DynProvider,
    provider: DynProvider,
    oracle: Address,
    signer: PrivateKeySigner,
    chain_id: u64,
    nonce: u64,
}

impl BareClient {
    /// Connects to the node at `url`, and funds an account of its own.
    ///
    /// # Errors
    /// When the node refuses a connection or a request.
    pub(super) async fn start(suite: &Suite, url: &str, oracle: Address) -> eyre::Result<Self> {
        let signer = PrivateKeySigner::random();
        suite.devnet.provider().anvil_set_balance(signer.address(), Unit::ETHER.wei() * U256::from(100)).await?;
        let (announcer, provider) = (connect(url).await?, connect(url).await?);
        let heads = Box::pin(announcer.subscribe_blocks().await?.into_stream());
        let chain_id = provider.get_chain_id().await?;
        Ok(Self { heads, _announcer: announcer, provider, oracle, signer, chain_id, nonce: 0 })
    }

    /// Waits for the head of this number, reads a price in it, and sends a transaction.
    ///
    /// # Errors
    /// When the node does not answer, or refuses the transaction.
    pub(super) async fn respond(&mut self, number: u64) -> eyre::Result<()> {
        let head = loop {
            let head = self.heads.next().await.wrap_err("the node closed the bare client's connection")?;
            if head.number == number {
                break head;
            }
        };
        let data: Bytes = IOracle::liquidationPriceCall {}.abi_encode().into();
        let call = TransactionRequest::default().to(self.oracle).input(data.into());
        self.provider.call(call).block(BlockId::from(head.hash)).await?;
        let mut transfer = TxEip1559 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit: TRANSFER_GAS,
            max_fee_per_gas: MAX_FEE,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(self.signer.address()),
            ..TxEip1559::default()
        };
        let signature = self.signer.sign_transaction_sync(&mut transfer)?;
        let signed = TxEnvelope::from(transfer.into_signed(signature));
        let _pending = self.provider.send_raw_transaction(&signed.encoded_2718()).await?;
        self.nonce += 1;
        Ok(())
    }
}

async fn connect(url: &str) -> eyre::Result<DynProvider> {
    let endpoint: Endpoint = url.parse()?;
    Ok(ProviderBuilder::<_, _, Ethereum>::default().connect_client(endpoint.client().await?).erased())
}
