//! A second opinion on totals that differ from the book's: what every endpoint says of these markets. Neither the book nor
//! an endpoint is believed on its own.

use std::sync::Arc;

use alloy::{
    eips::BlockId,
    primitives::{Address, Bytes},
    rpc::{client::RpcClient, types::TransactionRequest},
    sol_types::SolCall,
};
use futures_util::future::try_join_all;
use plimsoll_chain::{endpoint::Endpoint, error::ChainError};
use plimsoll_contracts::{IPlimsoll, Market as MarketOnChain, MarketId};
use tracing::{error, warn};

use crate::{audit::Mismatch, book::Book, chain::Header, stream::StreamReader};

/// What is said of the book's totals in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opinion {
    /// Those that were read with the block's prices are the book's.
    Agreed,
    /// An endpoint has the book's totals, so those with others lie.
    BookIsRight,
    /// At least two endpoints have the same totals, and none has the book's.
    BookIsWrong,
    /// Fewer than two endpoints answer, or they differ from each other.
    Unconfirmed,
}

/// Asks every endpoint for the totals that were found to differ from the book's after a block, if any did. Those that lie
/// are demoted.
pub(super) async fn on_totals(
    reader: &StreamReader,
    core: Address,
    book: &Book,
    header: &Header,
    differences: &[Mismatch],
) -> Opinion {
    let differing = differences.iter().filter_map(|difference| book.market(difference.market));
    let (markets, in_book): (Vec<_>, Vec<_>) =
        differing.map(|market| (market.id(), MarketOnChain::from(market.state().totals))).unzip();
    if markets.is_empty() {
        return Opinion::Agreed;
    }
    let markets = Arc::<[MarketId]>::from(markets);
    let answers =
        reader.ask_each(|endpoint, client| totals(endpoint, client, core, *header, Arc::clone(&markets))).await;
    let (opinion, liars) = weigh(&answers, &in_book);
    for index in liars {
        reader.report_false_answer(index, "it gives totals that are not those of another endpoint and of the book");
    }
    match opinion {
        Opinion::Agreed => {}
        Opinion::BookIsRight => warn!(block = header.number, "totals were false, the book is right"),
        Opinion::BookIsWrong => {
            error!(block = header.number, endpoints = answers.len(), "totals differ, the book is wrong")
        }
        Opinion::Unconfirmed => warn!(
            block = header.number,
            endpoints = answers.len(),
            remedy = "read from a second endpoint, of another provider",
            "totals differ, and nobody confirms them"
        ),
    }
    opinion
}

/// Reads the totals of markets in a block from one endpoint.
async fn totals(
    endpoint: Arc<Endpoint>,
    client: RpcClient,
    core: Address,
    header: Header,
    markets: Arc<[MarketId]>,
) -> Result<Vec<MarketOnChain>, ChainError> {
    let request = |id: &MarketId| {
        let call = IPlimsoll::marketCall { id: id.0 }.abi_encode();
        let request = TransactionRequest::default().to(core).input(call.into());
        client.request::<_, Bytes>("eth_call", (request, BlockId::from(header.hash)))
    };
    let requests: Vec<_> = markets.iter().map(request).collect();
    let answers = try_join_all(requests).await.map_err(|error| ChainError::of_transport(&endpoint, &error))?;
    let decode = |data: Bytes| {
        IPlimsoll::marketCall::abi_decode_returns(&data).map_err(|error| ChainError::of(&endpoint, &error))
    };
    answers.into_iter().map(decode).collect()
}

/// Compares what the endpoints with these indices say with the book. Returns the opinion, and the endpoints that lie.
fn weigh<T: PartialEq>(answers: &[(usize, T)], in_book: &T) -> (Opinion, Vec<usize>) {
    let differing: Vec<_> = answers.iter().filter(|(_, totals)| totals != in_book).collect();
    let agree = differing.windows(2).all(|pair| matches!(pair, [(_, one), (_, other)] if one == other));
    if differing.len() < answers.len() {
        (Opinion::BookIsRight, differing.iter().map(|(index, _)| *index).collect())
    } else if differing.len() >= 2 && agree {
        (Opinion::BookIsWrong, Vec::new())
    } else {
        (Opinion::Unconfirmed, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_is_wrong_only_if_two_endpoints_say_the_same_and_none_says_what_it_says() {
        let of = |answers: &[(usize, u32)]| weigh(answers, &1);
        assert_eq!(of(&[(0, 2), (1, 1), (2, 2)]), (Opinion::BookIsRight, vec![0, 2]));
        assert_eq!(of(&[(0, 1)]), (Opinion::BookIsRight, vec![]));
        assert_eq!(of(&[(0, 2), (2, 2)]), (Opinion::BookIsWrong, vec![]));
        for unconfirmed in [&[][..], &[(0, 2)], &[(0, 2), (1, 3)]] {
            assert_eq!(of(unconfirmed), (Opinion::Unconfirmed, vec![]));
        }
    }
}
