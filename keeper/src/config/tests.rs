//! What a configuration means, and what is said about one that means nothing.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Bytes, U256, address};
use plimsoll_contracts::{
    MarketId,
    deployment::{DeployedContract, Deployment, MarketRecord, PoolRecord, TokenRecord},
};

use super::*;

const EXAMPLE: &str = include_str!("../../../keeper.example.toml");
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

    /// What is said about a configuration, without the folder's name.
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
    assert_eq!(config.signers.liquidations, Some(SignerSource::Anvil(8)));
    assert_eq!(config.signers.harvests, Some(SignerSource::Anvil(9)));

    let route = config.liquidate.markets[&MarketId(B256::repeat_byte(1))].route.clone().unwrap();
    assert_eq!((route.swapper, route.text.as_str()), (Address::repeat_byte(5), "WETH 0.3% USDC"));
    assert_eq!(route.path, [&WETH[..], &[0, 0x0b, 0xb8], &USDC[..]].concat());
    let route = config.liquidate.markets[&MarketId(B256::repeat_byte(2))].route.clone().unwrap();
    assert_eq!(route.text, "WBTC 0.3% USDC 0.3% WETH");

    let worth = |token| config.tokens.get(token).unwrap().valuation.clone().unwrap();
    assert_eq!(worth(WETH), Valuation::Rate(U256::from(10).pow(U256::from(18))));
    assert!(matches!(worth(USDC), Valuation::Feeds { base, quote, .. } if base.len() == 1 && quote.len() == 1));
    assert!(matches!(worth(WBTC), Valuation::Pools { hops, .. } if hops.len() == 2 && hops[1].token_out == WETH));
}

#[test]
fn the_example_says_what_holds_without_it() {
    let place = Place::new();
    let values = |text| {
        let settings = place.config(text, &[]).unwrap().settings;
        settings.into_iter().map(|setting| (setting.name, setting.value)).collect::<BTreeSet<_>>()
    };
    let (said, default) = (values(EXAMPLE), values(""));
    // Where the record is, the defaults know only by trying.
    let differences: Vec<_> =
        said.symmetric_difference(&default).filter(|(name, _)| name != "deployment.record").collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn the_example_explains_every_setting() {
    // With everything in it that can be said, and what stands against one another.
    let all: String =
        EXAMPLE.lines().map(uncommented).filter(|line| !line.starts_with("url = ")).collect::<Vec<_>>().join("\n");
    let place = Place::new();
    let reading = Reading::new(Path::new("all"), &all, &[]);
    let document = reading.document();
    let root = Section::root(&reading, &document);
    let variables = BTreeMap::from([("NODE_URL".to_owned(), "ws://127.0.0.1:8545".to_owned())]);
    assert!(Config::read(&root, place.folder.path(), &variables).is_some());
    root.finish();
    let asked = reading.schema();
    let explained = explained();
    let silent: Vec<_> = asked.difference(&explained).collect();
    assert!(silent.is_empty(), "the example does not explain {silent:?}");
    let unknown: Vec<_> = explained.difference(&asked).collect();
    assert!(unknown.is_empty(), "the example explains what there is not: {unknown:?}");
}

/// A line of the example with the setting in it that it has commented out.
fn uncommented(line: &str) -> String {
    match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting.to_owned(),
        _ => line.to_owned(),
    }
}

/// Names of all settings in the example, as the schema has them.
fn explained() -> BTreeSet<String> {
    let mut section = String::new();
    let mut names = BTreeSet::new();
    for line in EXAMPLE.lines().map(uncommented) {
        if let Some(heading) = line.strip_prefix('[') {
            let name = heading.trim_start_matches('[').split(']').next().unwrap();
            section = match name.split('.').collect::<Vec<_>>()[..] {
                ["tokens", _] => "tokens.*".to_owned(),
                ["liquidate", "markets", _] => "liquidate.markets.*".to_owned(),
                _ => name.to_owned(),
            };
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            names.insert(format!("{section}.{key}"));
        }
    }
    names
}

#[test]
fn everything_that_is_wrong_is_told_at_once_by_line_and_column() {
    let text = "\
[safety]
loss_cap_per_day = 0.5
minimum_balance = \"a little\"
[http]
listn = \"127.0.0.1:1\"
[liquidate.markets.weth-usd]
[tokens.WBTC]
pools = [\"wbtc-usd\"]
";
    let lines = Place::new().refusal(text, &[]);
    let begins = [
        "keeper.toml:2:20: 0.5 is a floating-point number",
        "keeper.toml:3:19: \"a little\" is not a number",
        "keeper.toml:5:1: [http] has no setting `listn`; it has listen, ready_within",
        "keeper.toml:6:1: the record has no market `weth-usd`; it has wbtc-weth, weth-usdc",
        "keeper.toml:8:10: the record has no pool `wbtc-usd`; it has wbtc-usdc, weth-usdc",
    ];
    assert_eq!(lines.len(), begins.len(), "{lines:#?}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}\n{begin}");
    }
}

#[test]
fn a_text_that_is_no_toml_is_refused_by_line_and_column() {
    let lines = Place::new().refusal("[http]\nlisten = \n", &[]);
    assert!(lines[0].starts_with("keeper.toml:2:"), "{lines:?}");
}

#[test]
fn without_a_record_the_remedy_is_told() {
    let place = Place { folder: tempfile::tempdir().unwrap() };
    let lines = place.refusal("", &[]);
    assert!(lines.len() == 1 && lines[0].contains("`deploy` writes one"), "{lines:?}");
    let addresses = "[deployment]\nchain_id = 5\ncore = \"0x0000000000000000000000000000000000000001\"\n";
    let lines = place.refusal(addresses, &[]);
    assert!(lines.iter().any(|line| line.contains("needs `lens`")), "{lines:?}");
}

#[test]
fn the_environment_goes_over_the_file_and_is_named_in_errors() {
    let place = Place::new();
    let file = "[http]\nlisten = \"127.0.0.1:1\"\n[safety]\nbreaker_reverts = 3\n";
    let variables = [
        ("PLIMSOLL_KEEPER__HTTP__LISTEN", "127.0.0.1:2"),
        ("PLIMSOLL_KEEPER__FEES__REPLACE_AFTER", "7"),
        ("PLIMSOLL_KEEPER__SAFETY__MINIMUM_BALANCE", "0.25"),
        ("PLIMSOLL_KEEPER__SIGNERS__HARVESTS", "{ environment = \"OTHER_KEY\" }"),
    ];
    let config = place.config(file, &variables).unwrap();
    assert_eq!(config.http.listen, Some("127.0.0.1:2".parse().unwrap()));
    assert_eq!((config.fees.replace_after, config.safety.breaker_reverts), (7, 3));
    assert_eq!(config.safety.minimum_balance, U256::from(250_000_000_000_000_000_u64));
    assert_eq!(config.signers.harvests, Some(SignerSource::Environment("OTHER_KEY".into())));
    let origin = |name: &str| config.settings.iter().find(|setting| setting.name == name).unwrap().origin.clone();
    assert_eq!(origin("http.listen"), Origin::Environment("PLIMSOLL_KEEPER__HTTP__LISTEN".into()));
    assert!(matches!(origin("safety.breaker_reverts"), Origin::File(place) if place.ends_with("keeper.toml:4:19")));
    assert_eq!(origin("log.json"), Origin::Default);

    let wrong = [("PLIMSOLL_KEEPER__HTTP__LISTEN", "here"), ("PLIMSOLL_KEEPER__HTTP__LISTN", "x")];
    let lines = place.refusal("", &wrong);
    assert!(lines[0].starts_with("PLIMSOLL_KEEPER__HTTP__LISTEN: \"here\" is no place"), "{lines:?}");
    assert!(lines[1].starts_with("PLIMSOLL_KEEPER__HTTP__LISTN: [http] has no setting"), "{lines:?}");
}

#[test]
fn a_secret_in_the_wrong_place_is_refused_without_repeating_it() {
    const KEY: &str = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
    let place = Place::new();
    for text in [
        format!("[signers]\nliquidations = \"{KEY}\"\n"),
        format!("[signers]\nliquidations = {{ environment = \"{KEY}\" }}\n"),
        format!("[signers]\nliquidations = {{ environment = \"a{KEY}\" }}\n"),
        format!("[signers]\nliquidations = {{ {KEY} = 1 }}\n"),
        format!("[alerts]\nwebhook_env = \"https://example.org/{KEY}\"\n"),
        format!("[[endpoints]]\nurl_env = \"https://example.org/{KEY}\"\n"),
        format!("[[endpoints]]\nurl = \"ftp://example.org/{KEY}\"\n"),
    ] {
        let lines = place.refusal(&text, &[]);
        assert!(lines.iter().all(|line| !line.contains(&KEY[..16])), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("keeper.toml:2:")), "{lines:?}");
    }
    let variables = [("NODE", format!("wss://example.org/{KEY}")), ("HOOK", format!("https://example.org/?t={KEY}"))];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let text = "[[endpoints]]\nurl_env = \"NODE\"\n[alerts]\nwebhook_env = \"HOOK\"\n";
    let config = place.config(text, &variables).unwrap();
    let shown = format!("{config:?} {}", serde_json::to_string(&config.settings).unwrap());
    assert!(!shown.contains(KEY), "{shown}");
    assert_eq!(config.endpoints[0].name, "wss://example.org/…");
}

#[test]
fn chains_differ_by_data() {
    let place = Place::new();
    let addresses = "core = \"0x0000000000000000000000000000000000000001\"\n\
                     lens = \"0x0000000000000000000000000000000000000002\"\n\
                     [[endpoints]]\nurl = \"ws://127.0.0.1:1\"\n";
    let facts = |id: u64, more: &str| {
        place.config(&format!("[deployment]\nchain_id = {id}\n{addresses}{more}"), &[]).unwrap().chain
    };
    assert_eq!(facts(42_161, "").gas, GasSource::Estimate);
    assert_eq!(facts(42_161, "").block_time.as_millis(), 250);
    assert_eq!(facts(8_453, "").data_fee, DataFee::OpStack);
    assert_eq!(facts(1, "").wrapped_coin, Some(address!("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")));
    assert_eq!(facts(1, "").transaction_gas_cap, 1 << 24);
    assert_eq!(facts(77, "").name, "chain 77");
    assert_eq!(facts(1, "[chain]\ntransaction_gas_cap = 30_000_000\n").transaction_gas_cap, 30_000_000);
}

#[test]
fn whoever_names_one_key_gets_no_other() {
    let config = Place::new().config("[signers]\nliquidations = { environment = \"MINE\" }\n", &[]).unwrap();
    assert_eq!(config.signers.harvests, None);
}
