//! The result of `plimsoll-keeper report`: what each transaction earned and cost, and the sums.

use alloy::primitives::{B256, I256, U256};
use plimsoll_contracts::quantity::Seconds;
use serde::Serialize;

use super::table::{Align, table};
use crate::{
    amount::{Amount, Balance, NATIVE_DECIMALS, readable},
    csv::Table,
    date::{SECONDS_PER_DAY, day_of, time_of},
    store::{ResultRow, ResultStatus, TokenAmount},
};

/// What one mined transaction earned and cost.
#[derive(Debug, Clone, Serialize)]
pub struct TransactionResult {
    /// Time of its block, in UTC.
    pub time: String,
    /// Number of its block.
    pub block: u64,
    /// Its hash.
    pub transaction: B256,
    /// Strategy that decided it.
    pub strategy: String,
    /// Name of its market, staking programme or token.
    pub place: String,
    /// How it ended.
    pub status: ResultStatus,
    /// Number of loans that it liquidated, or of accounts that it claimed rewards for.
    pub accounts: u64,
    /// What it brought, in tokens.
    pub profit: Option<TokenAmount>,
    /// What it earned and cost, in the native currency.
    #[serde(flatten)]
    pub sums: CoinSums,
}

/// What transactions earned and cost, in the native currency.
#[derive(Debug, Clone, Serialize)]
pub struct CoinSums {
    /// Value of what they brought, at the rates of their decisions.
    pub gain: Amount,
    /// Gas at the base fee, and fees of a rollup for data. Where the base fee of a block could not be read, its tip is in
    /// here.
    pub gas: Amount,
    /// Priority fees, and what builders were paid out of profits.
    pub tip: Amount,
    /// Gain less gas and tip.
    pub net: Balance,
}

/// Sums of one strategy in one market, or of everything.
#[derive(Debug, Clone, Serialize)]
pub struct Total {
    /// Strategy, and name of its market, staking programme or token; `None` for everything.
    pub of: Option<(String, String)>,
    /// Number of mined transactions.
    pub transactions: u64,
    /// Number of those that reverted.
    pub reverted: u64,
    /// What they earned and cost.
    #[serde(flatten)]
    pub sums: CoinSums,
}

/// The transactions of a keeper, the oldest first, with their sums.
#[derive(Debug, Clone, Serialize)]
pub struct ResultsReport {
    /// The transactions.
    pub transactions: Vec<TransactionResult>,
    /// Sums by strategy and market, in the order of their first transactions.
    pub totals: Vec<Total>,
    /// Sums of everything.
    pub total: Total,
}

impl CoinSums {
    fn new(coin: &str, gain: U256, gas: U256, tip: U256) -> Self {
        let signed = |wei: U256| I256::try_from(wei).unwrap_or(I256::MAX);
        let units = signed(gain).saturating_sub(signed(gas.saturating_add(tip)));
        let [gain, gas, tip] = [gain, gas, tip].map(|wei| Amount::of_wei(wei, coin));
        Self { gain, gas, tip, net: Balance { units, decimals: NATIVE_DECIMALS, token: coin.to_owned() } }
    }

    fn add(&mut self, other: &Self) {
        for (sum, other) in [(&mut self.gain, &other.gain), (&mut self.gas, &other.gas), (&mut self.tip, &other.tip)] {
            sum.units = sum.units.saturating_add(other.units);
        }
        self.net.units = self.net.units.saturating_add(other.net.units);
    }

    /// Gain, gas, tip and net with every digit.
    fn exact(&self) -> [String; 4] {
        [self.gain.exact(), self.gas.exact(), self.tip.exact(), self.net.exact()]
    }

    /// The same for people.
    fn shown(&self) -> [String; 4] {
        let net = self.net.exact();
        let net = net.strip_prefix('-').map_or_else(|| readable(&net), |digits| format!("−{}", readable(digits)));
        [readable(&self.gain.exact()), readable(&self.gas.exact()), readable(&self.tip.exact()), net]
    }
}

impl TransactionResult {
    fn new(coin: &str, row: ResultRow) -> Self {
        let gas = row.gas_wei.saturating_add(row.data_fee_wei);
        let tip = row.tip_wei.unwrap_or_default().saturating_add(row.builder_wei);
        Self {
            time: time_of(row.at),
            block: row.block,
            transaction: row.hash,
            strategy: row.strategy,
            place: row.place,
            status: row.status,
            accounts: row.accounts,
            profit: row.profit,
            sums: CoinSums::new(coin, row.gain_wei, gas, tip),
        }
    }
}

impl Total {
    fn new(of: Option<(String, String)>, coin: &str) -> Self {
        Self { of, transactions: 0, reverted: 0, sums: CoinSums::new(coin, U256::ZERO, U256::ZERO, U256::ZERO) }
    }

    fn add(&mut self, result: &TransactionResult) {
        self.transactions += 1;
        self.reverted += u64::from(result.status == ResultStatus::Reverted);
        self.sums.add(&result.sums);
    }
}

impl ResultsReport {
    /// Sums rows up. `coin` is the symbol of the native currency.
    #[must_use]
    pub fn new(coin: &str, rows: Vec<ResultRow>) -> Self {
        let transactions: Vec<_> = rows.into_iter().map(|row| TransactionResult::new(coin, row)).collect();
        let (mut totals, mut total) = (Vec::<Total>::new(), Total::new(None, coin));
        for result in &transactions {
            let of = Some((result.strategy.clone(), result.place.clone()));
            total.add(result);
            match totals.iter_mut().find(|total| total.of == of) {
                Some(total) => total.add(result),
                None => {
                    let mut total = Total::new(of, coin);
                    total.add(result);
                    totals.push(total);
                }
            }
        }
        Self { transactions, totals, total }
    }

    /// Formats transactions and sums as tables for people.
    #[must_use]
    pub fn text(&self) -> String {
        if self.transactions.is_empty() {
            return "no transactions\n".to_owned();
        }
        let sums = |sums: &CoinSums| sums.shown().to_vec();
        let row = |result: &TransactionResult| {
            let profit = result.profit.as_ref();
            let profit = profit.map(|profit| format!("{} {}", readable(&profit.amount), profit.token));
            let mut cells = vec![
                result.time.clone(),
                result.block.to_string(),
                result.strategy.clone(),
                result.place.clone(),
                result.status.name().to_owned(),
            ];
            cells.extend(sums(&result.sums));
            cells.extend([profit.unwrap_or_default(), result.transaction.to_string()]);
            cells
        };
        let (left, right) = (Align::Left, Align::Right);
        let coin = &self.total.sums.net.token;
        let net = format!("net {coin}");
        let coins = [("gain", right), ("gas", right), ("tip", right), (net.as_str(), right)];
        let columns: Vec<_> =
            [("time (UTC)", left), ("block", right), ("strategy", left), ("market", left), ("status", left)]
                .into_iter()
                .chain(coins)
                .chain([("profit", right), ("transaction", left)])
                .collect();
        let rows: Vec<_> = self.transactions.iter().map(row).collect();
        let total = |total: &Total| {
            let (strategy, place) = total.of.clone().unwrap_or_else(|| ("everything".to_owned(), String::new()));
            let mut cells = vec![strategy, place, total.transactions.to_string(), total.reverted.to_string()];
            cells.extend(sums(&total.sums));
            cells
        };
        let total_columns: Vec<_> =
            [("strategy", left), ("market", left), ("transactions", right), ("reverted", right)]
                .into_iter()
                .chain(coins)
                .collect();
        let totals: Vec<_> = self.totals.iter().chain([&self.total]).map(total).collect();
        format!("{}\n{}", table(&columns, &rows), table(&total_columns, &totals))
    }

    /// Formats the transactions as comma-separated values, with every digit and a line of headings.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut table = Table::new(&[
            "time",
            "block",
            "transaction",
            "strategy",
            "market",
            "status",
            "accounts",
            "gain",
            "gas",
            "tip",
            "net",
            "coin",
            "profit",
            "profit_token",
        ]);
        for result in &self.transactions {
            table.number(&result.time);
            table.number(result.block);
            table.number(result.transaction);
            table.text(&result.strategy);
            table.text(&result.place);
            table.number(result.status.name());
            table.number(result.accounts);
            result.sums.exact().iter().for_each(|digits| table.number(digits));
            table.text(&result.sums.net.token);
            table.optional(result.profit.as_ref().map(|profit| &profit.amount));
            table.text(result.profit.as_ref().map_or("", |profit| &profit.token));
            table.end_row();
        }
        table.into_text()
    }
}

/// Reads a time in seconds since 1970: a duration before `now`, such as `7 days`, a day in UTC, such as `2026-11-01`, or
/// the seconds themselves. Fails with what is understood.
pub fn parse_time(text: &str, now: u64) -> Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    if let Some(day) = day_of(text) {
        return Ok(day.saturating_mul(SECONDS_PER_DAY));
    }
    let before: Result<Seconds, _> = text.parse();
    let Seconds(before) = before.map_err(|_| {
        format!("\"{text}\" is no time: write a duration such as \"7 days\", or a day such as 2026-11-01")
    })?;
    Ok(now.saturating_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(intent: u64, gain: u64, gas: u64, tip: Option<u64>) -> ResultRow {
        ResultRow {
            intent,
            at: 1_795_858_200,
            block: 7,
            hash: B256::repeat_byte(1),
            strategy: "liquidate".to_owned(),
            place: "weth-usdc, \"old\"".to_owned(),
            accounts: 2,
            status: if gain == 0 { ResultStatus::Reverted } else { ResultStatus::Mined },
            gain_wei: U256::from(gain),
            gas_wei: U256::from(gas),
            tip_wei: tip.map(U256::from),
            builder_wei: U256::ZERO,
            data_fee_wei: U256::from(1),
            profit: (gain > 0).then(|| TokenAmount { amount: "12.5".to_owned(), token: "USDC".to_owned() }),
        }
    }

    #[test]
    fn a_report_lists_what_each_transaction_earned_and_cost_to_the_last_wei() {
        let harvest =
            ResultRow { strategy: "harvest".to_owned(), place: "plim".to_owned(), ..row(3, 7_000, 1, Some(1)) };
        let report = ResultsReport::new("ETH", vec![row(1, 1_000, 300, Some(50)), row(2, 0, 900, None), harvest]);
        let net = |total: &Total| total.sums.net.exact();
        assert_eq!(
            report.totals.iter().map(net).collect::<Vec<_>>(),
            ["-0.000000000000000252", "0.000000000000006997"]
        );
        assert_eq!((report.total.transactions, report.total.reverted), (3, 1));
        let paid = ResultRow { builder_wei: U256::from(400), ..row(4, 1_000, 300, Some(50)) };
        let paid = ResultsReport::new("ETH", vec![paid]).total.sums;
        assert_eq!((paid.tip.exact(), paid.net.exact()), ("0.00000000000000045".into(), "0.000000000000000249".into()));
        assert_eq!(net(&report.total), "0.000000000000006745");
        let lines: Vec<_> = report.csv().lines().map(str::to_owned).collect();
        let hash = format!("0x{}", "01".repeat(32));
        assert_eq!(
            lines[1],
            format!(
                "2026-11-28T09:30:00Z,7,{hash},\"liquidate\",\"weth-usdc, \"\"old\"\"\",mined,2,0.000000000000001,\
                 0.000000000000000301,0.00000000000000005,0.000000000000000649,\"ETH\",12.5,\"USDC\""
            )
        );
        assert!(lines[2].ends_with(",0,0.000000000000000901,0,-0.000000000000000901,\"ETH\",,\"\""), "{}", lines[2]);
        let text = report.text();
        assert!(text.contains("12.5 USDC") && text.contains("everything") && text.contains("−0."), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["transactions"][0]["net"]["amount"], "0.000000000000000649");
        assert_eq!(json["totals"][1]["of"], serde_json::json!(["harvest", "plim"]));
        assert_eq!(ResultsReport::new("ETH", Vec::new()).text(), "no transactions\n");
    }

    #[test]
    fn a_time_is_a_duration_a_day_or_a_timestamp() {
        let now = 1_795_858_200;
        assert_eq!(parse_time("7 days", now), Ok(now - 7 * 86_400));
        assert_eq!(parse_time("2026-11-28", now), Ok(1_795_824_000));
        assert_eq!(parse_time("1795858200", now), Ok(now));
        for wrong in ["2026-02-30", "yesterday", ""] {
            assert!(parse_time(wrong, now).is_err(), "{wrong}");
        }
    }
}
