//! Borrowers on a local chain: thousands of loans a transaction, each of an account of its own and opened by real
//! calls, so that the chain has every event.

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

/// Gas for opening one loan, with a margin.
const GAS_PER_LOAN: u64 = 260_000;
/// The same on Morpho Blue.
const GAS_PER_MORPHO_LOAN: u64 = 320_000;
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

/// Opens loans in bulk, each for an account that is created with it.
#[derive(Debug)]
pub struct Borrowers<'a>(Opener<'a>);

impl<'a> Borrowers<'a> {
    /// Deploys the contract that creates the accounts. `transaction_gas` is the most gas that a transaction may use on
    /// this node.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn deploy(devnet: &'a Devnet, core: Address, transaction_gas: u64) -> eyre::Result<Self> {
        let address = devnet.deploy("Borrowers", core.abi_encode()).await?;
        Ok(Self(Opener { devnet, address, transaction_gas, gas_per_loan: GAS_PER_LOAN }))
    }

    /// Opens loans in a market, in as many transactions as necessary, of which each block takes as many as it has room for:
    /// a node computes the root of its state for each block. Collateral is minted; the market must have enough supply to
    /// lend. A node that mines every transaction at once does so again afterwards.
    ///
    /// # Errors
    /// When the core refuses one of the loans, or a transaction has no room for a loan.
    pub async fn open(&self, market: &MarketParams, loans: &[NewLoan]) -> eyre::Result<()> {
        let params = IBorrowers::Params {
            loanToken: market.loanToken,
            collateralToken: market.collateralToken,
            oracle: market.oracle,
            risk: market.risk,
            curve: market.curve,
        };
        let encode = |loans| IBorrowers::openCall { params: params.clone(), loans }.abi_encode();
        self.0.open(loans, encode).await
    }
}

/// Opens loans on Morpho Blue in bulk, each for an account that is created with it.
#[derive(Debug)]
pub struct MorphoBorrowers<'a>(Opener<'a>);

impl<'a> MorphoBorrowers<'a> {
    /// Deploys the contract that creates the accounts. `transaction_gas` is the most gas that a transaction may use on
    /// this node.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn deploy(devnet: &'a Devnet, core: Address, transaction_gas: u64) -> eyre::Result<Self> {
        let address = devnet.deploy("MorphoBorrowers", core.abi_encode()).await?;
        Ok(Self(Opener { devnet, address, transaction_gas, gas_per_loan: GAS_PER_MORPHO_LOAN }))
    }

    /// Opens loans in a market as [`Borrowers::open`] does.
    ///
    /// # Errors
    /// When Morpho Blue refuses one of the loans, or a transaction has no room for a loan.
    pub async fn open(&self, market: &morpho_blue::MarketParams, loans: &[NewLoan]) -> eyre::Result<()> {
        let morpho_blue::MarketParams { loanToken, collateralToken, oracle, irm, lltv } = market.clone();
        let market = IMorphoBorrowers::MorphoMarket { loanToken, collateralToken, oracle, irm, lltv };
        let encode = |loans| IMorphoBorrowers::openCall { market: market.clone(), loans }.abi_encode();
        self.0.open(loans, encode).await
    }
}

/// Calls a contract that opens loans.
#[derive(Debug)]
struct Opener<'a> {
    devnet: &'a Devnet,
    address: Address,
    /// The most gas that a transaction may use on this node.
    transaction_gas: u64,
    gas_per_loan: u64,
}

impl Opener<'_> {
    /// Opens loans. `encode` returns the call for loans as the contracts take them: collateral in the upper half of a word and
    /// debt in the lower.
    async fn open(&self, loans: &[NewLoan], encode: impl Fn(Vec<U256>) -> Vec<u8>) -> eyre::Result<()> {
        let provider = self.devnet.provider();
        let mines_at_once = provider.anvil_get_auto_mine().await?;
        if mines_at_once {
            provider.anvil_set_auto_mine(false).await?;
        }
        let opened = self.open_in_blocks(loans, &encode, mines_at_once).await;
        if mines_at_once {
            provider.anvil_set_auto_mine(true).await?;
        }
        opened
    }

    async fn open_in_blocks(
        &self,
        loans: &[NewLoan],
        encode: &impl Fn(Vec<U256>) -> Vec<u8>,
        mines: bool,
    ) -> eyre::Result<()> {
        let provider = self.devnet.provider();
        let room = self.transaction_gas.saturating_sub(GAS_PER_CALL) / self.gas_per_loan;
        ensure!(room > 0, "a transaction of {} gas opens no loan", self.transaction_gas);
        let call_size = room.min(MAX_LOANS_PER_CALL);
        let latest =
            provider.get_block_by_number(BlockNumberOrTag::Latest).await?.wrap_err("a chain without a block")?;
        let calls_per_block = (latest.header.gas_limit / self.gas_for(call_size)).max(1);
        let block_size = usize::try_from(call_size * calls_per_block)?;
        let (mut progress, mut opened) = (Progress::new("loans opened", loans.len()), 0);
        for loans_of_block in loans.chunks(block_size) {
            self.open_in_block(loans_of_block.chunks(usize::try_from(call_size)?), encode, mines).await?;
            opened += loans_of_block.len();
            progress.done(opened);
        }
        Ok(())
    }

    /// Sends a transaction for each of these groups of loans, and waits until all are mined.
    async fn open_in_block<'l>(
        &self,
        calls: impl Iterator<Item = &'l [NewLoan]>,
        encode: &impl Fn(Vec<U256>) -> Vec<u8>,
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
                .with_input(Bytes::from(encode(words)))
                .with_gas_limit(self.gas_for(u64::try_from(loans.len())?));
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
    const fn gas_for(&self, loans: u64) -> u64 {
        GAS_PER_CALL + self.gas_per_loan * loans
    }
}
