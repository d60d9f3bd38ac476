//! Headers of a real node, as the draw of jobs takes them.

use alloy::{
    eips::BlockId,
    providers::{Provider, ext::AnvilApi},
};
use eyre::{ContextCompat, ensure};
use plimsoll_channels::{encode_header, prev_randao};
use plimsoll_testkit::devnet::Devnet;

#[tokio::test(flavor = "multi_thread")]
async fn a_nodes_own_headers_hash_to_its_blocks_and_hold_the_mix() -> eyre::Result<()> {
    for fork in ["prague", "cancun", "shanghai", "paris"] {
        let devnet = Devnet::start_with(&["--hardfork", fork]).await?;
        let provider = devnet.provider();
        provider.anvil_mine(Some(300), None).await?;
        let mut mixes = Vec::new();
        for number in [1, 127, 128, 255, 256, 300] {
            let block = provider.get_block(BlockId::number(number)).await?.wrap_err("no block")?;
            let encoded = encode_header(&block.header).wrap_err_with(|| format!("{fork}: {:?}", block.header))?;
            let mix = block.header.inner.mix_hash;
            ensure!(prev_randao(&encoded) == Some(mix), "{fork}, block {number}");
            mixes.push(mix);
            // A node that leaves a field out is noticed.
            let mut lacking = block.header.clone();
            lacking.inner.base_fee_per_gas = None;
            ensure!(encode_header(&lacking).is_none(), "{fork}, block {number}");
        }
        mixes.dedup();
        ensure!(mixes.len() > 1, "{fork}: the chain has no randomness: {mixes:?}");
    }
    Ok(())
}
