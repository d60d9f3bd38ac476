//! The chain as the gate needs it: a channel's state when it is asked for, deposits, claims and refunds.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolValue},
};
use eyre::{WrapErr, ensure};
use plimsoll_chain::{local::LocalChain, signer::SignerSource};
use plimsoll_channels::{Channels, claims};
use plimsoll_contracts::{IChannels, ITipJar};

use crate::{
    config::Config,
    journal::Journal,
    sender::Sender,
    store::Channel,
    x402::{Amount, Erc3009},
};

pub(crate) struct Chain {
    pub(crate) provider: DynProvider,
    pub(crate) sender: Sender,
    pub(crate) address: Address,
    collector: Address,
    /// Whether the receiver is a jar, which keepers collect from.
    is_jar: bool,
    max_silence: Duration,
    pub(crate) channels: Channels,
    pub(crate) authorizer: PrivateKeySigner,
    heard: Mutex<Instant>,
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
    /// `config.store` must be open, as this process's.
    pub(crate) async fn connect(config: &Config) -> eyre::Result<Self> {
        let endpoint = config.chain.endpoint()?;
        let client = endpoint.client().await?;
        let local = LocalChain::detect(&endpoint, &client).await?;
        let load = |source: &SignerSource, name: &str| source.load(local).wrap_err_with(|| format!("keys.{name}"));
        let (authorizer, sender) = (load(&config.keys.authorizer, "authorizer")?, load(&config.keys.sender, "sender")?);
        let provider = ProviderBuilder::default().connect_client(client).erased();
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
        let is_jar = config.claims.publish;
        if is_jar {
            let jar = config.payment.receiver;
            let channels = ITipJar::new(jar, &provider).channels().call().await;
            ensure!(
                channels.is_ok_and(|channels| channels == config.chain.channels),
                "claims.publish needs a TipJar of these channels as payment.receiver; {jar} is none. Deploy one, or leave \
                 claims.publish out"
            );
        }
        let (fees, confirmations) = (config.fees, config.chain.confirmations);
        let journal = Journal::open(&config.store, id, sender.address())?;
        Ok(Self {
            sender: Sender::new(provider.clone(), sender, id, journal, fees, confirmations),
            provider,
            address: config.chain.channels,
            collector: config.chain.collector,
            is_jar,
            max_silence: Duration::from_secs(config.chain.max_silence_seconds),
            channels: Channels::new(id, config.chain.channels),
            authorizer,
            heard: Mutex::new(Instant::now()),
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
        self.sender.send(self.address, call).await
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

    /// Signs claims of what was charged on these channels, which are of one receiver and token, in batches.
    pub(crate) fn sign_claims(&self, channels: &[Channel]) -> eyre::Result<Vec<claims::Batch>> {
        let batch = |rows: &[Channel]| -> eyre::Result<Option<claims::Batch>> {
            let Some(first) = rows.first() else { return Ok(None) };
            let mut batch = claims::Batch {
                receiver: first.config.receiver,
                receiver_authorizer: first.config.receiver_authorizer,
                token: first.config.token,
                claims: rows.iter().map(row).collect(),
                authorizer_signature: Bytes::new(),
            };
            let digest = batch.digest(&self.channels)?;
            batch.authorizer_signature = self.authorizer.sign_hash_sync(&digest)?.as_bytes().into();
            Ok(Some(batch))
        };
        channels.chunks(claims::MAX_ROWS).filter_map(|rows| batch(rows).transpose()).collect()
    }

    /// Claims what was charged on these channels, and pays it out. Returns the transactions' hashes.
    pub(crate) async fn claim(&self, channels: &[Channel]) -> eyre::Result<Vec<B256>> {
        let mut hashes = Vec::new();
        for batch in self.sign_claims(channels)? {
            let batch = batch.verify(&self.channels)?;
            let (receiver, token) = (batch.receiver, batch.token);
            if self.is_jar {
                hashes.push(self.sender.send(receiver, batch.collect_call().abi_encode()).await?);
                continue;
            }
            let settle = IChannels::settleCall { receiver, token }.abi_encode();
            let calls = vec![batch.claim_call().abi_encode().into(), settle.into()];
            hashes.push(self.send(IChannels::multicallCall { calls }.abi_encode()).await?);
        }
        Ok(hashes)
    }

    /// Claims what was charged on a channel and gives back `amount` in one transaction.
    pub(crate) async fn refund(&self, channel: &Channel, state: OnChain, amount: u128) -> eyre::Result<B256> {
        let mut calls: Vec<Bytes> = Vec::new();
        if channel.charged > state.claimed {
            for batch in self.sign_claims(std::slice::from_ref(channel))? {
                calls.push(batch.verify(&self.channels)?.claim_call().abi_encode().into());
            }
        }
        let config = channel.config.to_config();
        let config = config.ok_or_else(|| eyre::eyre!("the store's channel {} has an impossible delay", channel.id))?;
        let digest = self.channels.refund_digest(channel.id, state.refund_nonce, amount);
        let call = IChannels::refundWithSignatureCall {
            config,
            amount,
            nonce: state.refund_nonce,
            receiverAuthorizerSignature: self.authorizer.sign_hash_sync(&digest)?.as_bytes().into(),
        };
        calls.push(call.abi_encode().into());
        self.send(IChannels::multicallCall { calls }.abi_encode()).await
    }
}

fn row(channel: &Channel) -> claims::Row {
    claims::Row {
        channel_config: channel.config.clone(),
        max_claimable_amount: Amount(channel.signed),
        signature: channel.signature.clone().into(),
        total_claimed: Amount(channel.charged),
    }
}
