//! Well-known factories of pools, and those that are named on a command line.

use std::{str::FromStr, sync::LazyLock};

use alloy::primitives::{Address, B256, b256};
use serde::Deserialize;

use super::pool::{Venue, VenueKind};

/// The list of factories, with the source of each.
const VENUES: &str = include_str!("venues.toml");
/// Hash of the creation code of Uniswap's pairs.
const PAIR_CODE_HASH: B256 = b256!("96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f");
/// Hash of the creation code of Uniswap's pools with concentrated liquidity.
const POOL_CODE_HASH: B256 = b256!("e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54");
/// Fee of Uniswap's pairs, in millionths.
const PAIR_FEES: [u32; 1] = [3_000];
/// Fees of pools with concentrated liquidity of Uniswap and its forks, in millionths.
const POOL_FEES: [u32; 5] = [100, 500, 2_500, 3_000, 10_000];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    venue: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: Kind,
    chain_ids: Vec<u64>,
    deployer: Address,
    /// Where the address can be looked up.
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Clone, Copy, Deserialize)]
enum Kind {
    #[serde(rename = "uniswap-v2")]
    UniswapV2,
    #[serde(rename = "uniswap-v3")]
    UniswapV3,
}

/// Every known factory; none if the list cannot be read, which a test rules out.
static KNOWN: LazyLock<Vec<Entry>> = LazyLock::new(|| parse().unwrap_or_default());

fn parse() -> Result<Vec<Entry>, toml::de::Error> {
    toml::from_str::<List>(VENUES).map(|list| list.venue)
}

/// Returns the known factories on a chain.
#[must_use]
pub fn known_venues(chain_id: u64) -> Vec<Venue> {
    let here = KNOWN.iter().filter(|entry| entry.chain_ids.contains(&chain_id));
    here.map(|entry| venue(entry.kind, entry.deployer, None)).collect()
}

fn venue(kind: Kind, deployer: Address, code_hash: Option<B256>) -> Venue {
    let (kind, hash, keys) = match kind {
        Kind::UniswapV2 => (VenueKind::UniswapV2, PAIR_CODE_HASH, &PAIR_FEES[..]),
        Kind::UniswapV3 => (VenueKind::UniswapV3, POOL_CODE_HASH, &POOL_FEES[..]),
    };
    Venue { kind, deployer, pool_init_code_hash: code_hash.unwrap_or(hash), keys: keys.to_vec() }
}

/// Reads `KIND:DEPLOYER` or `KIND:DEPLOYER:CODE_HASH`; without a hash the pools have Uniswap's own code.
impl FromStr for Venue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let kind = match parts.next() {
            Some("uniswap-v2") => Kind::UniswapV2,
            Some("uniswap-v3") => Kind::UniswapV3,
            _ => return Err(format!("\"{text}\" begins neither with uniswap-v2: nor with uniswap-v3:")),
        };
        let deployer = parts.next().unwrap_or_default();
        let deployer = deployer.parse().map_err(|_| format!("\"{deployer}\" in \"{text}\" is no address"))?;
        let hash = parts.next().map(|hash| hash.parse().map_err(|_| format!("\"{hash}\" in \"{text}\" is no hash")));
        if parts.next().is_some() {
            return Err(format!("\"{text}\" has more parts than KIND:DEPLOYER:CODE_HASH"));
        }
        Ok(venue(kind, deployer, hash.transpose()?))
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::address;

    use super::*;

    const WETH: Address = address!("C02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2");
    const USDC: Address = address!("A0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48");

    /// Both are in public records of Ethereum.
    #[test]
    fn pools_of_the_known_factories_on_ethereum_stand_where_they_do() {
        let known = known_venues(1);
        let pool = |kind, key| {
            let venue = known.iter().find(|venue| venue.kind == kind);
            venue.map(|venue| venue.pool_of(WETH, USDC, key))
        };
        assert_eq!(pool(VenueKind::UniswapV3, 500), Some(address!("88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640")));
        assert_eq!(pool(VenueKind::UniswapV2, 3_000), Some(address!("B4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc")));
    }

    #[test]
    fn the_list_can_be_read_and_no_chain_has_a_factory_twice() {
        let list = parse().unwrap();
        let mut places: Vec<_> =
            list.iter().flat_map(|entry| entry.chain_ids.iter().map(|id| (*id, entry.deployer))).collect();
        let count = places.len();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), count);
        assert!(list.iter().all(|entry| entry._source.starts_with("https://")));
        assert!(known_venues(31_337).is_empty());
    }

    #[test]
    fn a_venue_that_cannot_be_read_is_refused_with_its_text() {
        let refused = |text: &str| text.parse::<Venue>().unwrap_err();
        assert!(refused("curve:0x00").contains("curve:0x00"));
        assert!(refused("uniswap-v2:0x12").contains("\"0x12\""));
        assert!(refused(&format!("uniswap-v3:{WETH}:7")).contains("\"7\""));
        assert!(refused(&format!("uniswap-v3:{WETH}:{}:1", B256::ZERO)).contains("more parts"));
        let own = format!("uniswap-v3:{WETH}:{}", B256::repeat_byte(7)).parse::<Venue>().unwrap();
        assert_eq!((own.deployer, own.pool_init_code_hash), (WETH, B256::repeat_byte(7)));
        assert_eq!(format!("uniswap-v2:{WETH}").parse::<Venue>().unwrap().pool_init_code_hash, PAIR_CODE_HASH);
    }
}
