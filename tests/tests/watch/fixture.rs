//! A Morpho Blue with two markets, whose prices anybody can set, and accounts with tokens.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256, utils::parse_ether},
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
    sol_types::{SolCall, SolValue},
};
use plimsoll_protocols::{
    Deployment, ProtocolKind,
    morpho_blue::{IMorphoBlue, MarketParams, PreLiquidationParams},
};
use plimsoll_testkit::{
    devnet::{Devnet, IOneSlotOracle},
    morpho_blue::{MorphoBlue, PreLiquidations},
};

/// Index of the node's account that lends; the others up to `BORROWERS` borrow.
const LENDER: usize = 1;
/// Indices of the node's accounts that borrow.
const BORROWERS: std::ops::Range<usize> = 2..8;
/// Gas limit of a transaction.
const GAS: u64 = 1_000_000;
/// 10³⁶: one unit of collateral is worth one unit of debt.
pub(super) const PARITY: u128 = 1_000_000_000_000_000_000_000_000_000_000_000_000;

pub(super) struct Market {
    pub(super) params: MarketParams,
    pub(super) id: B256,
}

/// A pre-liquidation contract.
pub(super) struct PreLiquidation {
    pub(super) address: Address,
    /// The market's oracle, or one of its own.
    pub(super) oracle: Address,
}

pub(super) struct Fixture {
    pub(super) devnet: Devnet,
    pub(super) morpho: MorphoBlue,
    pub(super) markets: Vec<Market>,
    pub(super) borrowers: Vec<Address>,
    /// By market.
    pub(super) pre_liquidations: Vec<PreLiquidation>,
    factory: PreLiquidations,
}

impl Fixture {
    pub(super) async fn start() -> eyre::Result<Self> {
        let devnet = Devnet::start().await?;
        let morpho = MorphoBlue::deploy(&devnet).await?;
        let factory = PreLiquidations::deploy(&devnet, &morpho).await?;
        let tokens = [devnet.deploy_token("COLL", 18).await?, devnet.deploy_token("USD", 6).await?];
        let borrowers = BORROWERS.map(|index| devnet.account(index)).collect::<eyre::Result<Vec<_>>>()?;
        let lender = devnet.account(LENDER)?;
        for account in borrowers.iter().copied().chain([lender, devnet.deployer()]) {
            for token in tokens {
                devnet.mint_and_approve(token, account, U256::from(u128::MAX / 100), morpho.core).await?;
            }
        }
        let mut fixture =
            Self { devnet, morpho, markets: Vec::new(), borrowers, pre_liquidations: Vec::new(), factory };
        // In the second market the same tokens have changed sides, so that each is collateral and debt.
        let [collateral, loan] = tokens;
        for (pair, price, lltv) in [([collateral, loan], PARITY, "0.86"), ([loan, collateral], PARITY, "0.77")] {
            let oracle = fixture.devnet.deploy("OneSlotOracle", U256::from(price).abi_encode()).await?;
            let params = fixture.morpho.create_market(&fixture.devnet, pair, oracle, parse_ether(lltv)?).await?;
            let id = keccak256(params.abi_encode());
            let supply = IMorphoBlue::supplyCall {
                params: params.clone(),
                assets: U256::from(10_u128.pow(15)),
                shares: U256::ZERO,
                onBehalf: lender,
                data: Bytes::new(),
            };
            assert!(fixture.send(lender, fixture.morpho.core, &supply).await?, "the supply is refused");
            fixture.markets.push(Market { params, id });
        }
        for market in 0..fixture.markets.len() {
            fixture.create_pre_liquidation(market).await?;
        }
        Ok(fixture)
    }

    /// Creates a contract that liquidates from 70 % on: in the first market by the market's oracle, in the second by its own.
    async fn create_pre_liquidation(&mut self, market: usize) -> eyre::Result<()> {
        let Market { params, id } = &self.markets[market];
        let oracle = match market {
            0 => params.oracle,
            _ => self.devnet.deploy("OneSlotOracle", U256::from(PARITY).abi_encode()).await?,
        };
        let params = PreLiquidationParams {
            preLltv: parse_ether("0.7")?,
            preLCF1: parse_ether("0.05")?,
            preLCF2: parse_ether("1.2")?,
            preLIF1: parse_ether("1.01")?,
            preLIF2: parse_ether("1.15")?,
            preLiquidationOracle: oracle,
        };
        let loan = self.markets[market].params.loanToken;
        let address = self.factory.create(&self.devnet, *id, params).await?;
        let funds = U256::from(u128::MAX / 100);
        self.devnet.mint_and_approve(loan, self.devnet.deployer(), funds, address).await?;
        self.pre_liquidations.push(PreLiquidation { address, oracle });
        Ok(())
    }

    pub(super) fn provider(&self) -> &DynProvider {
        self.devnet.provider()
    }

    pub(super) fn deployment(&self) -> Deployment {
        let (protocol, address) = (ProtocolKind::MorphoBlue, self.morpho.core);
        let pre_liquidation_factory = Some(self.factory.factory);
        Deployment {
            protocol,
            chain_id: 31_337,
            name: None,
            address,
            first_block: 1,
            pre_liquidation_factory,
            source: None,
        }
    }

    pub(super) fn market(&self, index: usize) -> &Market {
        &self.markets[index]
    }

    /// Returns a transaction with the account's nonce on the chain, which a reorg takes back.
    pub(super) async fn request(
        &self,
        from: Address,
        to: Address,
        call: &impl SolCall,
    ) -> eyre::Result<TransactionRequest> {
        let nonce = self.provider().get_transaction_count(from).await?;
        let request = TransactionRequest::default().from(from).to(to).input(call.abi_encode().into());
        Ok(request.nonce(nonce).gas_limit(GAS))
    }

    /// Sends a call in a block of its own; returns whether it was successful.
    pub(super) async fn send(&self, from: Address, to: Address, call: &impl SolCall) -> eyre::Result<bool> {
        let request = self.request(from, to, call).await?;
        Ok(self.provider().send_transaction(request).await?.get_receipt().await?.status())
    }

    pub(super) async fn set_price(&self, market: &Market, price: u128) -> eyre::Result<()> {
        self.set_oracle(market.params.oracle, price).await
    }

    pub(super) async fn set_oracle(&self, oracle: Address, price: u128) -> eyre::Result<()> {
        let set = IOneSlotOracle::setCall { price: U256::from(price) };
        assert!(self.send(self.devnet.deployer(), oracle, &set).await?, "the price is refused");
        Ok(())
    }

    pub(super) async fn open(
        &self,
        market: &Market,
        account: Address,
        [collateral, debt]: [u64; 2],
    ) -> eyre::Result<()> {
        let (params, assets, data) = (market.params.clone(), U256::from(collateral), Bytes::new());
        let supply = IMorphoBlue::supplyCollateralCall { params: params.clone(), assets, onBehalf: account, data };
        assert!(self.send(account, self.morpho.core, &supply).await?, "the collateral is refused");
        let (assets, shares) = (U256::from(debt), U256::ZERO);
        let borrow = IMorphoBlue::borrowCall { params, assets, shares, onBehalf: account, receiver: account };
        assert!(self.send(account, self.morpho.core, &borrow).await?, "the loan is refused");
        Ok(())
    }
}
