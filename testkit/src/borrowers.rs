//! Borrowers on a local chain: thousands of loans a transaction, each of an account of its own and opened by real
//! calls, so that the chain has every event.

use std::marker::PhantomData;

use alloy::{
    eips::BlockNumberOrTag,
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    sol,
    sol_types::{SolCall, SolValue},
};
use eyre::{ContextCompat, ensure};
use plimsoll_contracts::MarketParams;
use plimsoll_deploy::toolchain::progress::Progress;
use plimsoll_protocols::morpho_blue;

use crate::devnet::{Devnet, MINING_TIMEOUT};

/// Gas of a call before its first loan.
const GAS_PER_CALL: u64 = 500_000;
/// The most loans in one call: the node traces every transaction, for a time that grows with the square of its calls.
const MAX_LOANS_PER_CALL: u64 = 200;

sol! {
    /// The test contract that creates an account for each loan.
    interface IBorrowers {
        struct Params {
            address loanToken;
            address collateralToken;
            address oracle;
            uint256 risk;
            uint256 curve;
        }

        function open(Params calldata params, uint256[] calldata loans) external;
    }

    /// The same for Morpho Blue.
    interface IMorphoBorrowers {
        struct MorphoMarket {
            address loanToken;
            address collateralToken;
            address oracle;
            address irm;
            uint256 lltv;
        }

        function open(MorphoMarket calldata market, uint256[] calldata loans) external;
    }
}

/// A loan to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewLoan {
    /// Collateral to post, in units of the collateral token.
    pub collateral: u128,
    /// Debt to borrow, in units of the loan token.
    pub debt: u128,
}

/// Parameters of a market in which a test contract opens loans in bulk.
pub trait BulkMarket {
    /// Name of the test contract, whose constructor takes the address of the market's contract.
    const BORROWERS: &'static str;
    /// Gas for opening one loan, with a margin.
    const GAS_PER_LOAN: u64;

    /// Encodes the test contract's call that opens loans, each a word with collateral in the upper half and debt in the lower.
    fn encode_open(&self, loans: Vec<U256>) -> Vec<u8>;
}

impl BulkMarket for MarketParams {
    const BORROWERS: &'static str = "Borrowers";
    const GAS_PER_LOAN: u64 = 260_000;

    fn encode_open(&self, loans: Vec<U256>) -> Vec<u8> {
        let Self { loanToken, collateralToken, oracle, risk, curve } = self.clone();
        let params = IBorrowers::Params { loanToken, collateralToken, oracle, risk, curve };
        IBorrowers::openCall { params, loans }.abi_encode()
    }
}

impl BulkMarket for morpho_blue::MarketParams {
    const BORROWERS: &'static str = "MorphoBorrowers";
    const GAS_PER_LOAN: u64 = 320_000;

    fn encode_open(&self, loans: Vec<U256>) -> Vec<u8> {
        let Self { loanToken, collateralToken, oracle, irm, lltv } = self.clone();
        let market = IMorphoBorrowers::MorphoMarket { loanToken, collateralToken, oracle, irm, lltv };
        IMorphoBorrowers::openCall { market, loans }.abi_encode()
    }
}

/// Opens loans in bulk, each for an account that is created with it.
#[derive(Debug)]
pub struct Borrowers<'a, M = MarketParams> {
    devnet: &'a Devnet,
    address: Address,
    /// The most gas that a transaction may use on this node.
    transaction_gas: u64,
    _market: PhantomData<fn(M)>,
}

impl<'a, M: BulkMarket> Borrowers<'a, M> {
    /// Deploys the contract that creates the accounts, for markets of the contract `core`. `transaction_gas` is the most gas that
    /// a transaction may use on this node.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn deploy(devnet: &'a Devnet, core: Address, transaction_gas: u64) -> eyre::Result<Self> {
        let address = devnet.deploy(M::BORROWERS, core.abi_encode()).await?;
        Ok(Self { devnet, address, transaction_gas, _market: PhantomData })
    }

    /// Opens loans in a market, in as many transactions as necessary, of which each block takes as many as it has room for:
    /// a node computes the root of its state for each block. Collateral is minted; the market must have enough supply to
    /// lend. A node that mines every transaction at once does so again afterwards.
    ///
    /// # Errors
    /// When the contract refuses one of the loans, or a transaction has no room for a loan.
    pub async fn open(&self, market: &M, loans: &[NewLoan]) -> eyre::Result<()> {
        let provider = self.devnet.provider();
        let mines_at_once = provider.anvil_get_auto_mine().await?;
        if mines_at_once {
            provider.anvil_set_auto_mine(false).await?;
        }
        let opened = self.open_in_blocks(market, loans, mines_at_once).await;
        if mines_at_once {
            provider.anvil_set_auto_mine(true).await?;
        }
        opened
    }

    async fn open_in_blocks(&self, market: &M, loans: &[NewLoan], mines: bool) -> eyre::Result<()> {
        let provider = self.devnet.provider();
        let room = self.transaction_gas.saturating_sub(GAS_PER_CALL) / M::GAS_PER_LOAN;
        ensure!(room > 0, "a transaction of {} gas opens no loan", self.transaction_gas);
        let call_size = room.min(MAX_LOANS_PER_CALL);
        let latest =
            provider.get_block_by_number(BlockNumberOrTag::Latest).await?.wrap_err("a chain without a block")?;
        let calls_per_block = (latest.header.gas_limit / Self::gas_for(call_size)).max(1);
        let block_size = usize::try_from(call_size * calls_per_block)?;
        let (mut progress, mut opened) = (Progress::new("loans opened", loans.len()), 0);
        for loans_of_block in loans.chunks(block_size) {
            self.open_in_block(market, loans_of_block.chunks(usize::try_from(call_size)?), mines).await?;
            opened += loans_of_block.len();
            progress.done(opened);
        }
        Ok(())
    }

    /// Sends a transaction for each of these groups of loans, and waits until all are mined.
    async fn open_in_block<'l>(
        &self,
        market: &M,
        calls: impl Iterator<Item = &'l [NewLoan]>,
        mines: bool,
    ) -> eyre::Result<()> {
        let provider = self.devnet.provider();
        let mut pending = Vec::new();
        for loans in calls {
            let words = loans.iter().map(|loan| U256::from(loan.collateral) << 128 | U256::from(loan.debt)).collect();
            // A given limit spares the node an estimate of a very large call.
            let request = TransactionRequest::default()
                .with_from(self.devnet.deployer())
                .with_to(self.address)
                .with_input(Bytes::from(market.encode_open(words)))
                .with_gas_limit(Self::gas_for(u64::try_from(loans.len())?));
            pending.push(provider.send_transaction(request).await?);
        }
        if mines {
            provider.evm_mine(None).await?;
        }
        for transaction in pending {
            let hash = *transaction.tx_hash();
            let receipt = match provider.get_transaction_receipt(hash).await? {
                Some(receipt) => receipt,
                None => transaction.with_timeout(Some(MINING_TIMEOUT)).get_receipt().await?,
            };
            ensure!(receipt.status(), "the transaction {hash} reverted after {} gas", receipt.gas_used);
        }
        Ok(())
    }

    /// Returns the gas of a call that opens this many loans.
    const fn gas_for(loans: u64) -> u64 {
        GAS_PER_CALL + M::GAS_PER_LOAN * loans
    }
}
