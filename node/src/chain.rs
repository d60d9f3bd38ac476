//! The chain as the gate needs it: a channel's state when it is asked for, deposits, claims and refunds.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use alloy::{
    network::EthereumWallet,
    primitives::{Address, B256, Bytes, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolValue},
};
use eyre::{WrapErr, ensure};
use plimsoll_chain::{local::LocalChain, signer::SignerSource};
use plimsoll_channels::{Channels, ClaimEntry};
use plimsoll_contracts::IChannels::{self, VoucherClaim};
use tokio::sync::Mutex as Lock;

use crate::{config::Config, store::Channel, x402::Erc3009};

const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(240);
/// Rows of one claim.
const BATCH: usize = 50;

pub(crate) struct Chain {
    provider: DynProvider,
    address: Address,
    collector: Address,
    confirmations: u64,
    max_silence: Duration,
    pub(crate) channels: Channels,
    pub(crate) authorizer: PrivateKeySigner,
    heard: Mutex<Instant>,
    /// Transactions are sent one after the other, each with the nonce after the last.
    sending: Lock<()>,
}

/// A channel on the chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnChain {
    pub(crate) balance: u128,
    pub(crate) claimed: u128,
    pub(crate) withdrawing: u128,
    pub(crate) withdraw_requested_at: u64,
    pub(crate) refund_nonce: U256,
}

impl Chain {
    pub(crate) async fn connect(config: &Config) -> eyre::Result<Self> {
        let endpoint = config.chain.endpoint()?;
        let client = endpoint.client().await?;
        let local = LocalChain::detect(&endpoint, &client).await?;
        let load = |source: &SignerSource, name: &str| source.load(local).wrap_err_with(|| format!("keys.{name}"));
        let (authorizer, sender) = (load(&config.keys.authorizer, "authorizer")?, load(&config.keys.sender, "sender")?);
        let provider = ProviderBuilder::default()
            .with_simple_nonce_management()
            .with_gas_estimation()
            .fetch_chain_id()
            .wallet(EthereumWallet::from(sender))
            .connect_client(client)
            .erased();
        let id = provider.get_chain_id().await?;
        ensure!(
            id == config.chain.chain_id,
            "the node is on chain {id}, the configuration on {}",
            config.chain.chain_id
        );
        for (name, address) in [("channels", config.chain.channels), ("collector", config.chain.collector)] {
            let code = provider.get_code_at(address).await?;
            ensure!(!code.is_empty(), "there is no contract at {address}, which chain.{name} names");
        }
        Ok(Self {
            provider,
            address: config.chain.channels,
            collector: config.chain.collector,
            confirmations: config.chain.confirmations,
            max_silence: Duration::from_secs(config.chain.max_silence_seconds),
            channels: Channels::new(id, config.chain.channels),
            authorizer,
            heard: Mutex::new(Instant::now()),
            sending: Lock::new(()),
        })
    }

    /// Whether the chain was heard of lately. Without it nothing is served.
    pub(crate) fn is_fresh(&self) -> bool {
        self.heard.lock().is_ok_and(|heard| heard.elapsed() <= self.max_silence)
    }

    fn hear(&self) {
        if let Ok(mut heard) = self.heard.lock() {
            *heard = Instant::now();
        }
    }

    /// Reads a channel's state from the newest block.
    pub(crate) async fn state(&self, id: B256) -> eyre::Result<OnChain> {
        let contract = IChannels::new(self.address, &self.provider);
        let (state, pending, nonce) =
            (contract.channels(id), contract.pendingWithdrawals(id), contract.refundNonce(id));
        let (state, pending, nonce) =
            tokio::try_join!(async { state.call().await }, async { pending.call().await }, async {
                nonce.call().await
            })?;
        self.hear();
        Ok(OnChain {
            balance: state.balance,
            claimed: state.totalClaimed,
            withdrawing: pending.amount,
            withdraw_requested_at: pending.initiatedAt.to(),
            refund_nonce: nonce,
        })
    }

    async fn send(&self, call: Vec<u8>) -> eyre::Result<B256> {
        let request = alloy::rpc::types::TransactionRequest::default().to(self.address).input(Bytes::from(call).into());
        let _one_at_a_time = self.sending.lock().await;
        // Simulated first: a transaction that reverts costs gas.
        let sender = self.provider.clone();
        sender.call(request.clone()).await.wrap_err("the transaction would revert")?;
        let pending = sender.send_transaction(request).await?;
        let hash = *pending.tx_hash();
        let confirmed = pending.with_required_confirmations(self.confirmations).with_timeout(Some(TRANSACTION_TIMEOUT));
        let receipt = confirmed.get_receipt().await.wrap_err_with(|| format!("the transaction {hash} is not mined"))?;
        ensure!(receipt.status(), "the transaction {hash} reverted");
        Ok(hash)
    }

    /// Brings a payer's deposit. The caller judges success by the channel's balance: anybody may have sent it first.
    pub(crate) async fn deposit(
        &self,
        config: IChannels::ChannelConfig,
        amount: u128,
        authorization: &Erc3009,
    ) -> eyre::Result<B256> {
        let (after, before) = (U256::from(authorization.valid_after.0), U256::from(authorization.valid_before.0));
        let data = (after, before, authorization.salt, authorization.signature.clone()).abi_encode_params();
        let call = IChannels::depositCall { config, amount, collector: self.collector, collectorData: data.into() };
        self.send(call.abi_encode()).await
    }

    fn claim_call(&self, rows: &[(Channel, VoucherClaim)]) -> eyre::Result<Vec<u8>> {
        let entries = rows.iter().map(|(channel, row)| ClaimEntry {
            channelId: channel.id,
            maxClaimableAmount: row.voucher.maxClaimableAmount,
            totalClaimed: row.totalClaimed,
        });
        let digest = self.channels.claim_batch_digest(entries.collect());
        let signature = self.authorizer.sign_hash_sync(&digest)?.as_bytes().into();
        let voucher_claims = rows.iter().map(|(_, row)| row.clone()).collect();
        let call = IChannels::claimWithSignatureCall { voucherClaims: voucher_claims, authorizerSignature: signature };
        Ok(call.abi_encode())
    }

    /// Claims what was charged on these channels, and pays it out. Returns the transactions' hashes.
    pub(crate) async fn claim(&self, channels: &[Channel]) -> eyre::Result<Vec<B256>> {
        let mut hashes = Vec::new();
        for batch in channels.chunks(BATCH) {
            let rows = batch.iter().map(row).collect::<eyre::Result<Vec<_>>>()?;
            let Some((first, _)) = rows.first() else { continue };
            let (receiver, token) = (first.config.receiver, first.config.token);
            let settle = IChannels::settleCall { receiver, token }.abi_encode();
            let calls = vec![self.claim_call(&rows)?.into(), settle.into()];
            hashes.push(self.send(IChannels::multicallCall { calls }.abi_encode()).await?);
        }
        Ok(hashes)
    }

    /// Claims what was charged on a channel and gives back `amount` in one transaction.
    pub(crate) async fn refund(&self, channel: &Channel, state: OnChain, amount: u128) -> eyre::Result<B256> {
        let mut calls: Vec<Bytes> = Vec::new();
        if channel.charged > state.claimed {
            calls.push(self.claim_call(&[row(channel)?])?.into());
        }
        let (_, claim) = row(channel)?;
        let digest = self.channels.refund_digest(channel.id, state.refund_nonce, amount);
        let call = IChannels::refundWithSignatureCall {
            config: claim.voucher.channel,
            amount,
            nonce: state.refund_nonce,
            receiverAuthorizerSignature: self.authorizer.sign_hash_sync(&digest)?.as_bytes().into(),
        };
        calls.push(call.abi_encode().into());
        self.send(IChannels::multicallCall { calls }.abi_encode()).await
    }
}

fn row(channel: &Channel) -> eyre::Result<(Channel, VoucherClaim)> {
    let config = channel.config.to_config();
    let config = config.ok_or_else(|| eyre::eyre!("the store's channel {} has an impossible delay", channel.id))?;
    let voucher = IChannels::Voucher { channel: config, maxClaimableAmount: channel.signed };
    let signature = channel.signature.clone().into();
    Ok((channel.clone(), VoucherClaim { voucher, signature, totalClaimed: channel.charged }))
}
