//! A deployment whose key is in another process, which signs by `eth_signTransaction`.

use eyre::ensure;
use plimsoll_contracts::deployment::Deployment;
use plimsoll_testkit::proxy::{Fault, Phase, Proxy, Rule};

use super::fixture::{Fixture, SMALL};

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_signer_deploys_what_a_key_in_this_process_does() -> eyre::Result<()> {
    let (fixture, with_key) = (Fixture::start(&[]).await?, Fixture::start(&[]).await?);
    let expected = with_key.apply(SMALL).await?;
    // The node signs for its own accounts. The proxy shows what it is asked for as a signer.
    let signer = Proxy::start(fixture.node.address()).await?;
    let remote = format!("{{ remote = {{ url_env = \"SIGNER_URL\", address = \"{}\" }} }}", fixture.node.account(0)?);
    let manifest = fixture.write(&SMALL.replace("{ anvil = 0 }", &remote))?;
    let apply = async |url: Option<String>| {
        let mut command = fixture.command("apply", &manifest, &fixture.node.http_url());
        command.arg("--yes").env_remove("SIGNER_URL");
        if let Some(url) = url {
            command.env("SIGNER_URL", url);
        }
        tokio::task::spawn_blocking(move || command.output()).await?.map_err(eyre::Report::from)
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();

    let unset = apply(None).await?;
    ensure!(text(&unset.stderr).contains("SIGNER_URL is not set; it must hold the URL"), "{}", text(&unset.stderr));
    let lost = signer.inject(Rule::from(Fault::Reset(Phase::BeforeForwarding)).on(&["eth_signTransaction"]));
    let refused = apply(Some(signer.http_url())).await?;
    let words = text(&refused.stderr);
    ensure!(
        !refused.status.success() && words.contains("it cannot be signed") && words.contains("signer's log"),
        "{words}"
    );
    ensure!(fixture.sent().await? == 0, "something was sent");
    signer.lift(lost);
    signer.reset_counts();
    let applied = apply(Some(signer.http_url())).await?;
    ensure!(applied.status.success(), "{}", text(&applied.stderr));
    let record: Deployment = serde_json::from_slice(&std::fs::read(fixture.record_path())?)?;
    let addresses = |record: &Deployment| -> Vec<_> {
        record.contracts.iter().map(|(name, contract)| (name.clone(), contract.address)).collect()
    };
    ensure!(addresses(&record) == addresses(&expected), "{record:?}");
    let (signed, sent) = (signer.counts().of("eth_signTransaction"), fixture.sent().await?);
    ensure!(signed == sent, "{signed} of {sent} transactions were signed remotely");
    Ok(())
}
