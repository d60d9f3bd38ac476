//! Execution gas of the channels contract's calls: of the transaction, less 21,000 and its calldata.

use alloy::{
    consensus::Transaction as _,
    primitives::{Address, Bytes, U256},
    providers::Provider,
    rpc::types::{Filter, TransactionRequest},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolEvent},
};
use eyre::{ContextCompat, ensure};
use plimsoll_channels::{
    Amount, Channels, SETTLEMENT, WireConfig,
    claims::{Batch, Row},
};
use plimsoll_contracts::IChannels;
use plimsoll_keeper::strategies::gas::intrinsic_gas;
use plimsoll_testkit::devnet::mined;
use serde::Serialize;

use super::network::Network;

/// Rows of the larger claim.
const ROWS: u64 = 10;
const DEPOSIT: u128 = 1_000;

/// What the calls cost, and what x402 publishes about its own contract: the snapshot of its Foundry tests, in which a call
/// is measured inside of a transaction and a token does not check the signature of a deposit.
#[derive(Debug, Serialize)]
pub struct Gas {
    /// The first claim of a receiver, of one channel.
    pub first_claim: Beside,
    /// Each further channel in a claim.
    pub further_claim: Beside,
    /// Paying out what a receiver has claimed.
    pub settle: Beside,
    /// A first deposit by the collector, with the check of the payer's signature here.
    pub deposit: Beside,
}

/// Two figures.
#[derive(Debug, Serialize)]
pub struct Beside {
    /// Ours.
    pub ours: u64,
    /// That of the canonical contract, as published.
    pub canonical: u64,
}

/// Measures calls on the network's chain, with payers and receivers of its own.
pub(super) async fn measure(network: &Network) -> eyre::Result<Gas> {
    let provider = network.suite.provider();
    let keeper = network.suite.devnet.account(0)?;
    let channels = Channels::new(provider.get_chain_id().await?, SETTLEMENT);
    let signer = PrivateKeySigner::random();
    network.suite.devnet.mint_and_approve(network.token, keeper, U256::from(100 * DEPOSIT), SETTLEMENT).await?;
    let mut claims = Vec::new();
    let mut receiver = Address::ZERO;
    for rows in [1, ROWS] {
        // Of a receiver that has never been paid.
        let authorizer = PrivateKeySigner::random();
        receiver = authorizer.address();
        let mut configs = Vec::new();
        for salt in 0..rows {
            let config = WireConfig {
                payer: keeper,
                payer_authorizer: signer.address(),
                receiver,
                receiver_authorizer: authorizer.address(),
                token: network.token,
                withdraw_delay: 3_600,
                salt: U256::from(salt).into(),
            };
            let chain_config = config.to_config().wrap_err("the delay")?;
            mined(IChannels::new(SETTLEMENT, provider).depositFrom(chain_config, DEPOSIT).from(keeper)).await?;
            configs.push(config);
        }
        let row = |config: &WireConfig| -> eyre::Result<Row> {
            let id = channels.channel_id(&config.to_config().wrap_err("the delay")?);
            let signature = signer.sign_hash_sync(&channels.voucher_digest(id, DEPOSIT))?.as_bytes().into();
            let (max_claimable_amount, total_claimed) = (Amount(DEPOSIT), Amount(DEPOSIT));
            Ok(Row { channel_config: config.clone(), max_claimable_amount, signature, total_claimed })
        };
        let mut batch = Batch {
            receiver,
            receiver_authorizer: authorizer.address(),
            token: network.token,
            claims: configs.iter().map(row).collect::<eyre::Result<_>>()?,
            authorizer_signature: Bytes::new(),
        };
        batch.authorizer_signature = authorizer.sign_hash_sync(&batch.digest(&channels)?)?.as_bytes().into();
        claims.push(execute(network, keeper, batch.verify(&channels)?.claim_call().abi_encode()).await?);
    }
    let (first, many) = (claims.first().copied().unwrap_or_default(), claims.last().copied().unwrap_or_default());
    let settle = IChannels::settleCall { receiver, token: network.token }.abi_encode();
    let beside = |ours, canonical| Beside { ours, canonical };
    Ok(Gas {
        first_claim: beside(first, 40_252),
        further_claim: beside((many - first) / (ROWS - 1), 16_866),
        settle: beside(execute(network, keeper, settle).await?, 31_204),
        deposit: beside(first_deposit(network).await?, 111_738),
    })
}

/// Sends a call and returns its execution gas.
async fn execute(network: &Network, from: Address, call: Vec<u8>) -> eyre::Result<u64> {
    let beyond = intrinsic_gas(&call);
    let request = TransactionRequest::default().from(from).to(SETTLEMENT).input(Bytes::from(call).into());
    let sent = network.suite.provider().send_transaction(request).await?.get_receipt().await?;
    ensure!(sent.status(), "the call reverted");
    Ok(sent.gas_used - beyond)
}

/// Execution gas of the network's first deposit, which a daemon has sent for a client.
async fn first_deposit(network: &Network) -> eyre::Result<u64> {
    let provider = network.suite.provider();
    let filter = Filter::new().address(SETTLEMENT).event_signature(IChannels::Deposited::SIGNATURE_HASH).from_block(0);
    let logs = provider.get_logs(&filter).await?;
    let hash = logs.first().and_then(|log| log.transaction_hash).wrap_err("no deposit")?;
    let sent = provider.get_transaction_by_hash(hash).await?.wrap_err("no transaction")?;
    let receipt = provider.get_transaction_receipt(hash).await?.wrap_err("no receipt")?;
    Ok(receipt.gas_used - intrinsic_gas(sent.input()))
}
