//! `keeper positions`: reads the book from the chain, once, and shows what is in it.

use crate::{config::Config, report::positions::PositionsReport};
pub(super) async fn look(_: Config, _: Option<&str>, _: Option<&str>) -> eyre::Result<PositionsReport> {
    eyre::bail!("soon")
}
