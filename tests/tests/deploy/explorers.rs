//! Sources for block explorers: they compile to the deployed bytes, and are submitted in the form that each explorer
//! wants.

use std::{
    io::Write,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::primitives::{Address, Bytes, address, b256};
use eyre::{ContextCompat, ensure};
use plimsoll_chain::secret::Secret;
use plimsoll_deploy::{
    explorer::{Explorer, ExplorerError, Outcome, Submission},
    standard_json::{CompilerInput, standard_json},
    toolchain::tools::Tool,
};
use plimsoll_testkit::contracts::artifacts;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::{
    fixture::{Fixture, SMALL, design},
    http::{Request, serve},
};
use crate::support;

const CONTRACT: Address = address!("5FbDB2315678afecb367f032d93F642f64180aa3");
const KEY: &str = "a-key-that-is-paid-for";
/// Polling interval: none, in tests.
const PAUSE: Duration = Duration::from_millis(1);

#[test]
fn sources_for_explorers_compile_to_the_deployed_bytecode() -> eyre::Result<()> {
    let tools = support::tools()?;
    for name in ["FixedOracle", "TimelockController"] {
        let artifact = artifacts()?.get(name)?;
        let input = standard_json(&tools, artifact)?;
        let mut child =
            tools.command(Tool::Solc)?.arg("--standard-json").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        child.stdin.take().wrap_err("no stdin")?.write_all(input.json.to_string().as_bytes())?;
        let output: Value = serde_json::from_slice(&child.wait_with_output()?.stdout)?;
        let (file, contract) = input.identifier.rsplit_once(':').wrap_err("no contract")?;
        let object = output["contracts"][file][contract]["evm"]["bytecode"]["object"].as_str();
        let object = object.wrap_err_with(|| format!("{name}: {}", output["errors"]))?;
        ensure!(format!("0x{object}") == artifact.creation_code.to_string(), "{name} compiles to other bytes");
    }
    Ok(())
}

fn input() -> CompilerInput {
    CompilerInput {
        json: json!({ "language": "Solidity", "sources": { "A.sol": { "content": "contract A {} // a+b&c=d" } } }),
        identifier: "contracts/src/A.sol:A".into(),
        compiler: "v0.8.37+commit.f401782d".into(),
    }
}

fn submission<'a>(input: &'a CompilerInput, arguments: &'a Bytes) -> Submission<'a> {
    let transaction = Some(b256!("0000000000000000000000000000000000000000000000000000000000000abc"));
    Submission { chain_id: 11_155_111, address: CONTRACT, arguments, input, transaction }
}

type Log = Arc<Mutex<Vec<(String, String, String)>>>;

/// Starts an explorer with these responses, in order, which records the requests.
async fn explorer(answers: Vec<(u16, Value)>) -> eyre::Result<(Url, Log)> {
    let log = Log::default();
    let (kept, answers) = (Arc::clone(&log), Arc::new(Mutex::new(answers.into_iter())));
    let url = serve(move |request: Request| {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push((request.method, request.path, request.body));
        let (status, answer) =
            answers.lock().unwrap_or_else(PoisonError::into_inner).next().unwrap_or((500, json!("asked too often")));
        async move { (status, answer.to_string()) }
    })
    .await?;
    Ok((url.parse()?, log))
}

fn etherscans(result: &str, status: &str) -> (u16, Value) {
    (200, json!({ "status": status, "message": "", "result": result }))
}

#[tokio::test]
async fn sources_are_submitted_to_etherscan_as_a_form_and_polled_until_done() -> eyre::Result<()> {
    let (url, log) = explorer(vec![
        etherscans("ticket-7", "1"),
        etherscans("Pending in queue", "0"),
        etherscans("Pass - Verified", "1"),
    ])
    .await?;
    let (input, arguments) = (input(), Bytes::from_static(&[0xab, 0xcd]));
    let etherscan = Explorer::Etherscan(url, Secret::new(KEY.into()));
    assert_eq!(etherscan.submit(&submission(&input, &arguments), PAUSE).await?, Outcome::Verified);

    let log = log.lock().unwrap();
    let (method, path, body) = &log[0];
    assert_eq!((method.as_str(), path.contains("chainid=11155111")), ("POST", true));
    let form: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(field("action"), Some("verifysourcecode"));
    assert_eq!(field("codeformat"), Some("solidity-standard-json-input"));
    assert_eq!(serde_json::from_str::<Value>(field("sourceCode").unwrap_or_default())?, input.json);
    assert_eq!(field("contractaddress"), Some(CONTRACT.to_string().as_str()));
    assert_eq!(field("contractname"), Some("contracts/src/A.sol:A"));
    assert_eq!(field("compilerversion"), Some("v0.8.37+commit.f401782d"));
    assert_eq!(field("constructorArguements"), Some("abcd"));
    assert_eq!(field("apikey"), Some(KEY));
    assert_eq!(log.len(), 3);
    assert!(log[2].1.contains("action=checkverifystatus") && log[2].1.contains("guid=ticket-7"), "{}", log[2].1);
    Ok(())
}

#[tokio::test]
async fn a_refusal_by_etherscan_is_reported_without_the_api_key() -> eyre::Result<()> {
    let (url, _) = explorer(vec![etherscans(&format!("Invalid API Key {KEY}"), "0")]).await?;
    let (input, arguments) = (input(), Bytes::new());
    let etherscan = Explorer::Etherscan(url, Secret::new(KEY.into()));
    let error = etherscan.submit(&submission(&input, &arguments), PAUSE).await.unwrap_err();
    assert!(matches!(error, ExplorerError::Refused(..)), "{error}");
    assert!(error.to_string().contains("Invalid API Key") && !error.to_string().contains(KEY), "{error}");

    let (url, _) = explorer(vec![etherscans("Contract source code already verified", "0")]).await?;
    let etherscan = Explorer::Etherscan(url, Secret::new(KEY.into()));
    assert_eq!(etherscan.submit(&submission(&input, &arguments), PAUSE).await?, Outcome::Already);
    Ok(())
}

#[tokio::test]
async fn sources_are_submitted_to_sourcify_as_json_and_polled_until_done() -> eyre::Result<()> {
    let (url, log) = explorer(vec![
        (202, json!({ "verificationId": "7" })),
        (200, json!({ "isJobCompleted": false })),
        (200, json!({ "isJobCompleted": true, "contract": { "match": "match" } })),
    ])
    .await?;
    let (input, arguments) = (input(), Bytes::new());
    let sourcify = Explorer::Sourcify(url);
    assert_eq!(sourcify.submit(&submission(&input, &arguments), PAUSE).await?, Outcome::Verified);
    let log = log.lock().unwrap().clone();
    assert_eq!((log[0].0.as_str(), log[0].1.as_str()), ("POST", format!("/v2/verify/11155111/{CONTRACT}").as_str()));
    let body: Value = serde_json::from_str(&log[0].2)?;
    assert_eq!(body["stdJsonInput"], input.json);
    assert_eq!(body["compilerVersion"], "0.8.37+commit.f401782d");
    assert_eq!(body["contractIdentifier"], "contracts/src/A.sol:A");
    assert!(body["creationTransactionHash"].as_str().is_some_and(|hash| hash.ends_with("abc")), "{body}");
    assert_eq!(log[2].1, "/v2/verify/7");

    let (url, _) = explorer(vec![(409, json!({ "message": "already" }))]).await?;
    assert_eq!(Explorer::Sourcify(url).submit(&submission(&input, &arguments), PAUSE).await?, Outcome::Already);
    let refusal = json!({ "isJobCompleted": true, "contract": { "match": null }, "error": { "message": "no match" } });
    let (url, _) = explorer(vec![(202, json!({ "verificationId": "8" })), (200, refusal)]).await?;
    let error = Explorer::Sourcify(url).submit(&submission(&input, &arguments), PAUSE).await.unwrap_err();
    assert!(error.to_string().contains("no match"), "{error}");
    Ok(())
}

#[tokio::test]
async fn verify_submits_every_contract_that_was_compiled_here() -> eyre::Result<()> {
    let fixture = Fixture::start(&[]).await?;
    fixture.apply(SMALL).await?;
    let log = Log::default();
    let kept = Arc::clone(&log);
    let url = serve(move |request: Request| {
        let done = json!({ "verificationId": "1", "isJobCompleted": true, "contract": { "match": "match" } });
        kept.lock().unwrap_or_else(PoisonError::into_inner).push((request.method, request.path, request.body));
        async move { (200, done.to_string()) }
    })
    .await?;
    let mut command = fixture.command("verify", &fixture.write(SMALL)?, &fixture.node.http_url());
    command.args(["--sourcify", &url, "--json", "--standard-json"]).arg(fixture.folder.path().join("sources"));
    let output = tokio::process::Command::from(command).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["good"], true);
    let log = log.lock().unwrap().clone();
    for (name, creation) in design(SMALL)?.creations() {
        let path = format!("/v2/verify/31337/{}", creation.address);
        ensure!(log.iter().any(|(method, asked, _)| method == "POST" && *asked == path), "{name} was not handed in");
        let file = fixture.folder.path().join("sources").join(format!("{}.json", creation.contract));
        ensure!(file.is_file(), "{} was not written", file.display());
    }
    Ok(())
}
