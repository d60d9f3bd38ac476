//! Tells a local Anvil from every other node by the methods that it supports, whatever its chain id.

use alloy::{
    rpc::{client::RpcClient, types::anvil::NodeInfo},
    transports::RpcError,
};

use crate::{endpoint::Endpoint, error::ChainError};

/// Proof that an endpoint answers as an Anvil, where publicly known keys do no harm. Only [`LocalChain::detect`] creates
/// one. Any node can answer so: where a real key could lose something, this is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalChain(());

impl LocalChain {
    /// Calls `anvil_nodeInfo`; returns `None` if the node does not support it.
    ///
    /// # Errors
    /// When the node cannot be reached or answers with something else than JSON-RPC.
    pub async fn detect(endpoint: &Endpoint, client: &RpcClient) -> Result<Option<Self>, ChainError> {
        match client.request_noparams::<NodeInfo>("anvil_nodeInfo").await {
            Ok(_) => Ok(Some(Self(()))),
            Err(RpcError::ErrorResp(_) | RpcError::NullResp) => Ok(None),
            Err(error) => Err(ChainError::of_transport(endpoint, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_server::serve;

    const REFUSAL: &str = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"the method does not exist"}}"#;

    #[tokio::test]
    async fn a_node_without_anvils_methods_is_not_local() {
        let address = serve("200 OK", |_| REFUSAL.to_owned()).await;
        let endpoint: Endpoint = format!("http://{address}").parse().unwrap();
        let client = endpoint.client().await.unwrap();
        assert_eq!(LocalChain::detect(&endpoint, &client).await, Ok(None));
    }

    #[tokio::test]
    async fn an_unreachable_node_is_an_error_and_not_taken_for_remote() {
        let address = serve("502 Bad Gateway", |_| "try again".to_owned()).await;
        let endpoint: Endpoint = format!("http://{address}").parse().unwrap();
        let client = endpoint.client().await.unwrap();
        assert!(LocalChain::detect(&endpoint, &client).await.unwrap_err().is_retryable());
    }
}
