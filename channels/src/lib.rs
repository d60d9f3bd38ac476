//! Payment channels off chain: ids, digests and the signatures that the contract accepts.
//!
//! Pure: no network, no clock, no keys. What is computed here equals what x402's published client and the contract
//! compute, for any chain and any address of the contract; the tests in `tests/tests/nodes` compare all three.
//!
//! # Example
//! ```
//! use alloy::primitives::B256;
//! use plimsoll_channels::{SETTLEMENT, Channels, recover_signer};
//!
//! let channels = Channels::new(8453, SETTLEMENT);
//! let digest = channels.voucher_digest(B256::ZERO, 1_000);
//! assert!(recover_signer(digest, &[0; 64]).is_err());
//! ```

pub mod claims;
mod header;
pub mod kinds;
mod signature;
mod wire;

use std::borrow::Cow;

use alloy::{
    primitives::{Address, B256, U256, address},
    sol,
    sol_types::{Eip712Domain, SolStruct},
};
pub use header::{encode_header, prev_randao};
pub use plimsoll_contracts::IChannels::ChannelConfig;
pub use signature::{SignatureError, recover_signer};
pub use wire::{Amount, WireConfig};

/// Address of x402's own contract on public chains, which its clients have built in.
pub const SETTLEMENT: Address = address!("4020074e9dF2ce1deE5A9C1b5c3f541D02a10003");

/// Address of x402's own collector of deposits by ERC-3009.
pub const ERC3009_COLLECTOR: Address = address!("4020806089470a89826cB9fB1f4059150b550004");

sol! {
    /// What the payer signs.
    #[derive(Debug)]
    struct Voucher {
        /// Id of the channel.
        bytes32 channelId;
        /// The most that may be claimed in all.
        uint128 maxClaimableAmount;
    }

    /// What the receiver's authoriser signs to give tokens back.
    #[derive(Debug)]
    struct Refund {
        /// Id of the channel.
        bytes32 channelId;
        /// The channel's next nonce.
        uint256 nonce;
        /// The most that is given back.
        uint128 amount;
    }

    /// A row of a claim, as the receiver's authoriser signs it.
    #[derive(Debug, PartialEq, Eq)]
    struct ClaimEntry {
        /// Id of the channel.
        bytes32 channelId;
        /// Ceiling that the payer signed.
        uint128 maxClaimableAmount;
        /// What is claimed in all.
        uint128 totalClaimed;
    }

    /// What the receiver's authoriser signs to claim.
    #[derive(Debug)]
    struct ClaimBatch {
        /// The rows, in their order.
        ClaimEntry[] claims;
    }
}

/// A channels contract on a chain, which all ids and signatures belong to.
#[derive(Debug, Clone)]
pub struct Channels {
    domain: Eip712Domain,
}

impl Channels {
    /// Returns the contract at `address` on the chain with this id.
    #[must_use]
    pub const fn new(chain_id: u64, address: Address) -> Self {
        Self {
            domain: Eip712Domain::new(
                Some(Cow::Borrowed("x402 Batch Settlement")),
                Some(Cow::Borrowed("1")),
                Some(U256::from_limbs([chain_id, 0, 0, 0])),
                Some(address),
                None,
            ),
        }
    }

    /// Returns a channel's id.
    #[must_use]
    pub fn channel_id(&self, config: &ChannelConfig) -> B256 {
        config.eip712_signing_hash(&self.domain)
    }

    /// Returns what the payer signs to permit claims of up to `max_claimable` in all.
    #[must_use]
    pub fn voucher_digest(&self, channel_id: B256, max_claimable: u128) -> B256 {
        let voucher = Voucher { channelId: channel_id, maxClaimableAmount: max_claimable };
        voucher.eip712_signing_hash(&self.domain)
    }

    /// Returns what the receiver's authoriser signs to refund `amount`, with the channel's next nonce.
    #[must_use]
    pub fn refund_digest(&self, channel_id: B256, nonce: U256, amount: u128) -> B256 {
        Refund { channelId: channel_id, nonce, amount }.eip712_signing_hash(&self.domain)
    }

    /// Returns what the receiver's authoriser signs to claim these rows, in their order.
    #[must_use]
    pub fn claim_batch_digest(&self, rows: Vec<ClaimEntry>) -> B256 {
        ClaimBatch { claims: rows }.eip712_signing_hash(&self.domain)
    }
}
