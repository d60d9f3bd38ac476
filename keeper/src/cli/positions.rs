//! `plimsoll-keeper positions`: builds the book once, from the checkpoint and the chain, and lists its loans. The
//! checkpoint is skipped while a running keeper uses it. That keeper is asked for its decisions alone.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use alloy::primitives::U256;
use eyre::{bail, ensure, eyre};
use plimsoll_contracts::{MarketId, quantity::Decimal};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{
    book::{FollowResult, TIMEOUT, follow_to_head, names},
    running::RunningKeeper,
};
use crate::{
    book::{Block, Book, MarketBook, Row},
    chain::{Followed, Header, Sources},
    config::Config,
    engine::{FailoverReader, confirm_deployment},
    prices::{PricedMarket, UNSIGNED_ACCOUNT, snapshot},
    report::positions::{PositionsReport, WithoutPrice},
    store::{CheckpointTip, Identity, Image, Store},
    strategies::liquidate::at_risk,
    stream::{self, Cursor, Stream, StreamReader},
    view::position_view,
};

/// Decimals of a health factor.
const HEALTH_DECIMALS: u8 = 18;

/// Fails where the configuration is of other protocols alone.
pub(super) fn ensure_deployment(config: &Config) -> eyre::Result<()> {
    ensure!(
        config.deployed.core().is_some(),
        "the configuration has no deployment of Plimsoll: name its `record` in [deployment]; `plimsoll-keeper watch` shows the \
         positions of other protocols"
    );
    Ok(())
}

/// Lists positions as of the newest block, with a health factor below `below` and in `market` if these are given. Fails if
/// no node lets the book be read, or if the market is unknown.
pub(super) async fn list_positions(
    mut config: Config,
    market: Option<&str>,
    below: Option<&str>,
) -> eyre::Result<PositionsReport> {
    ensure_deployment(&config)?;
    let below = below.map(parse_health).transpose()?.unwrap_or(U256::MAX);
    let market = market.map(|name| find_market(&config, name)).transpose()?;
    let (book, header, reader) = read_book(&mut config).await?;
    let wanted = |book: &&MarketBook| market.is_none_or(|id| book.id() == id);
    let markets: Vec<_> = book.markets().filter(wanted).map(PricedMarket::of).collect();
    let reader = FailoverReader::new(reader, UNSIGNED_ACCOUNT);
    let prices = snapshot(&reader, config.deployed.core, &header, &markets).await?;
    let mut report = PositionsReport {
        block: header.number,
        timestamp: header.timestamp,
        keeper: None,
        positions: Vec::new(),
        without_price: Vec::new(),
    };
    for market in book.markets().filter(wanted) {
        match prices.of(market.id()) {
            Ok(price) => {
                let loans = at_risk(market, price, header.timestamp, below, usize::MAX);
                report.positions.extend(loans.iter().map(|loan| position_view(&config, market, loan, price)));
            }
            Err(reason) => {
                let market = config.deployed.market_name(market.id());
                report.without_price.push(WithoutPrice { market, reason: reason.to_string() });
            }
        }
    }
    report.positions.sort_by_key(|position| position.health);
    match RunningKeeper::ask(config.http.listen, &config.deployed).await {
        Ok(running) => {
            report.positions.iter_mut().for_each(|position| position.decision = running.decision(position));
            report.keeper = Some(running.keeper);
        }
        Err(reason) => warn!(
            %reason,
            "no keeper was asked for its decisions: start `plimsoll-keeper run`, or set `listen` in [http] to the \
             address of a running one"
        ),
    }
    Ok(report)
}

fn parse_health(text: &str) -> eyre::Result<U256> {
    let health = text.parse::<Decimal>().and_then(|number| number.scaled(HEALTH_DECIMALS));
    health.map_err(|problem| eyre!("--below: {problem}"))
}

fn find_market(config: &Config, name: &str) -> eyre::Result<MarketId> {
    let names = &config.deployed.market_names;
    let by_name = names.iter().find(|(_, known)| *known == name).map(|(id, _)| *id);
    by_name.or_else(|| name.parse().ok().map(MarketId)).ok_or_else(|| {
        let known: Vec<_> = names.values().map(String::as_str).collect();
        eyre!("--market: there is no market {name}; the record has {}", known.join(", "))
    })
}

/// Builds the book as of the newest block.
async fn read_book(config: &mut Config) -> eyre::Result<(Book, Header, StreamReader)> {
    let endpoints = std::mem::take(&mut config.endpoints).into_iter().filter(|settings| settings.role.reads());
    let endpoints: Vec<_> = endpoints.map(|settings| Arc::new(settings.endpoint)).collect();
    let Ok(confirmed) = timeout(TIMEOUT, confirm_deployment(config, &endpoints)).await else {
        bail!("no node answered for {} s: {}", TIMEOUT.as_secs(), names(&endpoints));
    };
    confirmed?;
    let deployed = &config.deployed;
    let from_nothing = Cursor { number: deployed.first_block.saturating_sub(1), hash: None };
    // No position depends on a vault or on governance.
    let sources = Sources { vaults: BTreeSet::new(), governance: None, nodes: None, ..config.sources() };
    let (mut book, cursor) = match checkpoint(config, &sources.followed).await {
        Some((book, tip)) => (book, Cursor { number: tip.number, hash: Some(tip.hash) }),
        None => (Book::following(sources.followed.clone()), from_nothing),
    };
    info!(from_block = cursor.number + 1, "reading events");
    let settings = stream::StreamSettings {
        genesis: deployed.genesis,
        ..stream::StreamSettings::new(deployed.chain_id, config.chain.block_time)
    };
    let mut stream = Stream::start(endpoints, sources.clone(), cursor, settings);
    loop {
        match follow_to_head(&mut stream, &mut book).await? {
            FollowResult::Head(header) => return Ok((book, header, stream.reader())),
            FollowResult::DoesNotFit(reason) if book.tip().is_none() => bail!("{reason}"),
            FollowResult::DoesNotFit(_) => {
                book = Book::following(sources.followed.clone());
                stream.restart(from_nothing);
            }
        }
    }
}

/// Restores the book from the checkpoint; `None` if there is none, or while a running keeper uses it.
async fn checkpoint(config: &Config, followed: &Followed) -> Option<(Book, CheckpointTip)> {
    let deployed = &config.deployed;
    let folder: &Path = &config.store.folder;
    let identity = Identity::of(deployed, deployed.genesis?);
    if !folder.exists() {
        return None;
    }
    let store = match Store::open(folder, &identity) {
        Ok(store) => store,
        Err(error) => {
            info!(%error, "checkpoint not used");
            return None;
        }
    };
    let followed = followed.clone();
    let restore = move |tip: CheckpointTip, images: &mut dyn Iterator<Item = Image>| {
        let rows = images.map(|(key, value)| Row::decode(&key, &value));
        let book = Book::restore(Block { number: tip.number, timestamp: tip.timestamp }, &followed, rows);
        let book = book.ok().filter(|book| book.coverage().missing().is_empty());
        book.map(|book| (book, tip))
    };
    store.checkpoint.load(restore).await.ok().flatten().flatten()
}
