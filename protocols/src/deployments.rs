//! Which protocols there are, and where well-known deployments of them stand.

use std::{fmt, str::FromStr, sync::LazyLock};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use crate::{Protocol, aave_v3::AaveV3, compound_v2::CompoundV2, morpho_blue::MorphoBlue};

/// The list of deployments, with the source of each.
const DEPLOYMENTS: &str = include_str!("../deployments.toml");

/// A lending protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProtocolKind {
    /// Morpho Blue.
    MorphoBlue,
    /// Aave v3.
    #[serde(rename = "aave-v3")]
    AaveV3,
    /// Compound v2 and its forks, Venus' isolated pools among them.
    CompoundV2,
}

/// A deployment of a protocol, at its main contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The protocol that is deployed.
    pub protocol: ProtocolKind,
    /// Chain id.
    pub chain_id: u64,
    /// What the deployment is called, where a chain has several: a pool of Compound's kind, or of Aave.
    #[serde(default)]
    pub name: Option<String>,
    /// Address of the main contract: of Morpho Blue, the only one; of Aave, a pool; of Compound and its forks, a pool's
    /// comptroller.
    pub address: Address,
    /// Number of the block that created it, or of any earlier one.
    pub first_block: u64,
    /// Morpho Blue's factory of pre-liquidation contracts; `None` where these are not looked at.
    #[serde(default)]
    pub pre_liquidation_factory: Option<Address>,
    /// Where the address can be looked up; `None` of a deployment that the user named.
    #[serde(default)]
    pub source: Option<String>,
}

/// Every known deployment; none if the list cannot be read, which a test rules out.
static KNOWN: LazyLock<Vec<Deployment>> = LazyLock::new(|| parse(DEPLOYMENTS).unwrap_or_default());

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    deployment: Vec<Deployment>,
}

fn parse(text: &str) -> Result<Vec<Deployment>, toml::de::Error> {
    toml::from_str::<List>(text).map(|list| list.deployment)
}

/// Returns every known deployment.
#[must_use]
pub fn known_deployments() -> &'static [Deployment] {
    &KNOWN
}

/// Returns the known deployments of a protocol on a chain.
pub fn known_deployments_on(protocol: ProtocolKind, chain_id: u64) -> impl Iterator<Item = &'static Deployment> {
    KNOWN.iter().filter(move |known| known.protocol == protocol && known.chain_id == chain_id)
}

impl Deployment {
    /// Returns the protocol at this deployment, of which nothing is known yet.
    #[must_use]
    pub fn protocol(&self) -> Box<dyn Protocol> {
        match self.protocol {
            ProtocolKind::MorphoBlue => Box::new(MorphoBlue::new(self.clone())),
            ProtocolKind::AaveV3 => Box::new(AaveV3::new(self.clone())),
            ProtocolKind::CompoundV2 => Box::new(CompoundV2::new(self.clone())),
        }
    }
}

impl ProtocolKind {
    /// Every protocol.
    pub const ALL: [Self; 3] = [Self::MorphoBlue, Self::AaveV3, Self::CompoundV2];

    /// Returns whether a liquidation takes the repayment before it gives the collateral, so that the debt tokens must be there
    /// first.
    #[must_use]
    pub const fn repays_first(self) -> bool {
        matches!(self, Self::AaveV3 | Self::CompoundV2)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::MorphoBlue => "morpho-blue",
            Self::AaveV3 => "aave-v3",
            Self::CompoundV2 => "compound-v2",
        }
    }
}

impl fmt::Display for ProtocolKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ProtocolKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("{text} is none of the protocols that can be watched: {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_deployment_has_a_source_and_is_listed_once() {
        let known = parse(DEPLOYMENTS).unwrap();
        assert!(!known.is_empty());
        for deployment in &known {
            assert!(deployment.source.as_ref().is_some_and(|source| source.starts_with("https://")), "{deployment:?}");
            assert!(deployment.first_block > 0, "{deployment:?}");
            let same =
                |other: &&Deployment| (other.chain_id, other.address) == (deployment.chain_id, deployment.address);
            assert_eq!(known.iter().filter(same).count(), 1, "{deployment:?}");
            let on_chain: Vec<_> = known_deployments_on(deployment.protocol, deployment.chain_id).collect();
            assert!(on_chain.contains(&deployment));
            assert!(on_chain.len() == 1 || deployment.name.is_some(), "one of several has no name: {deployment:?}");
        }
    }

    #[test]
    fn a_protocols_name_is_read_as_it_is_written() {
        for kind in ProtocolKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("morpho".parse::<ProtocolKind>().unwrap_err().contains("morpho-blue"));
    }
}
