//! How the page looks and reads: every width, light and dark, by keyboard and by a screen reader.

use std::{
    fs,
    io::{self, Write},
};

use eyre::ContextCompat;
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use super::fixture::Page;
use crate::support;

/// The most bytes of all files together, compressed.
const MOST_BYTES: usize = 120_000;
/// Widths in pixels: a telephone, a tablet, a desk.
const WIDTHS: [u64; 3] = [390, 820, 1_440];
const ROUTES: [&str; 4] = ["", "market/weth-usdc", "earn", "activity"];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_every_width_and_is_accessible() -> eyre::Result<()> {
    let Some(mut page) = Page::connected().await? else { return Ok(()) };
    page.execute("Supply", "5000").await?;
    page.execute("Add collateral", "5").await?;
    page.execute("Borrow", "6500").await?;
    let axe = fs::read_to_string(support::tools()?.workspace().root().join("node_modules/axe-core/axe.min.js"))?;
    page.browser.evaluate(&format!("{axe}; 0")).await?;
    for route in ROUTES {
        page.go(route).await?;
        page.shows("This local chain").await?;
        if route.starts_with("market") {
            page.fill("Borrow", "300").await?;
            page.waits_for("a preview", "document.querySelector('.before-after')").await?;
        }
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
    }
    Ok(())
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
async fn the_page_is_small_and_painted_within_a_second() -> eyre::Result<()> {
    let Some(mut page) = Page::open().await? else { return Ok(()) };
    let mut bytes = 0;
    for name in ["", "main.js", "style.css", "icon.svg"] {
        let body = reqwest::get(format!("{}{name}", page.server.url())).await?.bytes().await?;
        bytes += compressed(&body)?;
    }
    let chunks = page.site.files().filter(|(name, _)| name.ends_with(".js") && *name != "main.js");
    for (_, content) in chunks {
        bytes += compressed(content)?;
    }
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    page.shows("USDC against WETH").await?;
    let paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0";
    let painted = page.browser.evaluate(paint).await?.as_f64().wrap_err("no paint")?;
    writeln!(io::stderr(), "page: {bytes} bytes compressed, first paint after {painted:.0} ms")?;
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
