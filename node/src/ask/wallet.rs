//! A client's key and what it needs of the chain; and what can be done with a channel besides asking.

use std::{borrow::Cow, path::PathBuf};

use alloy::{
    primitives::{Address, B256, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    signers::{SignerSync, local::PrivateKeySigner},
    sol,
    sol_types::{Eip712Domain, SolCall, SolStruct},
};
use eyre::{ContextCompat, WrapErr, bail, ensure};
use plimsoll_chain::{endpoint::Endpoint, local::LocalChain, signer::SignerSource};
use plimsoll_channels::{Channels, ERC3009_COLLECTOR, SETTLEMENT};
use plimsoll_contracts::{IChannels, IJobs, INodes};
use serde_json::{Value, json};

use super::{
    Session, amount_of, client, decode_header,
    ledger::{Account, Ledger},
};
use crate::{
    config::Fees,
    journal::Journal,
    receipt::ReceiptFile,
    sender::Sender,
    x402::{self, Amount},
};

sol! {
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    #[sol(rpc)]
    interface IToken {
        function balanceOf(address account) external view returns (uint256);
        function approve(address spender, uint256 amount) external returns (bool);
    }
}

/// Who pays, on which chain, in which token.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Wallet {
    /// The client's own store of what it signed and was charged.
    #[arg(long, default_value = "ask-data/ledger.sqlite")]
    pub(crate) ledger: PathBuf,
    /// URL of a node of the chain.
    #[arg(long)]
    rpc: Option<String>,
    /// Environment variable that holds that URL.
    #[arg(long, conflicts_with = "rpc", default_value = "ETH_RPC_URL")]
    rpc_env: String,
    /// The token that is paid in; no other one is.
    #[arg(long)]
    token: Address,
    /// Environment variable that holds the payer's key.
    #[arg(long, default_value = "NODE_PAYER_KEY")]
    key_env: String,
    /// One of Anvil's own accounts instead, on a local Anvil only.
    #[arg(long, conflicts_with = "key_env")]
    anvil: Option<usize>,
    /// Tells apart channels of one payer and node, which serves one request of a channel at a time.
    #[arg(long, default_value_t = 0)]
    pub(crate) salt: u64,
    /// The channels contract.
    #[arg(long, default_value_t = SETTLEMENT)]
    channels: Address,
    /// The collector of deposits by ERC-3009.
    #[arg(long, default_value_t = ERC3009_COLLECTOR)]
    collector: Address,
}

/// What can be done with a client's channels.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ChannelCommand {
    /// List the channels with what was charged, signed for, and is left.
    List,
    /// Have the node give the rest back at once.
    Refund {
        /// Id of the channel; it may be left out if there is only one.
        #[arg(long)]
        id: Option<B256>,
    },
    /// Announce to leave: all that is not claimed after the channel's delay comes back by `finalize`.
    Withdraw {
        /// Id of the channel; it may be left out if there is only one.
        #[arg(long)]
        id: Option<B256>,
    },
    /// Take the money out after the delay.
    Finalize {
        /// Id of the channel; it may be left out if there is only one.
        #[arg(long)]
        id: Option<B256>,
    },
    /// Print the last receipt with its input, for `verify` and `audit`.
    Receipt {
        /// Id of the channel; it may be left out if there is only one.
        #[arg(long)]
        id: Option<B256>,
    },
}

/// A channel on the chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnChain {
    pub(super) balance: u128,
    pub(super) claimed: u128,
    pub(super) withdrawing: u128,
}

/// A key with its chain.
pub(crate) struct Payer {
    pub(super) key: PrivateKeySigner,
    provider: DynProvider,
    pub(super) chain_id: u64,
    pub(super) token: Address,
    pub(super) channels: Channels,
    address: Address,
    collector: Address,
    /// Where its transactions are written down before they are sent.
    ledger: PathBuf,
}

impl Wallet {
    pub(crate) async fn open(&self) -> eyre::Result<Payer> {
        let url = match &self.rpc {
            Some(url) => url.clone(),
            None => std::env::var(&self.rpc_env)
                .wrap_err_with(|| format!("name the chain's node by --rpc, or by the variable {}", self.rpc_env))?,
        };
        let endpoint: Endpoint = url.parse().wrap_err("the chain's node")?;
        let client = endpoint.client().await?;
        let local = LocalChain::detect(&endpoint, &client).await?;
        let source = self.anvil.map_or_else(|| SignerSource::Environment(self.key_env.clone()), SignerSource::Anvil);
        let key = source.load(local).wrap_err("the payer's key")?;
        let provider = ProviderBuilder::default().connect_client(client).erased();
        let chain_id = provider.get_chain_id().await?;
        let channels = Channels::new(chain_id, self.channels);
        let (token, address, collector) = (self.token, self.channels, self.collector);
        let ledger = self.ledger.clone();
        Ok(Payer { key, provider, chain_id, token, channels, address, collector, ledger })
    }
}

impl Payer {
    pub(super) const fn address(&self) -> Address {
        self.key.address()
    }

    pub(super) async fn balance(&self) -> eyre::Result<U256> {
        Ok(IToken::new(self.token, &self.provider).balanceOf(self.address()).call().await?)
    }

    pub(super) async fn state(&self, id: B256) -> eyre::Result<OnChain> {
        let contract = IChannels::new(self.address, &self.provider);
        let state = contract.channels(id).call().await.wrap_err("the channels contract")?;
        let pending = contract.pendingWithdrawals(id).call().await?;
        Ok(OnChain { balance: state.balance, claimed: state.totalClaimed, withdrawing: pending.amount })
    }

    /// What the payer signs so that the collector may take a deposit for one channel.
    pub(super) fn deposit_digest(&self, name: &str, version: &str, amount: u128, before: u64, nonce: B256) -> B256 {
        let domain = Eip712Domain::new(
            Some(Cow::Owned(name.to_owned())),
            Some(Cow::Owned(version.to_owned())),
            Some(U256::from(self.chain_id)),
            Some(self.token),
            None,
        );
        ReceiveWithAuthorization {
            from: self.address(),
            to: self.collector,
            value: U256::from(amount),
            validAfter: U256::ZERO,
            validBefore: U256::from(before),
            nonce,
        }
        .eip712_signing_hash(&domain)
    }

    /// Fails unless a bonded node of the kind has this signer.
    pub(super) async fn check_registered(&self, jobs: Address, signer: Address, kind: B256) -> eyre::Result<()> {
        let registry =
            IJobs::new(jobs, &self.provider).nodes().call().await.wrap_err("--jobs names no such contract")?;
        let nodes = INodes::new(registry, &self.provider);
        for id in 1..=nodes.count().call().await? {
            if nodes.signerOf(id).call().await? == signer && nodes.kindOf(id).call().await? == kind {
                // Of what is paused, jailed or not bonded, nothing is staked.
                let node = nodes.node(id).call().await?;
                ensure!(
                    !node.paused && node.jailedUntil.is_zero() && node.emissionStake > 0,
                    "node {id} is paused, jailed or not bonded"
                );
                return Ok(());
            }
        }
        bail!("no registered node of the kind signs by {signer}")
    }

    /// Sends a call as the daemon does its own. The ledger must be this process's. A call that was signed before a crash is
    /// finished, and not made twice.
    async fn send(&self, to: Address, call: Vec<u8>) -> eyre::Result<B256> {
        let journal = Journal::open(&self.ledger, self.chain_id, self.address())?;
        let (provider, key) = (self.provider.clone(), self.key.clone());
        Sender::new(provider, key, self.chain_id, journal, Fees::default(), 1).send(to, call).await
    }

    /// Posts an audit of a receipt. Returns the transaction's hash and the price.
    pub(crate) async fn audit(&self, file: &ReceiptFile, seats: u8, price: Option<u128>) -> eyre::Result<(B256, u128)> {
        let _owned = Ledger::open(&self.ledger)?;
        let receipt = &file.receipt;
        let jobs = IJobs::new(receipt.jobs, &self.provider);
        let config = jobs.config().call().await.wrap_err_with(|| format!("{} is no Jobs contract", receipt.jobs))?;
        let least: u128 = jobs.smallestPrice(U256::from(seats)).call().await?.to();
        let price = price.unwrap_or(least);
        ensure!(price >= least, "an audit by {seats} seats costs at least {least}; --price is {price}");
        let approve = IToken::approveCall { spender: receipt.jobs, amount: U256::from(price) };
        self.send(config.token, approve.abi_encode()).await?;
        let call = IJobs::auditCall {
            receipt: receipt.to_contract()?,
            signature: receipt.signature.clone(),
            input: alloy::hex::decode(&file.input).wrap_err("the input")?.into(),
            price,
            k: seats,
        };
        Ok((self.send(receipt.jobs, call.abi_encode()).await?, price))
    }
}

fn chosen(ledger: &Ledger, id: Option<B256>) -> eyre::Result<Account> {
    let mut accounts = ledger.accounts()?;
    match id {
        Some(id) => ledger.account(id)?.wrap_err_with(|| format!("the ledger has no channel {id}")),
        None if accounts.len() == 1 => accounts.pop().wrap_err("the ledger has no channel"),
        None => bail!("the ledger has {} channels; name one by --id", accounts.len()),
    }
}

/// Does something with a client's channels and returns what is printed.
pub(crate) async fn run(wallet: &Wallet, command: &ChannelCommand) -> eyre::Result<Value> {
    let ledger = Ledger::open(&wallet.ledger)?;
    if let ChannelCommand::Receipt { id } = command {
        let file = ledger.last_receipt(chosen(&ledger, *id)?.id)?.wrap_err("the channel has no receipt")?;
        return Ok(serde_json::from_str(&file)?);
    }
    let purse = wallet.open().await?;
    match command {
        ChannelCommand::List => {
            let mut rows = Vec::new();
            for account in ledger.accounts()? {
                let state = purse.state(account.id).await?;
                rows.push(json!({
                    "channel": account.id,
                    "url": account.url,
                    "charged": Amount(account.charged),
                    "signed": Amount(account.signed),
                    "balance": Amount(state.balance),
                    "claimed": Amount(state.claimed),
                    "withdrawing": Amount(state.withdrawing),
                    "stopped": account.stopped,
                }));
            }
            Ok(json!(rows))
        }
        ChannelCommand::Refund { id } => {
            let mut account = chosen(&ledger, *id)?;
            let session = Session { http: client()?, url: &account.url.clone(), purse: &purse };
            // The voucher of a refund is over exactly what was charged.
            session.synchronise(&mut account).await?;
            ledger.keep(&account)?;
            refund(&purse, &account).await
        }
        ChannelCommand::Withdraw { id } => {
            let account = chosen(&ledger, *id)?;
            let state = purse.state(account.id).await?;
            let amount = state.balance.saturating_sub(state.claimed);
            ensure!(amount > 0, "the channel has nothing that is not claimed");
            let config = account.config.to_config().wrap_err("the delay")?;
            let call = IChannels::initiateWithdrawCall { config, amount };
            let transaction = purse.send(purse.address, call.abi_encode()).await?;
            let delay = account.config.withdraw_delay;
            Ok(json!({"transaction": transaction, "amount": Amount(amount), "finalizeAfterSeconds": delay}))
        }
        ChannelCommand::Finalize { id } => {
            let account = chosen(&ledger, *id)?;
            let config = account.config.to_config().wrap_err("the delay")?;
            let call = IChannels::finalizeWithdrawCall { config };
            Ok(json!({"transaction": purse.send(purse.address, call.abi_encode()).await?}))
        }
        ChannelCommand::Receipt { .. } => Ok(Value::Null),
    }
}

async fn refund(purse: &Payer, account: &Account) -> eyre::Result<Value> {
    let http = client()?;
    let url = format!("{}/v1/chat/completions", account.url);
    let unpaid = http.get(&url).send().await.wrap_err_with(|| format!("{} does not answer", account.url))?;
    let required = decode_header(&unpaid, x402::REQUIRED)?.wrap_err("the node offers no refund")?;
    let signature = purse.key.sign_hash_sync(&purse.channels.voucher_digest(account.id, account.charged))?;
    let payment = json!({
        "x402Version": 2,
        "accepted": required["accepts"][0],
        "payload": {
            "type": "refund",
            "channelConfig": account.config,
            "voucher": {
                "channelId": account.id,
                "maxClaimableAmount": Amount(account.charged),
                "signature": alloy::hex::encode_prefixed(signature.as_bytes()),
            },
        },
    });
    let response = http.get(&url).header(x402::SIGNATURE, x402::encode(&payment)).send().await?;
    if !response.status().is_success() {
        let error = decode_header(&response, x402::REQUIRED)?.map(|required| required["error"].clone());
        bail!("the node gives nothing back: {}. `channel withdraw` needs no consent", error.unwrap_or_default());
    }
    let payment = decode_header(&response, x402::RESPONSE)?.wrap_err("an answer without PAYMENT-RESPONSE")?;
    let amount = amount_of(&payment["amount"])?;
    Ok(json!({"transaction": payment["transaction"], "amount": Amount(amount)}))
}
