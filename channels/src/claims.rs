//! Claims that a service has signed and publishes, so that anybody can send them: the document, and its checks.
//!
//! A service whose receiver is a `TipJar` answers `GET` at [`PATH`] with a [`Published`] document. The sender of one of
//! its batches, by [`Verified::collect_call`], gets the tip of the jar. Sending a batch is harmless for the service, and
//! sending it twice, or an older one after a newer one, claims nothing twice: the contract skips rows that it has
//! claimed already.
//!
//! What a sender has to find out by itself, at the newest block: which rows still bring something
//! ([`Verified::claimable`]), what the receiver has not settled, and the jar's tip.

use alloy::primitives::{Address, B256, Bytes};
use plimsoll_contracts::{IChannels, ITipJar};
use serde::{Deserialize, Serialize};

use crate::{Amount, Channels, ClaimEntry, SignatureError, WireConfig, recover_signer};

/// Path below a service's URL at which it publishes its claims.
pub const PATH: &str = "/x402/claims";

/// Version of the document.
pub const VERSION: u32 = 1;

/// The most rows of a batch.
pub const MAX_ROWS: usize = 50;

/// The most batches of a document.
pub const MAX_BATCHES: usize = 20;

/// The longest document, in bytes. A reader need not take more.
pub const MAX_BYTES: usize = 2 << 20;

/// What a service publishes. Without anything to claim, `batches` is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// Version of the document: [`VERSION`].
    pub version: u32,
    /// Id of the chain.
    pub chain_id: u64,
    /// Address of the channels contract.
    pub channels: Address,
    /// Batches that can be sent in any order. A channel is in one of them at most.
    pub batches: Vec<Batch>,
}

/// A claim of some channels of one receiver and token, signed by their authoriser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Receiver of all rows: the `TipJar` that a sender calls.
    pub receiver: Address,
    /// Authoriser of all rows.
    pub receiver_authorizer: Address,
    /// Token of all rows.
    pub token: Address,
    /// The rows, in the order that was signed.
    pub claims: Vec<Row>,
    /// The authoriser's signature over the rows.
    pub authorizer_signature: Bytes,
}

/// A row of a batch: what one channel is claimed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Configuration of the channel that is claimed from.
    pub channel_config: WireConfig,
    /// Ceiling that the payer signed.
    pub max_claimable_amount: Amount,
    /// The payer's signature.
    pub signature: Bytes,
    /// What is claimed in all: what was charged, never more than the ceiling.
    pub total_claimed: Amount,
}

/// Why a document or batch cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimsError {
    /// It is longer than a reader has to take.
    #[error("the document has {0} bytes; at most {MAX_BYTES}")]
    Length(usize),
    /// It is not a document of claims.
    #[error("the document is not one of claims: {0}")]
    Format(String),
    /// It is of another version.
    #[error("the document is of version {0}; only {VERSION} is known")]
    Version(u32),
    /// It is for another contract.
    #[error("the document is for the channels {address} of chain {chain_id}")]
    OtherChannels {
        /// Id of the chain that it names.
        chain_id: u64,
        /// Address that it names.
        address: Address,
    },
    /// It has too many batches.
    #[error("the document has {0} batches; at most {MAX_BATCHES}")]
    Batches(usize),
    /// A batch has no rows, or too many.
    #[error("the batch has {0} rows; 1 to {MAX_ROWS}")]
    Rows(usize),
    /// A row is of another receiver, authoriser or token than its batch, or its delay is impossible.
    #[error("row {0} is of another receiver, authoriser or token than the batch, or its delay is impossible")]
    Mismatch(usize),
    /// A channel is in the batch twice.
    #[error("row {0} is of a channel that is in the batch already")]
    Twice(usize),
    /// The payer itself signs: what a contract has signed it can revoke.
    #[error("row {0} names no key that signs its vouchers")]
    NoPayerKey(usize),
    /// A row claims more than was signed.
    #[error("row {0} claims {1} of a voucher over {2}")]
    AboveCeiling(usize, u128, u128),
    /// A voucher is not signed by the channel's key.
    #[error("the voucher of row {0} is not signed by {1}{reason}", reason = .2.map(|error| format!(": {error}")).unwrap_or_default())]
    Voucher(usize, Address, Option<SignatureError>),
    /// The batch is not signed by its authoriser.
    #[error("the batch is not signed by {0}{reason}", reason = .1.map(|error| format!(": {error}")).unwrap_or_default())]
    Authorizer(Address, Option<SignatureError>),
}

impl Published {
    /// Reads a document for the channels contract at `channels` on the chain with this id. Its batches are not checked
    /// yet: see [`Batch::verify`].
    ///
    /// # Errors
    /// When the document is too long, of another version, or for another contract.
    pub fn parse(document: &[u8], chain_id: u64, channels: Address) -> Result<Self, ClaimsError> {
        if document.len() > MAX_BYTES {
            return Err(ClaimsError::Length(document.len()));
        }
        let published: Self =
            serde_json::from_slice(document).map_err(|error| ClaimsError::Format(error.to_string()))?;
        if published.version != VERSION {
            return Err(ClaimsError::Version(published.version));
        }
        if (published.chain_id, published.channels) != (chain_id, channels) {
            return Err(ClaimsError::OtherChannels { chain_id: published.chain_id, address: published.channels });
        }
        if published.batches.len() > MAX_BATCHES {
            return Err(ClaimsError::Batches(published.batches.len()));
        }
        Ok(published)
    }
}

/// A batch that the contract accepts as far as can be seen without the chain.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The jar, for batches of which anyone gets a part.
    pub receiver: Address,
    /// The token that is paid out.
    pub token: Address,
    /// Ids of the channels and what is claimed of each in all, in the order of the rows.
    pub rows: Vec<(B256, u128)>,
    claims: Vec<IChannels::VoucherClaim>,
    signature: Bytes,
}

impl Batch {
    /// Returns what the authoriser signs.
    ///
    /// # Errors
    /// When a delay is impossible.
    pub fn digest(&self, channels: &Channels) -> Result<B256, ClaimsError> {
        let entries = self.claims.iter().enumerate().map(|(index, row)| {
            let config = row.channel_config.to_config().ok_or(ClaimsError::Mismatch(index))?;
            Ok(ClaimEntry {
                channelId: channels.channel_id(&config),
                maxClaimableAmount: row.max_claimable_amount.0,
                totalClaimed: row.total_claimed.0,
            })
        });
        Ok(channels.claim_batch_digest(entries.collect::<Result<_, _>>()?))
    }

    /// Checks the rows and all signatures by the contract's rules.
    ///
    /// # Errors
    /// When the contract would refuse the batch, whatever is claimed already.
    pub fn verify(&self, channels: &Channels) -> Result<Verified, ClaimsError> {
        if self.claims.is_empty() || self.claims.len() > MAX_ROWS {
            return Err(ClaimsError::Rows(self.claims.len()));
        }
        let digest = self.digest(channels)?;
        let signed = recover_signer(digest, &self.authorizer_signature);
        if signed != Ok(self.receiver_authorizer) {
            return Err(ClaimsError::Authorizer(self.receiver_authorizer, signed.err()));
        }
        let (mut rows, mut claims) = (Vec::new(), Vec::new());
        for (index, row) in self.claims.iter().enumerate() {
            let wire = &row.channel_config;
            let config = wire.to_config().ok_or(ClaimsError::Mismatch(index))?;
            let of_batch = (self.receiver, self.receiver_authorizer, self.token);
            if (wire.receiver, wire.receiver_authorizer, wire.token) != of_batch {
                return Err(ClaimsError::Mismatch(index));
            }
            if wire.payer_authorizer == Address::ZERO {
                return Err(ClaimsError::NoPayerKey(index));
            }
            let (claimed, ceiling) = (row.total_claimed.0, row.max_claimable_amount.0);
            if claimed > ceiling {
                return Err(ClaimsError::AboveCeiling(index, claimed, ceiling));
            }
            let id = channels.channel_id(&config);
            if rows.iter().any(|(earlier, _)| *earlier == id) {
                return Err(ClaimsError::Twice(index));
            }
            let signed = recover_signer(channels.voucher_digest(id, ceiling), &row.signature);
            if signed != Ok(wire.payer_authorizer) {
                return Err(ClaimsError::Voucher(index, wire.payer_authorizer, signed.err()));
            }
            rows.push((id, claimed));
            claims.push(IChannels::VoucherClaim {
                voucher: IChannels::Voucher { channel: config, maxClaimableAmount: ceiling },
                signature: row.signature.clone(),
                totalClaimed: claimed,
            });
        }
        let (receiver, token, signature) = (self.receiver, self.token, self.authorizer_signature.clone());
        Ok(Verified { receiver, token, rows, claims, signature })
    }
}

impl Verified {
    /// Returns what sending the batch adds to what the receiver can settle. `state` tells a channel's balance and what
    /// is claimed of it, as `IChannels.channels` does.
    #[must_use]
    pub fn claimable(&self, state: impl Fn(B256) -> (u128, u128)) -> u128 {
        let row = |(id, total): &(B256, u128)| {
            let (balance, claimed) = state(*id);
            (*total).min(balance).saturating_sub(claimed)
        };
        self.rows.iter().map(row).fold(0, u128::saturating_add)
    }

    /// Returns the call of the jar, which is [`Self::receiver`]: it claims, settles, and pays out the tip.
    #[must_use]
    pub fn collect_call(&self) -> ITipJar::collectCall {
        ITipJar::collectCall {
            token: self.token,
            voucherClaims: self.claims.clone(),
            authorizerSignature: self.signature.clone(),
        }
    }

    /// Returns the claim alone, for the channels contract.
    #[must_use]
    pub fn claim_call(&self) -> IChannels::claimWithSignatureCall {
        IChannels::claimWithSignatureCall {
            voucherClaims: self.claims.clone(),
            authorizerSignature: self.signature.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::signers::{SignerSync, local::PrivateKeySigner};

    use super::*;
    use crate::SETTLEMENT;

    const CHAIN: u64 = 8453;

    struct Fixture {
        channels: Channels,
        payer: PrivateKeySigner,
        authorizer: PrivateKeySigner,
    }

    impl Fixture {
        fn new() -> Self {
            let [payer, authorizer] = [(); 2].map(|()| PrivateKeySigner::random());
            Self { channels: Channels::new(CHAIN, SETTLEMENT), payer, authorizer }
        }

        fn row(&self, salt: u8, max: u128, total: u128) -> eyre::Result<Row> {
            let config = WireConfig {
                payer: Address::repeat_byte(1),
                payer_authorizer: self.payer.address(),
                receiver: Address::repeat_byte(2),
                receiver_authorizer: self.authorizer.address(),
                token: Address::repeat_byte(3),
                withdraw_delay: 86_400,
                salt: B256::repeat_byte(salt),
            };
            self.signed(config, max, total)
        }

        fn signed(&self, config: WireConfig, max: u128, total: u128) -> eyre::Result<Row> {
            let id = self.channels.channel_id(&config.to_config().ok_or_else(|| eyre::eyre!("delay"))?);
            let signature = self.payer.sign_hash_sync(&self.channels.voucher_digest(id, max))?;
            Ok(Row {
                channel_config: config,
                max_claimable_amount: Amount(max),
                signature: signature.as_bytes().into(),
                total_claimed: Amount(total),
            })
        }

        fn batch(&self, claims: Vec<Row>) -> eyre::Result<Batch> {
            let mut batch = Batch {
                receiver: Address::repeat_byte(2),
                receiver_authorizer: self.authorizer.address(),
                token: Address::repeat_byte(3),
                claims,
                authorizer_signature: Bytes::new(),
            };
            batch.authorizer_signature =
                self.authorizer.sign_hash_sync(&batch.digest(&self.channels)?)?.as_bytes().into();
            Ok(batch)
        }
    }

    #[test]
    fn a_right_batch_survives_json_and_is_called_as_signed() -> eyre::Result<()> {
        let fixture = Fixture::new();
        let batch = fixture.batch(vec![fixture.row(1, 100, 70)?, fixture.row(2, 50, 50)?])?;
        let published =
            Published { version: VERSION, chain_id: CHAIN, channels: SETTLEMENT, batches: vec![batch.clone()] };
        let text = serde_json::to_vec(&published)?;
        assert_eq!(Published::parse(&text, CHAIN, SETTLEMENT)?, published);
        let verified = batch.verify(&fixture.channels)?;
        let call = verified.collect_call();
        assert_eq!(call.voucherClaims.len(), 2);
        assert_eq!((call.voucherClaims[0].totalClaimed, call.token), (70, batch.token));
        assert_eq!(verified.claim_call().authorizerSignature, batch.authorizer_signature);
        // 70 of the first; the second has a balance of 30, of which 10 are claimed.
        let second = verified.rows[1].0;
        assert_eq!(verified.claimable(|id| if id == second { (30, 10) } else { (100, 0) }), 70 + 20);
        assert_eq!(verified.claimable(|_| (100, 100)), 0);
        Ok(())
    }

    #[test]
    fn what_the_contract_would_refuse_is_refused_by_row() -> eyre::Result<()> {
        let fixture = Fixture::new();
        let verify = |batch: &Batch| batch.verify(&fixture.channels).err();
        let right = fixture.row(1, 100, 70)?;
        assert_eq!(verify(&fixture.batch(Vec::new())?), Some(ClaimsError::Rows(0)));
        let many = (0..=50).map(|salt| fixture.row(salt, 2, 1)).collect::<eyre::Result<_>>()?;
        assert_eq!(verify(&fixture.batch(many)?), Some(ClaimsError::Rows(51)));
        let twice = fixture.batch(vec![right.clone(), right.clone()])?;
        assert_eq!(verify(&twice), Some(ClaimsError::Twice(1)));
        let above = fixture.batch(vec![right.clone(), fixture.row(2, 100, 101)?])?;
        assert_eq!(verify(&above), Some(ClaimsError::AboveCeiling(1, 101, 100)));

        let config = right.channel_config.clone();
        let other = WireConfig { token: Address::repeat_byte(9), ..config };
        let other = fixture.batch(vec![fixture.signed(other, 100, 70)?])?;
        assert_eq!(verify(&other), Some(ClaimsError::Mismatch(0)));
        let no_key = WireConfig { payer_authorizer: Address::ZERO, ..config };
        assert_eq!(verify(&fixture.batch(vec![fixture.signed(no_key, 1, 1)?])?), Some(ClaimsError::NoPayerKey(0)));
        let mut long = right.clone();
        long.channel_config.withdraw_delay = 1 << 40;
        assert!(matches!(fixture.batch(vec![long]), Err(error) if error.to_string().contains("row 0")));

        // A voucher over another sum than was signed.
        let mut raised = right.clone();
        raised.max_claimable_amount = Amount(101);
        let raised = fixture.batch(vec![raised])?;
        assert!(matches!(verify(&raised), Some(ClaimsError::Voucher(0, ..))));
        // Rows that were changed after the authoriser had signed.
        let mut changed = fixture.batch(vec![right])?;
        changed.claims[0].total_claimed = Amount(71);
        assert!(matches!(verify(&changed), Some(ClaimsError::Authorizer(..))));
        let mut unsigned = changed;
        unsigned.authorizer_signature = Bytes::new();
        let error = verify(&unsigned);
        assert!(error.is_some_and(|error| error.to_string().contains("65 bytes")));
        // The same batch on another chain.
        let elsewhere = fixture.batch(vec![fixture.row(1, 100, 70)?])?;
        assert!(elsewhere.verify(&Channels::new(1, SETTLEMENT)).is_err());
        Ok(())
    }

    #[test]
    fn documents_of_others_are_refused_by_name() -> eyre::Result<()> {
        let right = Published { version: VERSION, chain_id: CHAIN, channels: SETTLEMENT, batches: Vec::new() };
        let parse = |published: &Published| {
            let text = serde_json::to_vec(published).unwrap_or_default();
            Published::parse(&text, CHAIN, SETTLEMENT).err()
        };
        assert_eq!(parse(&right), None);
        assert_eq!(parse(&Published { version: 2, ..right.clone() }), Some(ClaimsError::Version(2)));
        let elsewhere = ClaimsError::OtherChannels { chain_id: 1, address: SETTLEMENT };
        assert_eq!(parse(&Published { chain_id: 1, ..right.clone() }), Some(elsewhere));
        assert!(parse(&Published { channels: Address::ZERO, ..right }).is_some());
        assert!(matches!(Published::parse(b"{}", CHAIN, SETTLEMENT), Err(ClaimsError::Format(_))));
        let long = vec![b' '; MAX_BYTES + 1];
        assert_eq!(Published::parse(&long, CHAIN, SETTLEMENT), Err(ClaimsError::Length(MAX_BYTES + 1)));
        Ok(())
    }
}
