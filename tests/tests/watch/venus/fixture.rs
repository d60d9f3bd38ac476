//! A pool with three markets, whose prices anybody can set, and accounts with tokens.

use std::io::{self, Write};

use alloy::{
    primitives::{Address, U256},
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
    sol_types::SolCall,
};
use plimsoll_protocols::{
    Deployment, ProtocolKind,
    compound_v2::{IComptroller, IVToken},
};
use plimsoll_testkit::{
    devnet::{Devnet, ITestToken},
    venus::{self, Listing, Venus, VenusMarket},
};

/// Index of the node's account that lends.
const LENDER: usize = 1;
/// Indices of the node's accounts that borrow.
const BORROWERS: std::ops::Range<usize> = 2..8;
/// Index of the node's account that liquidates.
const LIQUIDATOR: usize = 9;
/// Gas limit of a transaction.
const GAS: u64 = 5_000_000;

pub(super) struct Fixture {
    pub(super) devnet: Devnet,
    pub(super) venus: Venus,
    pub(super) borrowers: Vec<Address>,
    pub(super) liquidator: Address,
    pub(super) first_block: u64,
}

impl Fixture {
    /// Starts a pool; `None` if Venus' package is not installed.
    pub(super) async fn start() -> eyre::Result<Option<Self>> {
        if !venus::is_installed()? {
            writeln!(io::stderr(), "SKIPPED: tools/venus is not installed: run npm ci --ignore-scripts there")?;
            return Ok(None);
        }
        let devnet = Devnet::start_with(&venus::ANVIL_ARGUMENTS).await?;
        let first_block = devnet.provider().get_block_number().await?;
        let mut listings = Vec::new();
        for (name, decimals, price, factors) in
            [("COLL", 18, 2_000, [75, 80]), ("USD", 6, 1, [80, 85]), ("GOLD", 8, 300, [60, 70])]
        {
            let token = devnet.deploy_token(name, decimals).await?;
            listings.push(Listing { token, decimals, price, factors });
        }
        let venus = Venus::deploy(&devnet, &listings).await?;
        let borrowers = BORROWERS.map(|index| devnet.account(index)).collect::<eyre::Result<Vec<_>>>()?;
        let (lender, liquidator) = (devnet.account(LENDER)?, devnet.account(LIQUIDATOR)?);
        let fixture = Self { devnet, venus, borrowers, liquidator, first_block };
        for market in &fixture.venus.markets {
            fixture.fund(market, lender).await?;
        }
        for market in &fixture.venus.markets {
            let whole = U256::from(10).pow(U256::from(market.decimals));
            let mint = IVToken::mintCall { amount: whole * U256::from(1_000_000) };
            assert!(fixture.send(lender, market.address, &mint).await?, "the supply is refused");
        }
        Ok(Some(fixture))
    }

    /// Gives all accounts tokens of a market, and allows the market to take them.
    async fn fund(&self, market: &VenusMarket, lender: Address) -> eyre::Result<()> {
        for account in self.borrowers.iter().copied().chain([lender, self.liquidator]) {
            self.devnet.mint_and_approve(market.token, account, U256::from(u128::MAX / 100), market.address).await?;
        }
        Ok(())
    }

    pub(super) fn provider(&self) -> &DynProvider {
        self.devnet.provider()
    }

    pub(super) fn deployment(&self) -> Deployment {
        let (protocol, address) = (ProtocolKind::CompoundV2, self.venus.comptroller);
        Deployment {
            protocol,
            chain_id: 31_337,
            name: None,
            address,
            first_block: self.first_block,
            pre_liquidation_factory: None,
            source: None,
        }
    }

    pub(super) fn market(&self, index: usize) -> &VenusMarket {
        &self.venus.markets[index]
    }

    /// Sends a call in a block of its own; returns whether it was successful.
    pub(super) async fn send(&self, from: Address, to: Address, call: &impl SolCall) -> eyre::Result<bool> {
        let nonce = self.provider().get_transaction_count(from).await?;
        let request = TransactionRequest::default().from(from).to(to).input(call.abi_encode().into());
        let request = request.nonce(nonce).gas_limit(GAS);
        Ok(self.provider().send_transaction(request).await?.get_receipt().await?.status())
    }

    /// Sends a call of the pool's owner, which must be successful.
    pub(super) async fn administer(&self, call: &impl SolCall) -> eyre::Result<()> {
        assert!(self.send(self.devnet.deployer(), self.venus.comptroller, call).await?, "the owner is refused");
        Ok(())
    }

    pub(super) async fn set_price(&self, market: &VenusMarket, cents: u64) -> eyre::Result<()> {
        let set = self.venus.price_call(market, cents);
        assert!(self.send(self.devnet.deployer(), self.venus.oracle, &set).await?, "the price is refused");
        Ok(())
    }

    /// Supplies as collateral, and borrows.
    pub(super) async fn open(
        &self,
        account: Address,
        (collateral, supplied): (&VenusMarket, U256),
        (debt, borrowed): (&VenusMarket, U256),
    ) -> eyre::Result<()> {
        let enter = IComptroller::enterMarketsCall { vTokens: vec![collateral.address] };
        assert!(self.send(account, self.venus.comptroller, &enter).await?, "the market is refused");
        let mint = IVToken::mintCall { amount: supplied };
        assert!(self.send(account, collateral.address, &mint).await?, "the collateral is refused");
        let borrow = IVToken::borrowCall { amount: borrowed };
        assert!(self.send(account, debt.address, &borrow).await?, "the loan is refused");
        Ok(())
    }

    /// Gives a market tokens of its own without telling it.
    pub(super) async fn donate(&self, account: Address, market: &VenusMarket, amount: U256) -> eyre::Result<()> {
        let _ = self.send(account, market.token, &ITestToken::mintCall { to: market.address, amount }).await?;
        Ok(())
    }
}

/// Returns whole tokens of a market in units.
pub(super) fn whole(market: &VenusMarket, tokens: u64) -> U256 {
    U256::from(tokens) * U256::from(10).pow(U256::from(market.decimals))
}
