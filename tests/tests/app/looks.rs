//! How the page looks and reads: every width, light and dark, by keyboard and by a screen reader.

use std::{
    fs,
    io::{self, Write},
};

use flate2::{Compression, write::GzEncoder};
use plimsoll_testkit::deployment::Suite;
use serde_json::json;

use super::fixture::{Page, build_site};
use crate::support;

/// The most bytes of all files together, compressed.
const MOST_BYTES: usize = 120_000;
/// The most files that are loaded until the first figures are shown.
const MOST_REQUESTS: usize = 8;
/// Widths in pixels: a telephone, a tablet, a desk.
const WIDTHS: [u64; 3] = [390, 820, 1_440];
const ROUTES: [&str; 6] = ["", "market/weth-usdc", "earn", "governance", "nodes", "activity"];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_every_width_and_is_accessible() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.execute("Supply", "5000").await?;
    page.execute("Add collateral", "5").await?;
    page.execute("Borrow", "6500").await?;
    load_axe(&mut page).await?;
    for route in ROUTES {
        page.go(route).await?;
        page.shows("This local chain").await?;
        if route.starts_with("market") {
            page.fill("Borrow", "300").await?;
            page.waits_for("a preview", "document.querySelector('.before-after')").await?;
            picture_for_documents(&mut page).await?;
        }
        looks_well(&mut page, route).await?;
    }
    Ok(())
}

/// Loads what judges accessibility into the page.
pub(super) async fn load_axe(page: &mut Page) -> eyre::Result<()> {
    let axe = fs::read_to_string(support::tools()?.workspace().root().join("node_modules/axe-core/axe.min.js"))?;
    page.browser.evaluate(&format!("{axe}; 0")).await.map(drop)
}

/// Requires that the route that is open fits every width, in light and dark, and is accessible.
pub(super) async fn looks_well(page: &mut Page, route: &str) -> eyre::Result<()> {
    for (scheme, width) in ["light", "dark"].into_iter().flat_map(|scheme| WIDTHS.map(|width| (scheme, width))) {
        let screen = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        page.browser.command("Emulation.setDeviceMetricsOverride", screen).await?;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        page.browser.command("Emulation.setEmulatedMedia", features).await?;
        // The chart follows the width with the next frame.
        let fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth &&
            [...document.querySelectorAll('.card *')].every((element) =>
                element.getBoundingClientRect().right <= element.closest('.card').getBoundingClientRect().right)";
        page.waits_for(&format!("{route} within {width} pixels"), fits).await?;
        let run = "axe.run().then(({ violations }) => violations.map(({ id, nodes }) =>
            `${id}: ${nodes.map(({ html }) => html).join(' | ')}`).join('\\n'))";
        assert_eq!(page.browser.evaluate(run).await?, "", "{route}, {scheme}, {width} pixels");
        let name = format!("app-{}-{scheme}-{width}", route.replace('/', "-"));
        page.browser.save_picture(&name).await?;
    }
    Ok(())
}

/// Saves what `docs/page.png` shows.
async fn picture_for_documents(page: &mut Page) -> eyre::Result<()> {
    let screen = json!({ "width": 1_100, "height": 860, "deviceScaleFactor": 1, "mobile": false });
    page.browser.command("Emulation.setDeviceMetricsOverride", screen).await?;
    let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": "light" }] });
    page.browser.command("Emulation.setEmulatedMedia", features).await?;
    page.browser.evaluate("document.activeElement.blur()").await?;
    page.browser.save_view("page").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyboard_suffices_to_supply() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.browser.command("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })).await?;
    page.choose("Supply").await?;
    page.browser.evaluate("document.querySelector('form input').focus()").await?;
    page.browser.command("Input.insertText", json!({ "text": "12" })).await?;
    page.can_submit(true).await?;
    for key in ["Tab", "Tab"] {
        press(&mut page, key).await?;
    }
    assert_eq!(page.browser.evaluate("document.activeElement.innerText").await?, "Supply");
    press(&mut page, "Enter").await?;
    page.shows("Done: Supply 12 USDC").await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_files_together_are_small() -> eyre::Result<()> {
    let suite = Suite::start().await?;
    let site = build_site(&suite).await?;
    let bytes = site.files().filter(|(name, _)| *name != "config.json").map(|(_, content)| compressed(content));
    let bytes: usize = bytes.sum::<eyre::Result<_>>()?;
    writeln!(io::stderr(), "page: {bytes} bytes compressed")?;
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    Ok(())
}

/// How soon something is seen depends on the machine; what it waits for does not: for two files, and for no script. What is
/// needed for the first figures is requested at once, and nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_paint_waits_for_no_script_and_the_first_figures_for_few_files() -> eyre::Result<()> {
    let Some(mut page) = Page::open().await? else { return Ok(()) };
    page.browser.command("Network.setBlockedURLs", json!({ "urls": ["*.js", "*config.json"] })).await?;
    page.browser.open("about:blank").await?;
    let url = page.server.url();
    page.browser.open(&url).await?;
    let painted = "performance.getEntriesByName('first-contentful-paint').length === 1";
    page.waits_for("a paint without a script", painted).await?;
    assert_eq!(page.text().await?.lines().last(), Some("Loading…"));

    page.browser.command("Network.setBlockedURLs", json!({ "urls": [] })).await?;
    page.browser.open("about:blank").await?;
    page.browser.open(&url).await?;
    page.shows("USDC against WETH").await?;
    let times = "Math.round(performance.getEntriesByName('first-contentful-paint')[0].startTime) +
        ' ms to the first paint, at most ' + Math.round(performance.now()) + ' ms to the first figures'";
    let times = page.browser.evaluate(times).await?;
    writeln!(io::stderr(), "page: {}", times.as_str().unwrap_or_default())?;
    let files = "performance.getEntriesByType('resource').filter(({ name }) => name.startsWith(location.origin))
        .map(({ name }) => name.slice(location.origin.length + 1)).sort().join()";
    let files = page.browser.evaluate(files).await?;
    let files: Vec<_> = files.as_str().unwrap_or_default().split(',').collect();
    let count = |wanted: fn(&&&str) -> bool| files.iter().filter(wanted).count();
    // The record is loaded once, while the script is: the preload is what the script gets.
    assert_eq!(count(|name| **name == "config.json"), 1, "{files:?}");
    let unneeded = |name: &&&str| name.starts_with("burner") || name.starts_with("uPlot");
    assert_eq!(count(unneeded), 0, "{files:?}");
    assert!(files.len() <= MOST_REQUESTS, "{files:?}");
    Ok(())
}

fn compressed(content: &[u8]) -> eyre::Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?.len())
}

async fn press(page: &mut Page, key: &str) -> eyre::Result<()> {
    let text = if key == "Enter" { "\r" } else { "" };
    let code = if key == "Enter" { 13 } else { 9 };
    for kind in ["keyDown", "keyUp"] {
        let event = json!({ "type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code });
        page.browser.command("Input.dispatchKeyEvent", event).await?;
    }
    Ok(())
}
