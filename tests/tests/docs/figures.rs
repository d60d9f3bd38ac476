//! Figures in the documents are those that are kept with the code.

use eyre::{ContextCompat, ensure};
use plimsoll_testkit::workspace::workspace;
use serde_json::Value;

use super::{cells, read};

const PAGE: &str = "docs/explanation/measurements.md";
const GAS: &str = "lab/gas.json";

#[test]
fn the_gas_figures_of_the_page_are_the_kept_ones() -> eyre::Result<()> {
    let root = workspace()?.root().to_path_buf();
    let page = read(&root.join(PAGE))?;
    let gas: Value = serde_json::from_str(&read(&root.join(GAS))?)?;
    let (mut wrong, mut found) = (Vec::new(), 0);
    for kept in gas["ops"].as_array().wrap_err("the kept table has no `ops`")? {
        let name = kept["op"].as_str().unwrap_or_default();
        let row = page.lines().map(cells).find(|cells| cells.first() == Some(&name));
        let Some(row) = row else { continue };
        found += 1;
        let ratio = kept["ratio"].as_f64().unwrap_or_default();
        let expected =
            [name.to_owned(), thousands(&kept["plimsoll"]), thousands(&kept["morpho"]), format!("{ratio:.3}")];
        if row != expected {
            wrong.push(expected);
        }
    }
    ensure!(found > 10, "{PAGE} has only {found} of the calls in {GAS}");
    let unwrapped = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in sentences(&gas).wrap_err_with(|| format!("{GAS} lacks a batch, a harvest, a stake or a claim"))? {
        ensure!(unwrapped.contains(&sentence), "{PAGE} should say: {sentence}");
    }
    ensure!(wrong.is_empty(), "{PAGE} has other figures than {GAS}; its rows should be {wrong:#?}");
    Ok(())
}

/// Returns what the page says of the figures that are in none of its rows.
fn sentences(gas: &Value) -> Option<[String; 2]> {
    let rewards = gas["rewards"]["ops"].as_array()?;
    let of_rewards = |name: &str| Some(thousands(&rewards.iter().find(|kept| kept["op"] == name)?["plimsoll"]));
    let (loan, account) = (&gas["batch"]["40"]["marginal"], &gas["rewards"]["harvest"]["50"]["marginal"]);
    Some([
        format!("In a batch of 40 liquidations each further loan takes {} gas.", thousands(loan)),
        format!(
            "a stake takes {}, a claim {}, and each further account of a harvest {}.",
            of_rewards("stake")?,
            of_rewards("claim")?,
            thousands(account)
        ),
    ])
}

/// Returns a number, rounded to a whole one, with commas between its thousands.
fn thousands(number: &Value) -> String {
    let digits = format!("{:.0}", number.as_f64().unwrap_or_default());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
