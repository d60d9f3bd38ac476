//! A keeper whose keys are in another process, which signs by `eth_signTransaction`.

use eyre::ensure;
use plimsoll_testkit::{
    keeper::{Keeper, KeeperSetup},
    proxy::{Fault, Phase, Proxy, Rule},
};

use super::fixture::{EARLY_FINALITY, Fixture, program, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_signer_signs_and_while_it_does_not_nothing_is_sent_and_no_nonce_is_lost() -> eyre::Result<()> {
    let fixture = Fixture::new(&[1, 1]).await?;
    let devnet = &fixture.suite.devnet;
    // The node signs for its own accounts. The proxy is the way to it as a signer alone.
    let proxy = Proxy::start(devnet.node.address()).await?;
    let remote = |index: usize| -> eyre::Result<String> {
        let address = devnet.account(index)?;
        Ok(format!("{{ remote = {{ url_env = \"SIGNER_URL\", address = \"{address}\" }} }}"))
    };
    let setup = KeeperSetup {
        signers: format!("liquidations = {}\nharvests = {}", remote(8)?, remote(9)?),
        further: EARLY_FINALITY.to_owned(),
        ..KeeperSetup::live(&fixture.suite)
    };
    let mut with_url = program();
    with_url.env("SIGNER_URL", proxy.http_url());
    let running = Keeper::start_with(&fixture.suite, with_url, &setup).await?;
    let signer = running.signer();
    running.wait_until_ready().await?;
    fixture.stop_mining().await?;
    fixture.drop_price_below(0).await?;
    fixture.wait_until_liquidated(1, &[&running]).await?;
    ensure!(proxy.counts().of("eth_signTransaction") > 0, "the key was not in the other process");

    // The signer is gone. What it does not sign is dropped, with an alert, and decided again with the next block.
    let lost = proxy.inject(Rule::from(Fault::Reset(Phase::BeforeForwarding)).on(&["eth_signTransaction"]));
    fixture.drop_price_below(1).await?;
    soon(async {
        while !running.text("/metrics").await?.contains("dropped_intents_total{reason=\"not_signed\"}") {
            fixture.mine_blocks(1, &running).await?;
        }
        Ok(())
    })
    .await?;
    ensure!(running.output().contains("see the signer's log"), "{}", running.output());
    ensure!(fixture.liquidated().await?.len() == 1, "something was sent unsigned");
    proxy.lift(lost);
    fixture.wait_until_liquidated(2, &[&running]).await?;

    // A keeper that has the keys itself goes on from the same journal.
    drop(running);
    let with_keys = KeeperSetup { further: EARLY_FINALITY.to_owned(), ..KeeperSetup::live(&fixture.suite) };
    let running = Keeper::start_with(&fixture.suite, program(), &with_keys).await?;
    running.wait_until_ready().await?;
    let journal = fixture.settle_and_end(running, &with_keys).await?;
    fixture.ensure_each_once().await?;
    fixture.ensure_none_reverted(signer).await?;
    fixture.ensure_journal_is_complete(&journal, signer).await
}
