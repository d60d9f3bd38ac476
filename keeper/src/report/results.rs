//! The result of `plimsoll-keeper report`: what each transaction earned and cost.

use alloy::primitives::{B256, I256, U256};
use plimsoll_contracts::quantity::decimal_text;
use serde::{Deserialize, Serialize};

use super::table::{Align, table};
use crate::amount::NATIVE_DECIMALS;

const SECONDS_PER_DAY: u64 = 86_400;
/// Days between the first of March of the year 0 and 1970.
const DAYS_BEFORE_1970: u64 = 719_468;

/// What one mined transaction earned and cost, as the store keeps it. Amounts in wei are of the native currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRow {
    /// Timestamp at which it was known to be mined, in seconds of the chain's clock.
    pub at: u64,
    /// Number of its block.
    pub block: u64,
    /// Its hash.
    pub hash: B256,
    /// What it was for: `liquidation`, `harvest`, `claim` or `sweep`.
    pub kind: String,
    /// Name of the market, of the staking programme or of the token.
    pub place: String,
    /// Number of loans that were liquidated, or of accounts that rewards were claimed for.
    pub accounts: u64,
    /// `mined`, `reverted` or `cancelled`.
    pub status: String,
    /// Value of what it brought, in wei.
    pub gain_wei: U256,
    /// Gas at the base fee, in wei; with the tip where the base fee of its block is not known.
    pub gas_wei: U256,
    /// Priority fees, in wei; `None` where the base fee of its block is not known.
    pub tip_wei: Option<U256>,
    /// Fee for data on another layer, in wei.
    pub data_fee_wei: U256,
    /// Amount of the profit, exactly, in whole tokens.
    pub profit: Option<String>,
    /// Name of the token that the profit is in.
    pub token: Option<String>,
}

/// The transactions of a keeper, the oldest first, with their sums.
#[derive(Debug, Clone, Serialize)]
pub struct ResultsReport {
    /// Symbol of the native currency.
    pub coin: String,
    /// Timestamp from which transactions are listed, in seconds.
    pub since: u64,
    /// The transactions.
    pub transactions: Vec<ResultRow>,
    /// What all of them earned, less what they cost, exactly, in the native currency.
    pub net: String,
}

impl ResultRow {
    /// What it earned, less what it cost, in wei.
    #[must_use]
    pub fn net_wei(&self) -> I256 {
        let cost = self.gas_wei.saturating_add(self.tip_wei.unwrap_or_default()).saturating_add(self.data_fee_wei);
        signed(self.gain_wei).saturating_sub(signed(cost))
    }
}

impl ResultsReport {
    /// Sums rows up.
    #[must_use]
    pub fn new(coin: String, since: u64, transactions: Vec<ResultRow>) -> Self {
        let net = transactions.iter().fold(I256::ZERO, |sum, row| sum.saturating_add(row.net_wei()));
        Self { coin, since, transactions, net: coins(net) }
    }

    /// Formats the transactions as a table for people, with their sum.
    #[must_use]
    pub fn text(&self) -> String {
        if self.transactions.is_empty() {
            return "no transactions\n".to_owned();
        }
        let columns = [
            ("time (UTC)", Align::Left),
            ("block", Align::Right),
            ("kind", Align::Left),
            ("market", Align::Left),
            ("status", Align::Left),
            ("gain", Align::Right),
            ("gas", Align::Right),
            ("tip", Align::Right),
            ("net", Align::Right),
            ("profit", Align::Right),
            ("transaction", Align::Left),
        ];
        let row = |row: &ResultRow| {
            let profit = row.profit.iter().chain(&row.token).cloned().collect::<Vec<_>>().join(" ");
            vec![
                time_text(row.at),
                row.block.to_string(),
                row.kind.clone(),
                row.place.clone(),
                row.status.clone(),
                wei(row.gain_wei),
                wei(row.gas_wei.saturating_add(row.data_fee_wei)),
                row.tip_wei.map(wei).unwrap_or_default(),
                coins(row.net_wei()),
                profit,
                row.hash.to_string(),
            ]
        };
        let rows: Vec<_> = self.transactions.iter().map(row).collect();
        format!("{}net of {} transactions: {} {}\n", table(&columns, &rows), rows.len(), self.net, self.coin)
    }

    /// Formats the transactions as comma-separated values with a line of headings (RFC 4180).
    #[must_use]
    pub fn csv(&self) -> String {
        let mut text =
            "time,block,transaction,kind,market,accounts,status,gain,gas,tip,data_fee,net,coin,profit,token\r\n"
                .to_owned();
        for row in &self.transactions {
            let cells = [
                time_text(row.at),
                row.block.to_string(),
                row.hash.to_string(),
                row.kind.clone(),
                row.place.clone(),
                row.accounts.to_string(),
                row.status.clone(),
                wei(row.gain_wei),
                wei(row.gas_wei),
                row.tip_wei.map(wei).unwrap_or_default(),
                wei(row.data_fee_wei),
                coins(row.net_wei()),
                self.coin.clone(),
                row.profit.clone().unwrap_or_default(),
                row.token.clone().unwrap_or_default(),
            ];
            text += &format!("{}\r\n", cells.map(|cell| quoted(&cell)).join(","));
        }
        text
    }
}

/// The time from which a report lists transactions: a duration before `now`, such as `7 days`, a day in UTC, such as
/// `2026-11-01`, or seconds since 1970. Fails with what is understood.
pub fn parse_since(text: &str, now: u64) -> Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    if let Some(day) = parse_day(text) {
        return Ok(day * SECONDS_PER_DAY);
    }
    let plimsoll_contracts::quantity::Seconds(seconds) = text.parse().map_err(|_| {
        format!("\"{text}\" is no time: write a duration such as \"7 days\", or a day such as 2026-11-01")
    })?;
    Ok(now.saturating_sub(seconds))
}

/// Number of a day in UTC since 1970; `None` where the text is no day after that.
fn parse_day(text: &str) -> Option<u64> {
    let mut parts = text.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || day > 31 {
        return None;
    }
    let march_year = year - u64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = march_year * 365 + march_year / 4 - march_year / 100 + march_year / 400 + of_year;
    let days = days.checked_sub(DAYS_BEFORE_1970)?;
    // A day that its month does not have is one of the next month.
    (civil(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of a number of days since 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years that begin in March have their odd day at the end.
    let shifted = days + DAYS_BEFORE_1970;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Formats a timestamp as in `2026-11-28T09:30:00Z`.
fn time_text(timestamp: u64) -> String {
    let (year, month, day) = civil(timestamp / SECONDS_PER_DAY);
    let second = timestamp % SECONDS_PER_DAY;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

fn signed(wei: U256) -> I256 {
    I256::try_from(wei).unwrap_or(I256::MAX)
}

fn wei(wei: U256) -> String {
    decimal_text(wei, NATIVE_DECIMALS)
}

fn coins(wei_signed: I256) -> String {
    let sign = if wei_signed.is_negative() { "-" } else { "" };
    format!("{sign}{}", wei(wei_signed.unsigned_abs()))
}

/// A cell of a CSV file, in quotes where it needs them.
fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(gain: u64, gas: u64, tip: Option<u64>) -> ResultRow {
        ResultRow {
            at: 1_795_858_200,
            block: 7,
            hash: B256::repeat_byte(1),
            kind: "liquidation".to_owned(),
            place: "weth-usdc, \"old\"".to_owned(),
            accounts: 2,
            status: "mined".to_owned(),
            gain_wei: U256::from(gain),
            gas_wei: U256::from(gas),
            tip_wei: tip.map(U256::from),
            data_fee_wei: U256::from(1),
            profit: Some("12.5".to_owned()),
            token: Some("USDC".to_owned()),
        }
    }

    #[test]
    fn a_report_lists_what_each_transaction_earned_and_cost_to_the_last_wei() {
        let report = ResultsReport::new("ETH".to_owned(), 0, vec![row(1_000, 300, Some(50)), row(0, 900, None)]);
        assert_eq!(report.net, "-0.000000000000000252");
        let lines: Vec<_> = report.csv().lines().map(str::to_owned).collect();
        let hash = format!("0x{}", "01".repeat(32));
        assert_eq!(
            lines[1],
            format!(
                "2026-11-28T09:30:00Z,7,{hash},liquidation,\"weth-usdc, \"\"old\"\"\",2,mined,0.000000000000001,\
                 0.0000000000000003,0.00000000000000005,0.000000000000000001,0.000000000000000649,ETH,12.5,USDC"
            )
        );
        assert!(lines[2].contains(",,0.000000000000000001,-0.000000000000000901,ETH"), "{}", lines[2]);
        assert!(report.text().ends_with("net of 2 transactions: -0.000000000000000252 ETH\n"), "{}", report.text());
    }

    #[test]
    fn a_time_is_a_duration_a_day_or_a_timestamp() {
        let now = 1_795_858_200;
        assert_eq!(parse_since("7 days", now), Ok(now - 7 * 86_400));
        assert_eq!(parse_since("2026-11-28", now), Ok(1_795_824_000));
        assert_eq!(parse_since("2024-02-29", now), Ok(1_709_164_800));
        assert_eq!(parse_since("1970-01-01", now), Ok(0));
        assert_eq!(parse_since("1795858200", now), Ok(now));
        for wrong in ["2026-02-30", "2026-13-01", "yesterday", "2026-1-1-1"] {
            assert!(parse_since(wrong, now).is_err(), "{wrong}");
        }
    }
}
