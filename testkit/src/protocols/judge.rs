//! What the protocols themselves say of accounts and of liquidations.

use alloy::{
    eips::BlockId,
    primitives::{Address, B256, U256, keccak256, uint},
    providers::Provider,
    rpc::types::Filter,
    sol_types::{SolEvent, SolValue},
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::{ILens, IPlimsoll};
use plimsoll_protocols::{
    ProtocolKind,
    aave_v3::IAavePool,
    compound_v2::{ICompoundOracle, IComptroller, IVToken},
    morpho_blue::{IMorphoBlue, IMorphoOracle},
};

use super::{Lender, Protocols};

const WAD: U256 = uint!(1_000_000_000_000_000_000_U256);
const ORACLE_SCALE: U256 = uint!(1_000_000_000_000_000_000_000_000_000_000_000_000_U256);

/// An account at the end of a block, by its protocol's own views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether it can be liquidated.
    pub is_liquidatable: bool,
    /// Value of its collateral, in dollars.
    pub collateral: U256,
    /// Value of its debt, in dollars; of Venus what its collateral does not cover, which is no more.
    pub debt: U256,
    /// Value that it could still borrow, in dollars; 0 where the protocol's view has none.
    pub excess: U256,
}

impl Protocols {
    /// Returns how an account stands at the end of a block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn standing(&self, lender: Lender, account: Address, block: u64) -> eyre::Result<Standing> {
        let (provider, at) = (self.suite.provider(), BlockId::number(block));
        let to = self.address(lender).wrap_err("the protocol is not deployed")?;
        match lender {
            Lender::Plimsoll => {
                let lens = ILens::new(self.suite.contract("Lens")?, provider);
                let id = self.plimsoll.id().0;
                let read = lens.positions(id, vec![account]).block(at).call().await?;
                let line = read.lines.first().wrap_err("the lens has no line")?;
                let dollar = U256::from(1_000_000);
                Ok(Standing {
                    is_liquidatable: !line.debt.is_zero() && line.health < WAD,
                    collateral: line.collateralValue / dollar,
                    debt: line.debt / dollar,
                    excess: U256::ZERO,
                })
            }
            Lender::MorphoBlue => {
                let (_, market) = self.morpho.as_ref().wrap_err("Morpho Blue is not deployed")?;
                let (core, id) = (IMorphoBlue::new(to, provider), keccak256(market.abi_encode()));
                let position = core.position(id, account).block(at).call().await?;
                let totals = core.market(id).block(at).call().await?;
                let price = IMorphoOracle::new(market.oracle, provider).price().block(at).call().await?;
                // Morpho's virtual shares and assets, rounded up.
                let shares = U256::from(totals.totalBorrowShares) + uint!(1_000_000_U256);
                let debt = (U256::from(position.borrowShares) * (U256::from(totals.totalBorrowAssets) + U256::ONE))
                    .div_ceil(shares);
                let value = U256::from(position.collateral) * price / ORACLE_SCALE;
                let dollar = U256::from(1_000_000);
                Ok(Standing {
                    is_liquidatable: value * market.lltv / WAD < debt,
                    collateral: value / dollar,
                    debt: debt / dollar,
                    excess: U256::ZERO,
                })
            }
            Lender::AaveV3 => {
                let data = IAavePool::new(to, provider).getUserAccountData(account).block(at).call().await?;
                let dollar = U256::from(100_000_000);
                Ok(Standing {
                    is_liquidatable: data.healthFactor < WAD,
                    collateral: data.totalCollateralBase / dollar,
                    debt: data.totalDebtBase / dollar,
                    excess: data.availableBorrowsBase / dollar,
                })
            }
            Lender::Venus | Lender::VenusCore => {
                let read = IComptroller::new(to, provider).getAccountLiquidity(account).block(at).call().await?;
                ensure!(read.error.is_zero(), "getAccountLiquidity fails with {}", read.error);
                let oracle = IComptroller::new(to, provider).oracle().block(at).call().await?;
                let oracle = ICompoundOracle::new(oracle, provider);
                let mut collateral = U256::ZERO;
                for market in self.venus_markets(lender) {
                    let token = IVToken::new(market.address, provider);
                    let snapshot = token.getAccountSnapshot(account).block(at).call().await?;
                    let price = oracle.getUnderlyingPrice(market.address).block(at).call().await?;
                    collateral += snapshot.tokens * snapshot.exchangeRate / WAD * price / WAD;
                }
                Ok(Standing {
                    is_liquidatable: !read.shortfall.is_zero(),
                    collateral: collateral / WAD,
                    debt: read.shortfall / WAD,
                    excess: read.liquidity / WAD,
                })
            }
        }
    }

    /// Returns all liquidations of a protocol, by its own logs, in order: the block, the transaction and the account.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn liquidations(&self, lender: Lender) -> eyre::Result<Vec<(u64, B256, Address)>> {
        let to = self.address(lender).wrap_err("the protocol is not deployed")?;
        let topic = lender.kind().map_or(IPlimsoll::Liquidate::SIGNATURE_HASH, ProtocolKind::liquidation_topic);
        let market = match &self.morpho {
            Some((_, params)) if lender == Lender::MorphoBlue => keccak256(params.abi_encode()),
            _ => B256::ZERO,
        };
        let markets = self.venus_markets(lender);
        let emitters = match markets {
            [] => vec![to],
            _ => markets.iter().map(|market| market.address).collect(),
        };
        let filter = Filter::new().address(emitters).event_signature(topic).from_block(0);
        let mut found = Vec::new();
        for log in self.suite.provider().get_logs(&filter).await? {
            let account = match lender.kind() {
                None => Some(IPlimsoll::Liquidate::decode_log(&log.inner)?.borrower),
                Some(kind) => kind.liquidated_account(market, &log.inner),
            };
            let account = account.wrap_err("a log of another market")?;
            let (block, hash) = log.block_number.zip(log.transaction_hash).wrap_err("a pending log")?;
            found.push((block, hash, account));
        }
        Ok(found)
    }

    /// Returns how many liquidations of Venus' core pool repaid the chain's own coin, and how many seized it.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn coin_liquidations(&self) -> eyre::Result<[usize; 2]> {
        let coin = self.venus_market(Lender::VenusCore, &self.debts[1])?.address;
        let markets = self.venus_markets(Lender::VenusCore).iter().map(|market| market.address).collect::<Vec<_>>();
        let topic = IVToken::LiquidateBorrow::SIGNATURE_HASH;
        let filter = Filter::new().address(markets).event_signature(topic).from_block(0);
        let logs = self.suite.provider().get_logs(&filter).await?;
        let seized = logs.iter().map(|log| Ok(IVToken::LiquidateBorrow::decode_log(&log.inner)?.vTokenCollateral));
        let seized = seized.collect::<eyre::Result<Vec<_>>>()?;
        Ok([
            logs.iter().filter(|log| log.address() == coin).count(),
            seized.into_iter().filter(|market| *market == coin).count(),
        ])
    }
}
