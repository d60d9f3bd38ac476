//! The keeper's API over real HTTP: answers, queries, errors and the schema.

use std::collections::BTreeSet;

use eyre::{ContextCompat, ensure};
use plimsoll_keeper::view::View;
use serde_json::{Value, json};

use super::{
    page::{ADDRESSES, Shown},
    sample, schema,
};

#[tokio::test]
async fn the_api_has_every_digit_and_every_reason() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    let told = shown.json("/api/v1/positions?market=weth-usdc").await?;
    assert_eq!((&told["watched"], &told["total"]), (&json!(39), &json!(6)));
    let position = &told["positions"][2];
    assert_eq!(position["decision"]["reason"], "gain_below_gas");
    assert!(position["decision"]["text"].as_str().is_some_and(|text| text.contains("0.0019 ETH")));
    assert_eq!(position["debt"], json!({ "amount": "140", "token": "USDC" }));
    assert_eq!(position["collateral"]["amount"], "0.077");
    assert_eq!(position["health"], "0.9987");
    assert_eq!(shown.json("/api/v1/positions?market=wbtc-usdc").await?["positions"], json!([]));

    let told = shown.json("/api/v1/status").await?;
    assert_eq!(told["readiness"]["ready"], true);
    assert_eq!(told["totals"]["profit"]["amount"], "41.872");
    let market = &shown.json("/api/v1/markets").await?["markets"][2];
    assert_eq!(
        (&market["price"], &market["price_problem"]),
        (&Value::Null, &json!("the oracle reverts with 0x8fb1a9d3"))
    );

    let account = shown.json("/api/v1/accounts/0xa4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4").await?;
    let decisions = &account["history"][0]["decisions"];
    assert_eq!((&decisions[0]["reason"], &decisions[1]["reason"]), (&json!("backing_off"), &json!("swap_too_thin")));
    assert_eq!(
        decisions[1]["text"],
        "for a repayment of 910,400 USDC, the swap brings 901,112 USDC, and 910,400 USDC must be repaid"
    );
    Ok(())
}

#[tokio::test]
async fn positions_are_searched_filtered_ordered_and_paged() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    let first_bytes = async |parameters: &str| -> eyre::Result<Vec<String>> {
        let told = shown.json(&format!("/api/v1/positions?{parameters}")).await?;
        let all = told["positions"].as_array().cloned().unwrap_or_default();
        Ok(all.iter().filter_map(|position| Some(position["account"].as_str()?.get(2..4)?.to_lowercase())).collect())
    };
    for (parameters, expected) in [
        ("", &["a1", "a2", "a3", "a4", "a5", "a6"][..]),
        ("order=desc", &["a6", "a5", "a4", "a3", "a2", "a1"]),
        ("sort=debt&order=desc", &["a4", "a5", "a1", "a2", "a6", "a3"]),
        ("sort=collateral", &["a3", "a6", "a2", "a1", "a5", "a4"]),
        ("offset=2&limit=2", &["a3", "a4"]),
        ("offset=9", &[]),
        ("liquidatable=false", &["a5", "a6"]),
        ("reason=act", &["a1", "a2"]),
        ("search=0xA5A5", &["a5"]),
        ("search=weth&reason=", &["a1", "a2", "a3", "a4", "a5", "a6"]),
        ("search=nothing", &[]),
    ] {
        assert_eq!(first_bytes(parameters).await?, expected, "{parameters}");
    }
    let csv = shown.text("/api/v1/positions.csv?reason=gain_below_gas&limit=1").await?;
    let rows: Vec<_> = csv.lines().collect();
    ensure!(rows.len() == 2 && rows[1].contains("140,\"USDC\",0.077,\"WETH\",2101.23,"), "{csv}");
    // The page takes the same parameters, and leads on to the next one.
    shown.change(|view| view.at_risk = view.at_risk.iter().cycle().take(100_000).cloned().collect());
    let page = shown.text("/positions?sort=debt&order=desc&offset=50").await?;
    ensure!(page.contains("51–100 of 100,000"), "{page}");
    ensure!(page.contains("href=\"/positions?sort=debt&amp;order=desc&amp;offset=100\""), "{page}");
    let short = shown.text("/positions?sort=debt&order=desc&limit=10&market=weth-usdc").await?;
    let kept = "sort=debt&amp;order=desc";
    for link in [
        format!("href=\"/positions?market=weth-usdc&amp;{kept}&amp;offset=10&amp;limit=10\""),
        format!("href=\"/positions?reason=backing_off&amp;{kept}&amp;limit=10\""),
        "<option value=\"desc\" selected=\"selected\">highest first</option>".to_owned(),
        "<input type=\"hidden\" name=\"limit\" value=\"10\">".to_owned(),
    ] {
        ensure!(short.contains(&link), "there is no {link}: {short}");
    }
    assert_eq!(page.matches("<tr class").count(), 50);
    Ok(())
}

#[tokio::test]
async fn what_there_is_not_is_answered_with_an_error_that_says_what_there_is() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    for (path, status, code, part) in [
        ("/api/v1/positions?market=foo", 404, "unknown_market", "weth-usdc, wbtc-usdc, wsteth-weth"),
        ("/api/v1/markets/foo", 404, "unknown_market", "\"foo\""),
        ("/api/v1/positions?limit=0", 400, "invalid_parameter", "from 1 to 1000"),
        ("/api/v1/positions?limit=1001", 400, "invalid_parameter", "1001"),
        ("/api/v1/positions?offset=-1", 400, "invalid_parameter", "whole number"),
        ("/api/v1/positions?sort=wealth", 400, "invalid_parameter", "health, debt"),
        ("/api/v1/positions?order=up", 400, "invalid_parameter", "asc or desc"),
        ("/api/v1/positions?liquidatable=yes", 400, "invalid_parameter", "true or false"),
        ("/api/v1/positions?page=2", 400, "unknown_parameter", "offset and limit"),
        ("/api/v1/activity?sort=debt", 400, "unknown_parameter", "`sort`"),
        ("/api/v1/accounts/0x12", 400, "invalid_parameter", "40 hexadecimal digits"),
        ("/api/v1/accounts/0x00000000000000000000000000000000000000ff", 404, "unknown_account", "1.1"),
        ("/api/v2/status", 404, "unknown_path", "/api/schema.json"),
        ("/api/v1/markets/%ff", 400, "invalid_path", "UTF-8"),
    ] {
        let answer = shown.get(path).await?;
        assert_eq!(answer.status(), status, "{path}");
        let error = answer.json::<Value>().await?["error"].clone();
        let message = error["message"].as_str().unwrap_or_default();
        ensure!(error["code"] == code && message.contains(part), "{path}: {error}");
    }
    for path in ["/api/v1/status", "/api/v1/positions.csv"] {
        let answer = reqwest::Client::new().post(shown.url(path)).send().await?;
        ensure!(answer.status() == 405 && answer.headers()["allow"] == "GET,HEAD", "{:?}", answer.headers());
        ensure!(answer.json::<Value>().await?["error"]["code"] == "method_not_allowed", "{path}");
    }
    for path in ["/markets/foo", "/accounts/0x12", "/positions?limit=x", "/nothing"] {
        let answer = shown.get(path).await?;
        ensure!(answer.status().is_client_error(), "{path}: {}", answer.status());
        let title = if answer.status().as_u16() == 404 { "Not found" } else { "Invalid request" };
        let page = answer.text().await?;
        ensure!(page.contains("Back to the overview") && page.contains(title), "{path}: {page}");
    }
    Ok(())
}

#[tokio::test]
async fn every_answer_is_as_the_served_schema_says() -> eyre::Result<()> {
    let shown = Shown::start(sample::view()).await?;
    let schema = shown.json("/api/schema.json").await?;
    let paths = schema["paths"].as_object().wrap_err("no paths")?;
    let served: BTreeSet<_> = paths.keys().map(String::as_str).collect();
    for path in ADDRESSES.iter().filter(|path| path.starts_with("/api/v1/")) {
        let documented =
            path.replace("weth-usdc", "{market}").replace("0xa4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4", "{account}");
        ensure!(served.contains(documented.as_str()), "the schema does not have {documented}");
        let contents = &paths[&documented]["get"]["responses"]["200"]["content"];
        if path.ends_with(".csv") {
            ensure!(contents["text/csv"].is_object(), "{documented}");
            continue;
        }
        let answer = &contents["application/json"]["schema"];
        let empty = Shown::start(View::default()).await?;
        for view in [&shown, &empty] {
            let got = view.get(path).await?;
            if got.status().is_success() {
                schema::check(&schema, answer, &got.json().await?, path)?;
            } else {
                schema::check(&schema, &json!({ "$ref": "#/components/schemas/Error" }), &got.json().await?, path)?;
            }
        }
    }
    let ready = shown.json("/readyz").await?;
    schema::check(&schema, &json!({ "$ref": "#/components/schemas/Readiness" }), &ready, "/readyz")
}
