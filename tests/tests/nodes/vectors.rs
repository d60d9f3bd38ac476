//! Ids and digests of x402's published client, of the contract and of our Rust are the same, on random channels.

use alloy::{
    primitives::{Address, B256, Bytes, U256, aliases::U40},
    providers::Provider,
    signers::{SignerSync, local::PrivateKeySigner},
};
use eyre::{WrapErr, ensure};
use plimsoll_channels::{Channels, ClaimEntry, SETTLEMENT, recover_signer};
use plimsoll_contracts::IChannels::{self, ChannelConfig, IChannelsInstance, VoucherClaim};
use plimsoll_testkit::{devnet::Devnet, x402};
use serde::Deserialize;

const COUNT: usize = 1_000;
const SEED: &str = "plimsoll";

/// What the script prints.
#[derive(Deserialize)]
struct Printed {
    settlement: Address,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    config: Config,
    channel_id: B256,
    max_claimable_amount: String,
    signature: Bytes,
    total_claimed: String,
    refund_amount: String,
    nonce: String,
    refund_digest: B256,
    batch_digest: B256,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    payer: Address,
    payer_authorizer: Address,
    receiver: Address,
    receiver_authorizer: Address,
    token: Address,
    withdraw_delay: u64,
    salt: B256,
}

impl Config {
    fn channel(&self) -> ChannelConfig {
        ChannelConfig {
            payer: self.payer,
            payerAuthorizer: self.payer_authorizer,
            receiver: self.receiver,
            receiverAuthorizer: self.receiver_authorizer,
            token: self.token,
            withdrawDelay: U40::from(self.withdraw_delay),
            salt: self.salt,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_contract_and_rust_compute_the_same_ids_and_digests() -> eyre::Result<()> {
    let devnet = Devnet::start().await?;
    x402::place_channels(&devnet).await?;
    let chain_id = devnet.provider().get_chain_id().await?;
    let arguments = [chain_id.to_string(), COUNT.to_string(), SEED.to_owned()];
    let Some(printed) = x402::run_script("vectors.mjs", &arguments)? else { return Ok(()) };
    let printed: Printed = serde_json::from_value(printed)?;
    ensure!(printed.settlement == SETTLEMENT && printed.vectors.len() == COUNT, "other vectors than were asked for");

    let (ours, contract) = (Channels::new(chain_id, SETTLEMENT), IChannels::new(SETTLEMENT, devnet.provider()));
    let mut before = None;
    for (index, vector) in printed.vectors.iter().enumerate() {
        let row = check(vector, before, &ours, &contract).await.wrap_err_with(|| format!("vector {index}"))?;
        before = Some(row);
    }
    Ok(())
}

/// Compares a vector. Its batch of claims begins with the row `before`, if there is one.
async fn check<P: Provider>(
    vector: &Vector,
    before: Option<VoucherClaim>,
    ours: &Channels,
    contract: &IChannelsInstance<P>,
) -> eyre::Result<VoucherClaim> {
    let (config, ceiling) = (vector.config.channel(), vector.max_claimable_amount.parse()?);
    let id = vector.channel_id;
    ensure!(ours.channel_id(&config) == id, "Rust: id");
    ensure!(contract.getChannelId(config.clone()).call().await? == id, "contract: id");

    let digest = ours.voucher_digest(id, ceiling);
    ensure!(contract.getVoucherDigest(id, ceiling).call().await? == digest, "contract: voucher");
    ensure!(recover_signer(digest, &vector.signature)? == config.payerAuthorizer, "the client signed another voucher");

    let (nonce, amount): (U256, u128) = (vector.nonce.parse()?, vector.refund_amount.parse()?);
    ensure!(ours.refund_digest(id, nonce, amount) == vector.refund_digest, "Rust: refund");
    let theirs = contract.getRefundDigest(id, nonce, amount).call().await?;
    ensure!(theirs == vector.refund_digest, "contract: refund");

    let row = VoucherClaim {
        voucher: IChannels::Voucher { channel: config, maxClaimableAmount: ceiling },
        signature: vector.signature.clone(),
        totalClaimed: vector.total_claimed.parse()?,
    };
    let rows: Vec<_> = before.into_iter().chain([row.clone()]).collect();
    let entry = |row: &VoucherClaim| ClaimEntry {
        channelId: ours.channel_id(&row.voucher.channel),
        maxClaimableAmount: row.voucher.maxClaimableAmount,
        totalClaimed: row.totalClaimed,
    };
    ensure!(ours.claim_batch_digest(rows.iter().map(entry).collect()) == vector.batch_digest, "Rust: batch");
    ensure!(contract.getClaimBatchDigest(rows).call().await? == vector.batch_digest, "contract: batch");
    Ok(row)
}

/// The comparison above can fail: a digest of another chain or another address is another one.
#[test]
fn a_digest_belongs_to_one_contract_on_one_chain() -> eyre::Result<()> {
    let signer = PrivateKeySigner::random();
    let voucher = |channels: &Channels| channels.voucher_digest(B256::ZERO, 1);
    let ours = Channels::new(1, SETTLEMENT);
    let signature = signer.sign_hash_sync(&voucher(&ours))?.as_bytes();
    ensure!(recover_signer(voucher(&ours), &signature)? == signer.address());
    for other in [Channels::new(2, SETTLEMENT), Channels::new(1, Address::ZERO)] {
        ensure!(recover_signer(voucher(&other), &signature) != Ok(signer.address()));
    }
    Ok(())
}
