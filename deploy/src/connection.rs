//! A chain that was reached: what it says of itself, and reading from it. Every error names the endpoint and nothing
//! secret of it.

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256},
    providers::{DynProvider, Provider, RootProvider},
    rpc::{
        client::RpcClient,
        types::{TransactionReceipt, TransactionRequest},
    },
    sol_types::SolCall,
    transports::TransportError,
};
use plimsoll_chain::{endpoint::Endpoint, error::ChainError, local::LocalChain};

/// A chain that answers.
#[derive(Debug)]
pub struct Chain {
    endpoint: Endpoint,
    provider: DynProvider,
    local: Option<LocalChain>,
    id: u64,
    genesis: B256,
}

/// The newest block, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its time, in seconds since 1970.
    pub timestamp: u64,
    /// Its base fee; there is none on chains before EIP-1559.
    pub base_fee: Option<u64>,
}

impl Chain {
    /// Reaches a node and asks who it is. Fails when it does not answer.
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

    /// Where it is.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The node itself, which signs nothing.
    #[must_use]
    pub const fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// The proof that it is an Anvil, if it is.
    #[must_use]
    pub const fn local(&self) -> Option<LocalChain> {
        self.local
    }

    /// Its chain id.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The hash of block 0.
    #[must_use]
    pub const fn genesis(&self) -> B256 {
        self.genesis
    }

    /// Takes over an error of the node's.
    #[must_use]
    pub fn error(&self, error: &TransportError) -> ChainError {
        ChainError::of_transport(&self.endpoint, error)
    }

    /// The code at an address; empty where there is none.
    pub async fn code(&self, address: Address) -> Result<Bytes, ChainError> {
        self.provider.get_code_at(address).await.map_err(|error| self.error(&error))
    }

    /// An account's ether.
    pub async fn balance(&self, address: Address) -> Result<U256, ChainError> {
        self.provider.get_balance(address).await.map_err(|error| self.error(&error))
    }

    /// How a transaction ended, if it was mined.
    pub async fn receipt(&self, transaction: B256) -> Result<Option<TransactionReceipt>, ChainError> {
        self.provider.get_transaction_receipt(transaction).await.map_err(|error| self.error(&error))
    }

    /// The newest block.
    pub async fn head(&self) -> Result<Head, ChainError> {
        let block = self.provider.get_block_by_number(alloy::eips::BlockNumberOrTag::Latest).await;
        let block = block.map_err(|error| self.error(&error))?;
        let header = block.map(|block| block.header).unwrap_or_default();
        Ok(Head { number: header.number, timestamp: header.timestamp, base_fee: header.base_fee_per_gas })
    }

    /// What a contract answers; `None` where it refuses, answers something else, or is not there.
    pub async fn read<C: SolCall>(&self, to: Address, call: C) -> Result<Option<C::Return>, ChainError> {
        let answer = self.read_raw(to, call.abi_encode().into()).await?;
        Ok(answer.and_then(|bytes| C::abi_decode_returns(&bytes).ok()))
    }

    /// [`Chain::read`] without types; `None` where the contract refuses.
    pub async fn read_raw(&self, to: Address, input: Bytes) -> Result<Option<Bytes>, ChainError> {
        let request = TransactionRequest::default().with_to(to).with_input(input);
        match self.provider.call(request).await.map_err(|error| self.error(&error)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_revert(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether the node says that a contract refused, and not that it could not ask.
#[must_use]
pub fn is_revert(error: &ChainError) -> bool {
    /// What the execution specification wants for a revert.
    const REVERT_CODE: i64 = 3;
    match error {
        ChainError::Refused { code, message, revert_data, .. } => {
            *code == REVERT_CODE || revert_data.is_some() || message.to_lowercase().contains("revert")
        }
        ChainError::Unreachable { .. } => false,
    }
}
