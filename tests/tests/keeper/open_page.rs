//! The keeper's pages in a real browser.

use alloy::primitives::B256;
use eyre::ensure;
use plimsoll_keeper::view::{ActivityEntry, ActivityKind, ActivityState};
use serde_json::json;

use super::{page::Shown, sample};
use crate::browser::Browser;

#[tokio::test]
async fn a_liquidation_appears_on_the_open_page() -> eyre::Result<()> {
    let Some(mut browser) = Browser::start().await? else { return Ok(()) };
    let shown = Shown::start(sample::view()).await?;
    browser.open(&shown.url("/")).await?;
    browser.wait_for_text("Live.").await?;
    let before = browser.evaluate("window.notReloaded = true; document.body.innerText").await?;
    ensure!(before.as_str().is_some_and(|text| text.contains("gain below gas") && !text.contains("40 loans")));

    let id = 212;
    shown.change(|view| {
        let newest = ActivityEntry {
            id,
            at: 1_795_172_400,
            block: Some(24_118_807),
            kind: ActivityKind::Liquidation,
            state: ActivityState::Mined,
            place: "weth-usdc".into(),
            market: Some(B256::repeat_byte(1)),
            borrowers: [].into(),
            accounts: 40,
            moved: None,
            profit: None,
            gas: None,
            transaction: Some(B256::repeat_byte(0x40)),
            note: None,
        };
        view.timeline.insert(0, newest);
    });
    browser.wait_for_text("Liquidated 40 loans in weth-usdc").await?;
    assert_eq!(browser.evaluate("window.notReloaded").await?, true);

    // Without this, a headless browser's window has no focus to lose.
    browser.command("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })).await?;
    // A section with the keyboard's focus in it is not replaced until the focus leaves it.
    let focus = "document.querySelector('#activity .more a').focus(); document.activeElement.innerText";
    assert_eq!(browser.evaluate(focus).await?, "All activity");
    shown.change(|view| {
        view.timeline[0].accounts = 41;
        view.totals.liquidated = 1_325;
    });
    browser.wait_for_text("1,325").await?;
    let text = "document.activeElement.innerText + document.getElementById('activity').innerText.includes('40 loans')";
    assert_eq!(browser.evaluate(text).await?, "All activitytrue");
    browser.evaluate("document.activeElement.blur()").await?;
    browser.wait_for_text("Liquidated 41 loans in weth-usdc").await?;

    let pages = [
        ("overview", "/"),
        ("positions", "/positions?sort=debt&order=desc"),
        ("market", "/markets/weth-usdc"),
        ("account", "/accounts/0xa4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4"),
        ("activity", "/activity"),
    ];
    for (page, path) in pages {
        browser.open(&shown.url(path)).await?;
        browser.wait_for_text("Live.").await?;
        for (name, width, dark) in [
            ("desktop", 1_280, false),
            ("laptop", 1_200, false),
            ("narrow", 1_040, false),
            ("tablet", 800, false),
            ("phone", 390, false),
            ("dark", 1_280, true),
            ("dark-phone", 390, true),
        ] {
            let screen = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
            browser.command("Emulation.setDeviceMetricsOverride", screen).await?;
            let scheme = json!({ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } });
            browser.command("Emulation.setEmulatedMedia", json!({ "features": [scheme] })).await?;
            let wide =
                browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth").await?;
            assert_eq!(wide, 0, "{page}, {name}: the page is wider than the screen");
            let sticks_out = "(() => { \
                const main = document.querySelector('main'), style = getComputedStyle(main); \
                const right = main.getBoundingClientRect().right - parseFloat(style.paddingRight); \
                return [...main.querySelectorAll('table, .card, ol, ul')] \
                    .filter((part) => part.getBoundingClientRect().right > right + 1).length })()";
            assert_eq!(browser.evaluate(sticks_out).await?, 0, "{page}, {name}: something sticks out of its column");
            let ground = browser.evaluate("getComputedStyle(document.body).backgroundColor").await?;
            assert_eq!(ground == "rgb(12, 20, 26)", dark, "{page}, {name}: {ground}");
            browser.save_picture(&format!("{page}-{name}")).await?;
        }
        let unlabelled = "[...document.querySelectorAll('button, a, input:not([type=hidden]), select')].filter((element) => \
                          !(element.innerText || element.ariaLabel || element.closest('label'))).length";
        assert_eq!(browser.evaluate(unlabelled).await?, 0, "{page}: a control has no name");
    }

    let own = shown.url("/");
    let elsewhere: Vec<_> = browser.requested().into_iter().filter(|url| !url.starts_with(&own)).collect();
    ensure!(elsewhere.is_empty(), "the page asked for {elsewhere:?}");
    let complaints = browser.complaints();
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}
