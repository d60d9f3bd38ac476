//! What configurations mean, and how mistakes in them are reported.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Bytes, U256, address};
use plimsoll_contracts::{
    MarketId,
    deployment::{DeployedContract, Deployment, MarketRecord, PoolRecord, TokenRecord},
};

use super::*;
use crate::{
    prices::Source,
    strategies::{bids, harvest::OwnRewards, liquidate::SwapRoute},
};
use plimsoll_chain::signer::{PasswordSource, SignerSource};

const WETH: Address = address!("0x00000000000000000000000000000000000000e1");
const USDC: Address = address!("0x00000000000000000000000000000000000000d1");
const WBTC: Address = address!("0x00000000000000000000000000000000000000b1");

/// A folder with the record of a local deployment where the defaults look for it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        record().write(&folder.path().join("target/deployments/31337.json")).unwrap();
        Self { folder }
    }

    fn config(&self, text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::parse(&self.folder.path().join("keeper.toml"), text, &variables)
    }

    /// The value and origin of a setting.
    fn setting(&self, text: &str, variables: &[(&str, &str)], name: &str) -> (String, Origin) {
        let settings = self.config(text, variables).unwrap().settings;
        let setting = settings.into_iter().find(|setting| setting.name == name).unwrap();
        (setting.value, setting.origin)
    }

    /// The problems of a configuration, without the folder's name.
    fn refusal(&self, text: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let said = self.config(text, variables).unwrap_err().to_string();
        let folder = format!("{}/", self.folder.path().display());
        said.lines().map(|line| line.replace(&folder, "")).collect()
    }
}

fn record() -> Deployment {
    let mut record = Deployment::new("local".into(), 31_337, B256::repeat_byte(9), Address::repeat_byte(1));
    for (index, contract) in (1_u8..).zip(["Plimsoll", "Rewards", "Lens", "Liquidator", "UniswapV3Swapper"]) {
        let deployed = DeployedContract {
            contract: contract.into(),
            address: Address::repeat_byte(index),
            arguments: Bytes::new(),
            salt: B256::ZERO,
            code_hash: B256::repeat_byte(index),
            created: None,
        };
        record.contracts.insert(format!("contracts.{contract}"), deployed);
    }
    for (name, address, decimals) in [("WETH", WETH, 18), ("USDC", USDC, 6), ("WBTC", WBTC, 8)] {
        record.tokens.insert(name.into(), TokenRecord { address, decimals });
    }
    record.feeds.insert("usdc-usd".into(), Address::repeat_byte(0xf1));
    record.feeds.insert("eth-usd".into(), Address::repeat_byte(0xf2));
    for (name, token0, token1) in [("weth-usdc", USDC, WETH), ("wbtc-usdc", WBTC, USDC)] {
        let address = if name == "weth-usdc" { Address::repeat_byte(0xa1) } else { Address::repeat_byte(0xa2) };
        record.pools.insert(name.into(), PoolRecord { address, token0, token1, fee: 3_000, created: None });
    }
    for (name, byte, loan_token, collateral_token) in [("weth-usdc", 1, USDC, WETH), ("wbtc-weth", 2, WETH, WBTC)] {
        let (id, risk) = (B256::repeat_byte(byte), U256::ZERO);
        let oracle = Address::ZERO;
        let market = MarketRecord { id, loan_token, collateral_token, oracle, risk, curve: U256::ZERO, created: None };
        record.markets.insert(name.into(), market);
    }
    record
}

#[test]
fn a_local_deployment_needs_no_configuration() {
    let config = Place::new().config("", &[]).unwrap();
    assert_eq!(config.deployed.core, Address::repeat_byte(1));
    assert_eq!(config.endpoints.len(), 2);
    assert_eq!(config.endpoints[0].name, "http://127.0.0.1:8545");
    assert_eq!(config.signers.liquidations, Some(SignerSource::Anvil(8)));
    assert_eq!(config.signers.harvests, Some(SignerSource::Anvil(9)));
    assert_eq!(config.warnings, [""; 0]);

    let market = &config.liquidate.markets[&MarketId(B256::repeat_byte(1))];
    let path = [&WETH[..], &[0, 0x0b, 0xb8], &USDC[..]].concat().into();
    let route = SwapRoute { swapper: Address::repeat_byte(5), path, pools: 1, profit_in_collateral: false, spot: None };
    assert_eq!((market.route.as_ref(), market.route_text.as_str()), (Some(&route), "WETH 0.3% USDC"));
    let market = &config.liquidate.markets[&MarketId(B256::repeat_byte(2))];
    assert_eq!(market.route_text, "WBTC 0.3% USDC 0.3% WETH");

    let worth = |token| config.tokens.get(token).unwrap().valuation.clone().unwrap();
    assert_eq!(Some(worth(WETH)), Source::fixed(U256::from(10).pow(U256::from(18)), 18));
    assert!(matches!(worth(USDC), Source::Feeds { base, quote, .. } if base.len() == 1 && quote.len() == 1));
    assert!(
        matches!(worth(WBTC), Source::Pools(hops) if hops.len() == 2 && hops[1].token_out == WETH && hops[1].window_secs == Some(1_800))
    );
}

#[test]
fn the_example_changes_nothing() {
    let place = Place::new();
    let values = |text| {
        let settings = place.config(text, &[]).unwrap().settings;
        settings.into_iter().map(|setting| (setting.name, setting.value)).collect::<BTreeSet<_>>()
    };
    let (example, default) = (values(EXAMPLE), values(""));
    let differences: Vec<_> = example.symmetric_difference(&default).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn the_example_explains_every_setting() {
    // With every setting in it, also those that exclude each other.
    let all: String =
        EXAMPLE.lines().map(uncommented).filter(|line| !line.starts_with("url = ")).collect::<Vec<_>>().join("\n");
    let place = Place::new();
    let mut root = Tree::parse(&all, &|_| Origin::Environment("all".to_owned()));
    let urls = [
        ("NODE_URL", "ws://127.0.0.1:8545"),
        ("SLACK_URL", "https://example.org"),
        ("DATABASE_URL", "postgres://keeper@127.0.0.1/plimsoll"),
    ];
    let variables = urls.map(|(name, url)| (name.to_owned(), url.to_owned())).into();
    let read = Config::read(&mut root, place.folder.path(), &variables);
    assert!(read.is_some(), "{:#?}", root.problems(Path::new("all")));
    let known: BTreeSet<_> = root.settings("").into_iter().map(|setting| schema(&setting.name)).collect();
    let explained = explained();
    let silent: Vec<_> = known.difference(&explained).collect();
    assert!(silent.is_empty(), "the example does not explain {silent:?}");
    let unknown: Vec<_> = explained.difference(&known).collect();
    assert!(unknown.is_empty(), "the example explains what there is not: {unknown:?}");
}

/// A line of the example with the setting in it that it has commented out.
fn uncommented(line: &str) -> String {
    match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting.to_owned(),
        _ => line.to_owned(),
    }
}

/// A setting's name with `*` for each part that is the operator's choice.
fn schema(name: &str) -> String {
    match name.split('.').collect::<Vec<_>>()[..] {
        ["endpoints", _, key] => format!("endpoints.*.{key}"),
        ["alerts", list @ ("watch" | "targets"), _, key] => format!("alerts.{list}.*.{key}"),
        ["alerts", "severity", _] => "alerts.severity".to_owned(),
        ["protocols", _, key] => format!("protocols.*.{key}"),
        ["tokens", _, key] => format!("tokens.*.{key}"),
        ["liquidate", "markets", _, key] => format!("liquidate.markets.*.{key}"),
        ["signers", role, ..] => format!("signers.{role}"),
        _ => name.to_owned(),
    }
}

/// Variables that [`complete`] names.
const SECRETS: [(&str, &str); 2] =
    [("SLACK_URL", "https://example.org"), ("DATABASE_URL", "postgres://keeper@127.0.0.1/plimsoll")];

/// The example with every setting in it, but for those that exclude others or name what is not there.
fn complete() -> Vec<String> {
    let excluded = [
        "url_env = \"NODE_URL\"",
        "address = \"0x0000000000000000000000000000000000000006\"",
        "rate = ",
        "pools = ",
        "webhook_env = ",
        "signing_key_env = ",
        "routing_key_env = ",
    ];
    let lines = EXAMPLE.lines().map(uncommented);
    lines.map(|line| if excluded.iter().any(|key| line.starts_with(key)) { String::new() } else { line }).collect()
}

#[test]
fn a_value_of_the_wrong_type_is_reported_wherever_it_is() {
    let place = Place::new();
    let lines = complete();
    place.config(&lines.join("\n"), &SECRETS).unwrap();
    let settings = lines.iter().enumerate().filter(|(_, line)| !line.starts_with('#') && line.contains(" = "));
    let mut count = 0;
    for ((index, line), value) in settings.flat_map(|setting| ["1.5", "[[{}]]"].map(|value| (setting, value))) {
        let mut lines = lines.clone();
        lines[index] = format!("{} = {value}", line.split_once(" = ").unwrap().0);
        let problems = place.refusal(&lines.join("\n"), &SECRETS);
        let there = format!("keeper.toml:{}:", index + 1);
        assert!(problems.iter().any(|problem| problem.starts_with(&there)), "{}: {problems:#?}", lines[index]);
        count += 1;
    }
    assert!(count > 100, "{count}");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_text_is_understood_or_refused(
        changes in proptest::collection::vec((0..200_usize, "[ -~]{0,3}|[a-z\\[\\]{}\\.=\"0-9 ]{0,12}"), 1..6),
        variable in "[A-Z_]{0,12}",
        value in "[ -~]{0,8}",
    ) {
        let mut lines = complete();
        for (index, text) in changes {
            let index = index % lines.len();
            let line = &mut lines[index];
            let middle = line.char_indices().nth(line.chars().count() / 2).map_or(0, |(at, _)| at);
            line.insert_str(middle, &text);
        }
        let name = format!("PLIMSOLL_KEEPER_{variable}");
        match Place::new().config(&lines.join("\n"), &[(&name, &value)]) {
            Ok(config) => assert!(!config.settings.is_empty()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Names of all settings in the example.
fn explained() -> BTreeSet<String> {
    let mut section = String::new();
    let mut names = BTreeSet::new();
    for line in EXAMPLE.lines().map(uncommented) {
        if let Some(heading) = line.strip_prefix('[') {
            let entry = if heading.starts_with('[') { ".0" } else { "" };
            section = format!("{}{entry}", heading.trim_start_matches('[').split(']').next().unwrap());
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            names.insert(schema(&format!("{section}.{key}")));
        }
    }
    names
}

/// Asserts that lines are as many as these, each with its beginning.
fn assert_lines(lines: &[String], beginnings: &[&str]) {
    let differences: Vec<_> =
        lines.iter().zip(beginnings).filter(|(line, beginning)| !line.starts_with(**beginning)).collect();
    assert!(lines.len() == beginnings.len() && differences.is_empty(), "{lines:#?}\n{differences:#?}");
}

#[test]
fn all_mistakes_are_reported_at_once_by_line_and_column() {
    let text = "\
[safety]
loss_cap_per_day = 0.5
min_balance = \"a little\"
breaker_reverts = \"five\"
[http]
listn = \"127.0.0.1:1\"
ready_within = 120
[liquidate]
enabled = \"yes\"
max_slippage = \"120%\"
[liquidate.markets.weth-usd]
[tokens.WBTC]
pools = [\"wbtc-usd\"]
spot = true
[chain]
transaction_type = \"eip1599\"
[endpoints]
[log.json]
";
    let lines = Place::new().refusal(text, &[]);
    let beginnings = [
        "keeper.toml:2:20: 0.5 is a floating-point number, which is not exact",
        "keeper.toml:3:15: \"a little\" is not a number",
        "keeper.toml:4:19: \"five\" is not a whole number",
        "keeper.toml:6:1: there is no setting `listn`: did you mean `listen`? (known: listen, ready_within)",
        "keeper.toml:7:16: \"120\" is not a length of time",
        "keeper.toml:9:11: this must be a boolean",
        "keeper.toml:10:16: 120% is more than 100%",
        "keeper.toml:11:1: the record has no market `weth-usd`: did you mean `weth-usdc`? (known: wbtc-weth, weth-usdc)",
        "keeper.toml:13:10: the record has no pool `wbtc-usd`: did you mean `wbtc-usdc`? (known: wbtc-usdc, weth-usdc)",
        "keeper.toml:16:20: there is no choice `eip1599`: did you mean `eip1559`? (known: eip1559, legacy)",
        "keeper.toml:17:1: this must be a sequence",
        "keeper.toml:18:1: this must be a boolean",
    ];
    assert_lines(&lines, &beginnings);
}

#[test]
fn tables_that_exclude_each_other_and_names_used_twice_are_reported() {
    let text = "\
[[endpoints]]
url = \"http://127.0.0.1:1\"
url_env = \"NODE\"
[[endpoints]]
name = \"a\"
[[endpoints]]
url = \"http://127.0.0.1:2\"
role = \"send\"
[tokens.USDC]
rate = \"1\"
feeds = [\"usdc-usd\"]
[tokens.WBTC]
quote_feeds = [\"eth-usd\"]
[tokens.NEW]
[liquidate.markets.weth-usdc]
path = [\"WETH\", \"0.3%\"]
max_repay = \"0.0000001 USDC\"
[[alerts.watch]]
market = \"weth\"
";
    let lines = Place::new().refusal(text, &[]);
    let beginnings = [
        "keeper.toml:1:1: an endpoint has one URL",
        "keeper.toml:4:1: an endpoint has one URL",
        "keeper.toml:9:1: a token is valued in one way",
        "keeper.toml:13:15: `quote_feeds` divide",
        "keeper.toml:14:1: the record has no token NEW",
        "keeper.toml:16:8: a path is token, fee, token",
        "keeper.toml:17:13: 0.0000001 has more than the 6 decimals",
        "keeper.toml:18:1: `account` is missing",
        "keeper.toml:19:10: the record has no market `weth`",
    ];
    assert_lines(&lines, &beginnings);
    let twice = "[[endpoints]]\nurl = \"ws://a\"\n[[endpoints]]\nurl = \"ws://a\"\n";
    assert_lines(&Place::new().refusal(twice, &[]), &["keeper.toml:1:1: two endpoints are named ws://a"]);
    let unread = "[[endpoints]]\nurl = \"ws://a\"\nrole = \"private\"\n";
    assert_lines(&Place::new().refusal(unread, &[]), &["keeper.toml:1:1: at least one endpoint must be read"]);
    let both_ways = "[[endpoints]]\nurl = \"ws://a\"\n[[endpoints]]\nurl = \"http://b\"\nrole = \"private\"\n\
                     [[endpoints]]\nurl = \"http://c\"\nrole = \"bundle\"\n";
    let problem = "keeper.toml:1:1: transactions go to private endpoints or in bundles";
    assert_lines(&Place::new().refusal(both_ways, &[]), &[problem]);
    let over_a_socket = both_ways.replace("private", "send").replace("http://c", "ws://c");
    assert_lines(&Place::new().refusal(&over_a_socket, &[]), &["keeper.toml:6:1: bundles are sent over HTTP alone"]);
}

#[test]
fn old_names_are_accepted_with_a_warning_that_says_the_new_ones() {
    let text = "\
[chain]
final_after = 7
[tokens.USDC]
feeds = [\"usdc-usd\"]
over = [\"eth-usd\"]
[tokens.WBTC]
pools = [\"wbtc-usdc\", \"weth-usdc\"]
average_over = \"1 minute\"
[liquidate]
slack = \"20%\"
[liquidate.markets.weth-usdc]
largest_repay = \"5 USDC\"
[harvest]
longest_wait = \"1 day\"
largest_batch = 9
own = \"compound\"
own_every = \"2 days\"
[fees]
least_tip = \"1 gwei\"
highest_price = \"2 gwei\"
profit_share = \"30%\"
[safety]
minimum_balance = \"0.5\"
[store]
keep = \"1 week\"
";
    let variables = [("PLIMSOLL_KEEPER__SAFETY__MOST_PENDING", "3")];
    let config = Place::new().config(text, &variables).unwrap();
    let Config { chain, tokens, liquidate, harvest, fees, safety, store, .. } = &config;
    assert_eq!(chain.finality_depth, 7);
    let valuation = |token| tokens.get(token).unwrap().valuation.clone().unwrap();
    assert!(matches!(valuation(USDC), Source::Feeds { quote, .. } if quote == [Address::repeat_byte(0xf2)]));
    assert!(matches!(valuation(WBTC), Source::Pools(hops) if hops[0].window_secs == Some(60)));
    let market = &liquidate.markets[&MarketId(B256::repeat_byte(1))];
    assert_eq!((liquidate.max_slippage_bps, market.max_repay), (2_000, Some(U256::from(5_000_000))));
    assert_eq!((harvest.max_wait.as_secs(), harvest.max_batch), (86_400, 9));
    assert_eq!((harvest.own_rewards, harvest.own_rewards_every.as_secs()), (OwnRewards::Compound, 2 * 86_400));
    assert_eq!((fees.min_priority_fee, fees.max_gas_price, fees.bid_share_bps), (1_000_000_000, 2_000_000_000, 3_000));
    assert_eq!((safety.min_balance, safety.max_pending), (U256::from(500_000_000_000_000_000_u64), 3));
    assert_eq!(store.retention.as_secs(), 7 * 86_400);

    assert_eq!(config.warnings.len(), RENAMED.len(), "{:#?}", config.warnings);
    for (_, old, new) in RENAMED {
        let says_both = |warning: &&String| warning.contains(&format!(": `{old}` is now `{new}`"));
        assert!(config.warnings.iter().find(says_both).is_some(), "{old}: {:#?}", config.warnings);
    }
    assert!(config.warnings[0].contains("keeper.toml:2:1: `final_after`"), "{:?}", config.warnings);
    let from_environment = "PLIMSOLL_KEEPER__SAFETY__MOST_PENDING: `most_pending` is now `max_pending`";
    assert!(config.warnings.last().unwrap().starts_with(from_environment), "{:?}", config.warnings);
}

#[test]
fn the_price_of_one_moment_values_a_token_only_where_the_file_says_so() {
    let pools = "[tokens.WBTC]\npools = [\"wbtc-usdc\", \"weth-usdc\"]\n";
    let windows = |more: &str| {
        let config = Place::new().config(&format!("{pools}{more}"), &[]).unwrap();
        match config.tokens.get(WBTC).unwrap().valuation.clone() {
            Some(Source::Pools(hops)) => hops.iter().map(|hop| hop.window_secs).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(windows("spot = true\n"), [None, None]);
    assert_eq!(windows("twap_window = \"1 minute\"\n"), [Some(60), Some(60)]);
    let missing = "keeper.toml:2:9: say over which time the pools' prices are averaged";
    assert_lines(&Place::new().refusal(pools, &[]), &[missing]);
    let both = format!("{pools}spot = true\ntwap_window = \"1 minute\"\n");
    assert_lines(&Place::new().refusal(&both, &[]), &[missing]);
}

#[test]
fn an_old_name_next_to_its_new_one_is_refused() {
    let lines = Place::new().refusal("[store]\nretention = \"1 day\"\nkeep = \"2 days\"\n", &[]);
    assert_lines(&lines, &["keeper.toml:3:1: `keep` and `retention` are one setting: remove one of them"]);
    // In different layers they are one setting like any other.
    let variables = [("PLIMSOLL_KEEPER__STORE__RETENTION", "3 days")];
    let config = Place::new().config("[store]\nkeep = \"2 days\"\n", &variables).unwrap();
    assert_eq!(config.store.retention.as_secs(), 3 * 86_400);
}

#[test]
fn syntax_errors_are_reported_by_line_and_column() {
    let lines = Place::new().refusal("[http]\nlisten = \n", &[]);
    assert!(lines[0].starts_with("keeper.toml:2:"), "{lines:?}");
    let lines = Place::new().refusal("[http]\nlisten = \"off\"\nlisten = \"off\"\n", &[]);
    assert!(lines[0].starts_with("keeper.toml:3:"), "{lines:?}");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_file() {
    let place = Place::new();
    assert_eq!(place.config("\u{feff}[http]\nlisten = \"off\"\n", &[]).unwrap().http.listen, None);
    assert_lines(&place.refusal("\u{feff}x = 1\n", &[]), &["keeper.toml:1:1: there is no setting `x`"]);
    // As Windows writes "Unicode".
    let file = place.folder.path().join("utf16.toml");
    fs::write(&file, b"\xff\xfe[\0h\0t\0t\0p\0]\0").unwrap();
    let error = read_file(Some(&file)).unwrap_err().to_string();
    assert!(error.contains("utf16.toml: ") && error.ends_with("save the file as UTF-8 text"), "{error}");
}

#[test]
fn without_a_record_the_remedy_is_given() {
    let place = Place { folder: tempfile::tempdir().unwrap() };
    let lines = place.refusal("", &[]);
    assert!(lines.len() == 1 && lines[0].contains("`deploy` writes one"), "{lines:?}");
    assert!(lines[0].starts_with("keeper.toml: "), "{lines:?}");
    let lines = place.refusal("[deployment]\nrecord = \"nowhere.json\"\n[fees]\nreplace_after = 1.5\n", &[]);
    let beginnings =
        ["keeper.toml:2:10: there is no deployment record at nowhere.json", "keeper.toml:4:17: 1.5 is a floating"];
    assert_lines(&lines, &beginnings);
    let mut without_core = record();
    without_core.contracts.remove("contracts.Plimsoll");
    without_core.write(&place.folder.path().join("empty.json")).unwrap();
    let lines = place.refusal("[deployment]\nrecord = \"empty.json\"\n", &[]);
    assert_lines(&lines, &["keeper.toml:1:1: the keeper needs `core`"]);
    fs::write(place.folder.path().join("broken.json"), "{").unwrap();
    let lines = place.refusal("[deployment]\nrecord = \"broken.json\"\n", &[]);
    assert_lines(&lines, &["keeper.toml:2:10: broken.json: this is not a deployment record"]);
}

#[test]
fn the_environment_overrides_the_file_and_is_named_in_errors() {
    let place = Place::new();
    let file = "[http]\nlisten = \"127.0.0.1:1\"\n[safety]\nbreaker_reverts = 3\n";
    let variables = [
        ("PLIMSOLL_KEEPER__HTTP__LISTEN", "127.0.0.1:2"),
        ("PLIMSOLL_KEEPER__FEES__REPLACE_AFTER", "7"),
        ("PLIMSOLL_KEEPER__SAFETY__MIN_BALANCE", "0.25"),
        ("PLIMSOLL_KEEPER__SIGNERS__HARVESTS", "{ environment = \"OTHER_KEY\" }"),
    ];
    let config = place.config(file, &variables).unwrap();
    assert_eq!(config.http.listen, Some("127.0.0.1:2".parse().unwrap()));
    assert_eq!((config.fees.replace_after, config.safety.breaker_reverts), (7, 3));
    assert_eq!(config.safety.min_balance, U256::from(250_000_000_000_000_000_u64));
    assert_eq!(config.signers.harvests, Some(SignerSource::Environment("OTHER_KEY".into())));

    let wrong = [("PLIMSOLL_KEEPER__HTTP__LISTEN", "here"), ("PLIMSOLL_KEEPER__HTTP__LISTN", "x")];
    let beginnings = [
        "PLIMSOLL_KEEPER__HTTP__LISTEN: \"here\" is no place",
        "PLIMSOLL_KEEPER__HTTP__LISTN: there is no setting `listn`: did you mean `listen`?",
    ];
    assert_lines(&place.refusal("", &wrong), &beginnings);
}

#[test]
fn a_variable_with_too_few_underscores_is_refused_with_the_right_name() {
    let place = Place::new();
    for (variable, meant) in [
        ("PLIMSOLL_KEEPER_HTTP__LISTEN", "PLIMSOLL_KEEPER__HTTP__LISTEN"),
        ("PLIMSOLL_KEEPER_HTTP_LISTEN", "PLIMSOLL_KEEPER__HTTP__LISTEN"),
        ("PLIMSOLL_KEEPER__HTTP_LISTEN", "PLIMSOLL_KEEPER__HTTP__LISTEN"),
        ("PLIMSOLL_KEEPER__HTTP___LISTEN", "PLIMSOLL_KEEPER__HTTP__LISTEN"),
        ("PLIMSOLL_KEEPER_SAFETY__BREAKER_REVERTS", "PLIMSOLL_KEEPER__SAFETY__BREAKER_REVERTS"),
        ("PLIMSOLL_KEEPER_LIVE", "PLIMSOLL_KEEPER__SECTION__KEY"),
        ("PLIMSOLL_KEEPER__HTTP____LISTEN", "PLIMSOLL_KEEPER__HTTP__LISTEN"),
    ] {
        let lines = place.refusal("", &[(variable, "off")]);
        assert!(lines.len() == 1 && lines[0].starts_with(&format!("{variable}: ")), "{lines:?}");
        assert!(lines[0].ends_with(&format!("write {meant}")), "{lines:?}");
    }
    assert!(place.config("", &[("PLIMSOLL_DATA", "/data"), ("OTHER_PLIMSOLL_KEEPER_X", "1")]).is_ok());
}

#[test]
fn every_value_has_its_origin() {
    let place = Place::new();
    let file = "[safety]\nbreaker_reverts = 3\n[liquidate.markets.weth-usdc]\nfrom_inventory = true\n";
    let origin = |name: &str| place.setting(file, &[("PLIMSOLL_KEEPER__HTTP__LISTEN", "127.0.0.1:2")], name);
    let text = |name: &str| {
        let (value, origin) = origin(name);
        format!("{value} {}", serde_json::to_string(&origin).unwrap())
    };
    let folder = place.folder.path().display();
    for (name, expected) in [
        ("log.json", "false \"default\"".to_owned()),
        ("chain.name", "Anvil \"default\"".to_owned()),
        ("http.ready_within", "120 seconds \"default\"".to_owned()),
        ("alerts.low_balance", "0.02 \"default\"".to_owned()),
        ("safety.kill_file", "keeper-data/STOP \"default\"".to_owned()),
        ("alerts.webhook_env", "none \"default\"".to_owned()),
        ("safety.breaker_reverts", format!("3 {{\"file\":\"{folder}/keeper.toml:2:19\"}}")),
        ("http.listen", "127.0.0.1:2 {\"environment\":\"PLIMSOLL_KEEPER__HTTP__LISTEN\"}".to_owned()),
        ("deployment.chain_id", format!("31337 {{\"record\":\"{folder}/target/deployments/31337.json\"}}")),
        ("tokens.USDC.feeds", format!("usdc-usd {{\"record\":\"{folder}/target/deployments/31337.json\"}}")),
        (
            "liquidate.markets.weth-usdc.path",
            format!("WETH, 0.3%, USDC {{\"record\":\"{folder}/target/deployments/31337.json\"}}"),
        ),
        ("liquidate.markets.weth-usdc.from_inventory", format!("true {{\"file\":\"{folder}/keeper.toml:4:18\"}}")),
        ("liquidate.markets.weth-usdc.enabled", "true \"default\"".to_owned()),
        ("signers.liquidations.anvil", "8 \"default\"".to_owned()),
        ("endpoints.1.name", "ws://127.0.0.1:8545 \"default\"".to_owned()),
    ] {
        assert_eq!(text(name), expected, "{name}");
    }
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let place = Place::new();
    let text = "[store]\nfolder = \"data\"\n[signers]\n\
                liquidations = { keystore = { path = \"a.json\", password = { file = \"b.txt\" } } }\n";
    let config = place.config(text, &[]).unwrap();
    let at = |name: &str| place.folder.path().join(name);
    assert_eq!((config.store.folder, config.safety.kill_file), (at("data"), at("data/STOP")));
    let password = PasswordSource::File(at("b.txt"));
    assert_eq!(config.signers.liquidations, Some(SignerSource::Keystore { path: at("a.json"), password }));
    let absolute = "[store]\nfolder = \"/data\"\n[safety]\nkill_file = \"/run/stop\"\n";
    let config = place.config(absolute, &[]).unwrap();
    assert_eq!((config.store.folder, config.safety.kill_file), ("/data".into(), "/run/stop".into()));
}

#[test]
fn a_market_can_be_named_by_its_id() {
    let id = B256::repeat_byte(1);
    let config = Place::new().config(&format!("[liquidate.markets.{id}]\nfrom_inventory = true\n"), &[]).unwrap();
    let market = &config.liquidate.markets[&MarketId(id)];
    assert_eq!((market.name.as_str(), market.from_inventory), ("weth-usdc", true));
    assert_eq!(market.route_text, "WETH 0.3% USDC");
    let unknown = B256::repeat_byte(7);
    let text = format!("[liquidate.markets.{unknown}]\npath = [\"WBTC\", \"1%\", \"{USDC}\"]\n");
    let config = Place::new().config(&text, &[]).unwrap();
    assert_eq!(config.liquidate.markets[&MarketId(unknown)].route_text, "WBTC 1% USDC");
}

#[test]
fn a_token_of_the_file_replaces_one_of_the_record_at_its_address() {
    let text = format!("[tokens.Dollar]\naddress = \"{USDC}\"\ndecimals = 6\nrate = \"0.0005\"\n");
    let config = Place::new().config(&text, &[]).unwrap();
    let token = config.tokens.get(USDC).unwrap();
    assert_eq!(token.name, "Dollar");
    assert_eq!(token.valuation, Source::fixed(U256::from(500_000_000_000_000_u64), 6));
}

#[test]
fn a_secret_in_the_wrong_place_is_refused_without_repeating_it() {
    const KEY: &str = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
    let place = Place::new();
    for text in [
        format!("signers = \"{KEY}\"\n"),
        format!("[signers]\nliquidations = \"{KEY}\"\n"),
        format!("[signers]\nliquidations = [\"{KEY}\"]\n"),
        format!("[signers]\nliquidations = {{ environment = \"{KEY}\" }}\n"),
        format!("[signers]\nliquidations = {{ environment = [\"{KEY}\"] }}\n"),
        format!("[signers]\nliquidations = {{ environment = \"a{KEY}\" }}\n"),
        format!("[signers]\nliquidations = {{ {KEY} = 1 }}\n"),
        format!("[signers]\nliquidations = {{ keystore = {{ {KEY} = 1 }} }}\n"),
        format!("[signers]\nliquidations = {{ anvil = \"{KEY}\" }}\n"),
        format!("[signers]\nliquidations = {{ anvil = 8, environment = \"{KEY}\" }}\n"),
        format!("[alerts]\nwebhook_env = \"https://example.org/{KEY}\"\n"),
        format!("[[endpoints]]\nurl_env = \"https://example.org/{KEY}\"\n"),
        format!("[[endpoints]]\nurl = \"ftp://example.org/{KEY}\"\n"),
    ] {
        let lines = place.refusal(&text, &[]);
        assert!(lines.iter().all(|line| !line.contains(&KEY[..16])), "{lines:?}");
        assert!(
            lines.iter().any(|line| line.starts_with(&format!("keeper.toml:{}:", text.lines().count()))),
            "{lines:?}"
        );
    }
    let variables = [("NODE", format!("wss://example.org/{KEY}")), ("HOOK", format!("https://example.org/?t={KEY}"))];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let text = "[[endpoints]]\nurl_env = \"NODE\"\n[alerts]\nwebhook_env = \"HOOK\"\n";
    let config = place.config(text, &variables).unwrap();
    let shown = format!("{config:?} {}", serde_json::to_string(&config.settings).unwrap());
    assert!(!shown.contains(KEY), "{shown}");
    assert_eq!(config.endpoints[0].name, "wss://example.org/…");
    let url = format!("[[endpoints]]\nurl = \"wss://example.org/{KEY}\"\n");
    assert_eq!(place.setting(&url, &[], "endpoints.0.url").0, "wss://example.org/…");

    let unset = [("WRONG", "nonsense")];
    let text = "[[endpoints]]\nurl_env = \"NODE\"\n[alerts]\nwebhook_env = \"WRONG\"\n";
    let beginnings = [
        "keeper.toml:2:11: the environment variable NODE is not set; it must hold the endpoint's URL",
        "keeper.toml:4:15: WRONG: a webhook must be a URL",
    ];
    assert_lines(&place.refusal(text, &unset), &beginnings);
}

#[test]
fn chains_differ_by_data() {
    let place = Place::new();
    let addresses = "core = \"0x0000000000000000000000000000000000000001\"\n\
                     [[endpoints]]\nurl = \"ws://127.0.0.1:1\"\n";
    let facts = |id: u64, more: &str| {
        place.config(&format!("[deployment]\nchain_id = {id}\n{addresses}{more}"), &[]).unwrap().chain
    };
    assert_eq!(facts(42_161, "").gas, GasSource::Estimate);
    assert_eq!(facts(42_161, "").block_time.as_millis(), 250);
    assert_eq!(facts(8_453, "").data_fee, DataFee::OpStack);
    assert_eq!(facts(1, "").wrapped_coin, Some(address!("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")));
    assert_eq!(facts(1, "").transaction_gas_cap, 1 << 24);
    assert_eq!(
        (facts(42_161, "").ordering, facts(1, "").ordering),
        (bids::Ordering::Arrival, bids::Ordering::Priority)
    );
    assert_eq!(facts(77, "").name, "chain 77");
    assert_eq!(facts(1, "[chain]\ntransaction_gas_cap = 30_000_000\n").transaction_gas_cap, 30_000_000);
    let without_nodes = addresses.split("[[").next().unwrap();
    let lines = place.refusal(&format!("[deployment]\nchain_id = 1\n{without_nodes}"), &[]);
    assert_lines(&lines, &["keeper.toml:1:1: name an endpoint"]);
}

#[test]
fn every_known_chain_has_valid_facts_and_a_least_priority_fee() {
    let place = Place::new();
    let chains: toml::Table = include_str!("chains.toml").parse().unwrap();
    let ids: Vec<u64> = chains.keys().filter_map(|key| key.parse().ok()).collect();
    assert!(ids.len() > 20, "{ids:?}");
    let read = |id: u64, more: &str| {
        let addresses = "core = \"0x0000000000000000000000000000000000000001\"\n\
                         [[endpoints]]\nurl = \"ws://127.0.0.1:1\"\n";
        place.config(&format!("[deployment]\nchain_id = {id}\n{addresses}{more}"), &[]).unwrap()
    };
    for id in ids {
        let config = read(id, "");
        assert!(!config.chain.name.starts_with("chain ") && config.fees.min_priority_fee > 0, "{:?}", config.chain);
    }
    assert_eq!(read(137, "").fees.min_priority_fee, 30_000_000_000);
    assert_eq!(read(137, "[fees]\nmin_priority_fee = \"40 gwei\"\n").fees.min_priority_fee, 40_000_000_000);
    assert_eq!(read(77, "").fees.min_priority_fee, 100_000_000);
}

#[test]
fn a_key_for_liquidations_brings_no_other_key_with_it() {
    let config = Place::new().config("[signers]\nliquidations = { environment = \"MINE\" }\n", &[]).unwrap();
    assert_eq!(config.signers.harvests, None);
}

#[test]
fn another_protocol_needs_a_place_and_an_executor() {
    let place = Place::new();
    let executor = "[executor]\naddress = \"0x0000000000000000000000000000000000000007\"\n";
    let problems = |text: &str| place.refusal(text, &[]).join("\n");
    let nowhere = problems(&format!("[[protocols]]\nkind = \"morpho-blue\"\n{executor}"));
    assert!(nowhere.contains("no deployment of morpho-blue on chain 31337 is known"), "{nowhere}");
    let several = problems(&format!("[deployment]\nchain_id = 1\n[[protocols]]\nkind = \"compound-v2\"\n{executor}"));
    assert!(several.contains("chain 1 has several of compound-v2: say its `address`, one of 0x"), "{several}");
    let protocol = "[[protocols]]\nkind = \"morpho-blue\"\naddress = \"0x0000000000000000000000000000000000000008\"\n";
    let without = problems(protocol);
    assert!(without.contains("by the contract Executor: say its `address`"), "{without}");
    let hub = problems(&format!("{protocol}{executor}hubs = [\"NOSUCH\"]\n"));
    assert!(hub.contains("NOSUCH"), "{hub}");
    let fee = problems(&format!("{protocol}{executor}pair_fees = [\"3 per mille\"]\n"));
    assert!(fee.contains("\"3 per mille\" is no fee: write \"0.25%\""), "{fee}");
}

#[test]
fn another_protocol_is_sold_over_the_fees_and_hubs_that_are_named() {
    let text = "[[protocols]]\nkind = \"morpho-blue\"\naddress = \"0x0000000000000000000000000000000000000008\"\n\
                [executor]\naddress = \"0x0000000000000000000000000000000000000007\"\nhubs = [\"WETH\", \"USDC\"]\n";
    let Protocols { deployments, executor } = Place::new().config(text, &[]).unwrap().protocols;
    let executor = executor.unwrap();
    assert_eq!((deployments.len(), deployments[0].first_block), (1, 0));
    assert_eq!((executor.hubs, executor.pair_fees), (vec![WETH, USDC], vec![3_000]));
    assert_eq!(executor.pool_fees, [100, 500, 2_500, 3_000, 10_000]);
    assert_eq!(Place::new().config("", &[]).unwrap().protocols, Protocols::default());
}

#[test]
fn other_protocols_alone_need_the_chains_id_and_no_deployment() {
    let protocol = "[[protocols]]\nkind = \"morpho-blue\"\n[executor]\n\
                    address = \"0x0000000000000000000000000000000000000007\"\n";
    const ENDPOINT: &str = "[[endpoints]]\nurl = \"http://127.0.0.1:1\"\n";
    let place = Place::new();
    let config = place.config(&format!("[deployment]\nchain_id = 1\n{ENDPOINT}{protocol}"), &[]).unwrap();
    assert_eq!((config.deployed.core(), config.chain.id), (None, 1));
    assert!(config.sources().filters().is_empty(), "logs of any contract are asked for");
    let all = format!("[deployment]\nchain_id = 1\nfollow = \"all\"\n{ENDPOINT}{protocol}");
    assert!(place.config(&all, &[]).unwrap().sources().filters().is_empty());
    // A deployment that is named is served, too, and one that is named in part is a mistake.
    let core = "core = \"0x0000000000000000000000000000000000000001\"\n";
    let both = place.config(&format!("[deployment]\nchain_id = 1\n{core}{ENDPOINT}{protocol}"), &[]).unwrap();
    assert!(both.deployed.core().is_some() && !both.sources().filters().is_empty());
    let guard = "guard = \"0x0000000000000000000000000000000000000001\"\n";
    let lacking = place.config(&format!("[deployment]\nchain_id = 1\nrecord = \"no.json\"\n{guard}{protocol}"), &[]);
    let lacking = lacking.unwrap_err().to_string();
    assert!(lacking.contains("or `chain_id` alone with [[protocols]]"), "{lacking}");
    let nothing = place.config(&format!("[deployment]\nchain_id = 1\n{ENDPOINT}"), &[]);
    assert!(nothing.is_ok(), "the local record is the default where no other protocol is served");
}

#[test]
fn the_example_without_a_deployment_is_of_one_protocol_and_values_its_tokens() {
    const ALONE: &str = include_str!("../../../examples/keeper-protocols.toml");
    let config = Place::new().config(ALONE, &[("NODE_URL", "ws://127.0.0.1:1")]).unwrap();
    assert_eq!((config.deployed.core(), config.protocols.deployments.len()), (None, 1));
    assert_eq!(config.tokens.sources().len(), 2);
}

#[test]
fn profits_in_the_wrapped_coin_need_one_that_is_known() {
    const ENDPOINT: &str = "[[endpoints]]\nurl = \"http://127.0.0.1:1\"\n";
    const TOLD: &str = "[liquidate]\nprofit_in_wrapped_coin = true\n";
    let place = Place::new();
    // Of a chain that is not known.
    let alone = format!(
        "[deployment]\nchain_id = 987654\n{ENDPOINT}{TOLD}[executor]\naddress = \"{WETH}\"\n\
         [[protocols]]\nkind = \"morpho-blue\"\naddress = \"{WETH}\"\nfirst_block = 1\n"
    );
    let refused = place.config(&alone, &[]).unwrap_err().to_string();
    assert!(refused.contains("say `wrapped_coin` in [chain]"), "{refused}");
    let named = format!("{alone}[chain]\nwrapped_coin = \"{WETH}\"\n");
    assert!(place.config(&named, &[]).unwrap().liquidate.profit_in_wrapped_coin);
    let untold = place.config(&format!("[deployment]\nchain_id = 1\n{ENDPOINT}"), &[]).unwrap();
    assert!(!untold.liquidate.profit_in_wrapped_coin);
}
