//! A connection to a chain through one endpoint, and reads from it. Errors name the endpoint without its secrets.

use alloy::{
    eips::BlockNumberOrTag,
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256},
    providers::{DynProvider, Provider, RootProvider},
    rpc::{
        client::RpcClient,
        types::{Filter, Log, TransactionReceipt, TransactionRequest},
    },
    sol_types::SolCall,
    transports::TransportError,
};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError, local::LocalChain, signer::is_anvil_account};

/// Number of blocks that most providers search at once.
const LOG_BLOCKS: u64 = 10_000;

/// A chain behind one endpoint, identified when the connection was made.
#[derive(Debug)]
pub struct Chain {
    endpoint: Endpoint,
    provider: DynProvider,
    local: Option<LocalChain>,
    id: u64,
    genesis: B256,
}

/// Number, time and base fee of the newest block.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Block number.
    pub number: u64,
    /// Timestamp, in seconds since 1970.
    pub timestamp: u64,
    /// Base fee in wei per gas; `None` on chains without EIP-1559.
    pub base_fee: Option<u64>,
}

impl Chain {
    /// Connects to a node and identifies the chain. Fails when the node cannot be reached or answers with an error.
    pub async fn connect(endpoint: Endpoint) -> Result<Self, ChainError> {
        let client: RpcClient = endpoint.client().await?;
        let local = LocalChain::detect(&endpoint, &client).await?;
        let provider = RootProvider::<alloy::network::Ethereum>::new(client).erased();
        let of = |error: TransportError| ChainError::of_transport(&endpoint, &error);
        let id = provider.get_chain_id().await.map_err(of)?;
        let genesis = provider.get_block_by_number(0.into()).await.map_err(of)?;
        let genesis = genesis.map_or(B256::ZERO, |block| block.header.hash);
        Ok(Self { endpoint, provider, local, id, genesis })
    }

    /// Returns the endpoint.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the provider, which signs nothing.
    #[must_use]
    pub const fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// Returns the proof that the node is an Anvil, if it is one.
    #[must_use]
    pub const fn local(&self) -> Option<LocalChain> {
        self.local
    }

    /// Returns whether nothing can be lost on this chain: the node is an Anvil, and the deployer is one of Anvil's own
    /// accounts. What a node says of itself does not suffice, because any node can say it.
    #[must_use]
    pub fn is_dev_chain(&self, deployer: Address) -> bool {
        self.local.is_some() && is_anvil_account(deployer)
    }

    /// Returns the chain id.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Returns the hash of block 0.
    #[must_use]
    pub const fn genesis(&self) -> B256 {
        self.genesis
    }

    /// Converts an error of a request to this chain.
    #[must_use]
    pub fn error(&self, error: &TransportError) -> ChainError {
        ChainError::of_transport(&self.endpoint, error)
    }

    /// Reads the code at an address; empty if there is none.
    pub async fn code(&self, address: Address) -> Result<Bytes, ChainError> {
        self.provider.get_code_at(address).await.map_err(|error| self.error(&error))
    }

    /// Reads an account's balance in wei.
    pub async fn balance(&self, address: Address) -> Result<U256, ChainError> {
        self.provider.get_balance(address).await.map_err(|error| self.error(&error))
    }

    /// Reads the receipt of a transaction; `None` if it is not mined.
    pub async fn receipt(&self, transaction: B256) -> Result<Option<TransactionReceipt>, ChainError> {
        self.provider.get_transaction_receipt(transaction).await.map_err(|error| self.error(&error))
    }

    /// Reads a transaction count of an account: of its mined transactions, or with those that are pending.
    pub async fn transaction_count(&self, account: Address, block: BlockNumberOrTag) -> Result<u64, ChainError> {
        let count = self.provider.get_transaction_count(account).block_id(block.into()).await;
        count.map_err(|error| self.error(&error))
    }

    /// Returns whether the node knows a transaction, mined or pending.
    pub async fn knows(&self, transaction: B256) -> Result<bool, ChainError> {
        let found = self.provider.get_transaction_by_hash(transaction).await.map_err(|error| self.error(&error))?;
        Ok(found.is_some())
    }

    /// Reads the logs that match a filter from a block on. A node that refuses to search all of these blocks at once is
    /// asked part by part; fails if it refuses that, too.
    pub async fn logs(&self, filter: &Filter, from: u64) -> Result<Vec<Log>, ChainError> {
        let search = async |filter: Filter| self.provider.get_logs(&filter).await.map_err(|error| self.error(&error));
        match search(filter.clone().from_block(from)).await {
            Err(ChainError::Refused { .. } | ChainError::AnswerTooLarge { .. }) => {}
            result => return result,
        }
        let head = self.head().await?.number;
        let (mut logs, mut first) = (Vec::new(), from);
        while first <= head {
            let last = head.min(first.saturating_add(LOG_BLOCKS - 1));
            logs.extend(search(filter.clone().from_block(first).to_block(last)).await?);
            first = last + 1;
        }
        Ok(logs)
    }

    /// Reads the newest block.
    pub async fn head(&self) -> Result<Head, ChainError> {
        let block = self.provider.get_block_by_number(BlockNumberOrTag::Latest).await;
        let block = block.map_err(|error| self.error(&error))?;
        let header = block.map(|block| block.header).unwrap_or_default();
        Ok(Head { number: header.number, timestamp: header.timestamp, base_fee: header.base_fee_per_gas })
    }

    /// Returns whether blocks carry a RANDAO mix, both for contracts and in their headers. Where a chain has none, the one
    /// is a constant or a difficulty, and the other may be anything.
    pub async fn has_randomness(&self) -> Result<bool, ChainError> {
        /// `PREVRANDAO PUSH1 0 MSTORE PUSH1 32 PUSH1 0 RETURN`.
        const READ_MIX: [u8; 9] = [0x44, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3];
        /// A mix falls below it by chance once in 2^192 blocks.
        const SMALLEST_MIX: U256 = U256::from_limbs([0, 1, 0, 0]);
        let block = self.provider.get_block_by_number(BlockNumberOrTag::Latest).await;
        let header = block.map_err(|error| self.error(&error))?.map(|block| block.header).unwrap_or_default();
        // Nobody proposed the first block, so it says nothing.
        if header.number == 0 {
            return Ok(true);
        }
        let seen = self.call(TransactionRequest::default().into_create().with_input(READ_MIX)).await?;
        let seen = seen.and_then(|bytes| U256::try_from_be_slice(&bytes)).unwrap_or_default();
        Ok(seen >= SMALLEST_MIX && U256::from_be_bytes(header.mix_hash.0) >= SMALLEST_MIX)
    }

    /// Calls a contract; `None` if it reverts, returns data of another type, or does not exist.
    pub async fn read<C: SolCall>(&self, to: Address, call: C) -> Result<Option<C::Return>, ChainError> {
        let answer = self.read_raw(to, call.abi_encode().into()).await?;
        Ok(answer.and_then(|bytes| C::abi_decode_returns(&bytes).ok()))
    }

    /// Calls a contract as an account; `None` if it reverts or returns data of another type.
    pub async fn read_from<C: SolCall>(
        &self,
        from: Address,
        to: Address,
        call: C,
    ) -> Result<Option<C::Return>, ChainError> {
        let request = TransactionRequest::default().with_from(from).with_to(to).with_input(call.abi_encode());
        let answer = self.call(request).await?;
        Ok(answer.and_then(|bytes| C::abi_decode_returns(&bytes).ok()))
    }

    /// Calls a contract as [`Chain::read`] does, with encoded input and output; `None` if it reverts.
    pub async fn read_raw(&self, to: Address, input: Bytes) -> Result<Option<Bytes>, ChainError> {
        self.call(TransactionRequest::default().with_to(to).with_input(input)).await
    }

    async fn call(&self, request: TransactionRequest) -> Result<Option<Bytes>, ChainError> {
        match self.provider.call(request).await.map_err(|error| self.error(&error)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_revert() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
