//! Block headers as `Jobs.draw` takes them: the RLP list whose hash is the block's, with the field that seeds draws.

use alloy::{
    primitives::{B256, Bytes, keccak256},
    rlp::encode,
    rpc::types::Header,
};

/// The list's prefix (3 bytes), then hashes of parent, ommers, state, transactions and receipts (33 each), the
/// beneficiary (21) and the bloom filter (259).
const DIFFICULTY_OFFSET: usize = 448;
/// Difficulty, number, gas limit, gas used, time and extra data.
const VARIABLE_FIELDS: usize = 6;

/// Encodes the header that a node has answered. `None` if its hash is not the block's: the node left a field out, or the
/// chain's headers have fields that are not known here.
#[must_use]
pub fn encode_header(header: &Header) -> Option<Bytes> {
    let encoded = encode(&header.inner);
    (keccak256(&encoded) == header.hash).then(|| encoded.into())
}

/// Returns the RANDAO mix of an encoded header, as the contract reads it; `None` if the contract would refuse it.
#[must_use]
pub fn prev_randao(header: &[u8]) -> Option<B256> {
    if header.len() < DIFFICULTY_OFFSET || header.first() != Some(&0xf9) {
        return None;
    }
    let mut offset = DIFFICULTY_OFFSET;
    for _ in 0..VARIABLE_FIELDS {
        offset += match *header.get(offset)? {
            // A byte below 0x80 stands for itself.
            ..0x80 => 1,
            first @ 0x80..=0xb7 => 1 + usize::from(first - 0x80),
            _ => return None,
        };
    }
    let mix = header.get(offset..offset + 33)?;
    (mix.first() == Some(&0xa0)).then(|| B256::from_slice(&mix[1..]))
}

#[cfg(test)]
mod tests {
    use alloy::{consensus::Header as Fields, primitives::U256};

    use super::*;

    /// A header whose variable fields have this many significant bytes.
    fn fields(width: usize, extra: usize) -> Fields {
        let number = |at_most: usize| {
            let bytes: Vec<u8> = (0..width.min(at_most)).map(|index| 0x81 + u8::try_from(index).unwrap_or(0)).collect();
            U256::from_be_slice(&bytes)
        };
        Fields {
            difficulty: number(32),
            number: number(8).to(),
            gas_limit: number(8).to(),
            gas_used: number(8).to(),
            timestamp: number(8).to(),
            extra_data: vec![7; extra].into(),
            mix_hash: B256::repeat_byte(0x5a),
            base_fee_per_gas: Some(7),
            ..Fields::default()
        }
    }

    #[test]
    fn the_mix_is_found_behind_fields_of_any_width() {
        for width in 0..=32 {
            for extra in 0..=55 {
                let mut header = fields(width, extra);
                for later in 0..4 {
                    let hash = Some(B256::repeat_byte(9));
                    match later {
                        1 => header.withdrawals_root = hash,
                        2 => (header.blob_gas_used, header.excess_blob_gas) = (Some(1), Some(2)),
                        3 => header.parent_beacon_block_root = hash,
                        _ => {}
                    }
                    assert_eq!(prev_randao(&encode(&header)), Some(header.mix_hash), "{header:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        // Longer than the chains that this is for allow.
        assert_eq!(prev_randao(&encode(fields(8, 56))), None);
        let whole = encode(fields(8, 32));
        let mix = whole.windows(32).position(|window| window == [0x5a; 32]);
        for cut in 0..whole.len() {
            let is_there = mix.is_some_and(|at| cut >= at + 32);
            assert_eq!(prev_randao(&whole[..cut]).is_some(), is_there, "cut at {cut}");
        }
        assert_eq!(prev_randao(&[0xf8; 600]), None);
    }
}
