//! Where a command takes its settings from: a file, the environment, and the node named on the command line.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use clap::Args;
use eyre::eyre;
use plimsoll_chain::endpoint::Endpoint;

use crate::config::{self, Config, ConfigError, Origin};

/// Variable with a node's URL that is used where no endpoint is configured, as in Foundry's tools.
const RPC_URL_VARIABLE: &str = "ETH_RPC_URL";
/// Variable that stands for the list `[[endpoints]]` of the file.
const ENDPOINTS_VARIABLE: &str = "PLIMSOLL_KEEPER__ENDPOINTS";

/// Options that say where settings come from.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// Configuration file; else keeper.toml in the current folder, if there is one.
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    config: Option<PathBuf>,
    /// URL of the node to use instead of the configured [[endpoints]].
    ///
    /// Where neither is given, the environment variable ETH_RPC_URL is used. Prefer it for a URL with a key, which would
    /// be visible in the list of processes.
    #[arg(long, value_name = "URL", help_heading = "Configuration")]
    rpc_url: Option<String>,
}

impl Source {
    /// Reads the configuration. Fails if the file cannot be read, or if a setting or the node's URL is invalid.
    pub(super) fn read(&self) -> eyre::Result<Config> {
        let (path, text) = config::read_file(self.config.as_deref())?;
        let variables =
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let config = self.parse(&path, &text, variables.collect());
        let Err(error) = config else { return config };
        match error.downcast::<ConfigError>() {
            Ok(ConfigError::Wrong(mut lines)) if self.config.is_none() && !path.exists() => {
                lines.push(format!(
                    "{}: there is no such file in this folder; --config names another one",
                    path.display()
                ));
                Err(ConfigError::Wrong(lines).into())
            }
            Ok(error) => Err(error.into()),
            Err(error) => Err(error),
        }
    }

    fn parse(&self, path: &Path, text: &str, mut variables: BTreeMap<String, String>) -> eyre::Result<Config> {
        let named = match (&self.rpc_url, variables.get(RPC_URL_VARIABLE)) {
            (Some(url), _) => Some(("--rpc-url", url.clone())),
            (None, Some(url)) if !url.is_empty() && !has_endpoints(text, &variables) => {
                Some((RPC_URL_VARIABLE, url.clone()))
            }
            _ => None,
        };
        let Some((origin, url)) = named else { return Ok(Config::parse(path, text, &variables)?) };
        // The error does not repeat the URL, which may hold a key.
        url.parse::<Endpoint>().map_err(|error| eyre!("{origin}: {error}"))?;
        variables.insert(ENDPOINTS_VARIABLE.to_owned(), format!("[{{ url = {} }}]", toml::Value::String(url)));
        let mut config = Config::parse(path, text, &variables)?;
        let replaced = Origin::Environment(ENDPOINTS_VARIABLE.to_owned());
        for setting in config.settings.iter_mut().filter(|setting| setting.origin == replaced) {
            setting.origin = Origin::Environment(origin.to_owned());
        }
        Ok(config)
    }
}

/// Returns true if the file or the environment names endpoints. An invalid file does not count; reading it fails later
/// with a better message.
fn has_endpoints(text: &str, variables: &BTreeMap<String, String>) -> bool {
    variables.contains_key(ENDPOINTS_VARIABLE)
        || text.trim_start_matches('\u{feff}').parse::<toml::Table>().is_ok_and(|table| table.contains_key("endpoints"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A deployment on a chain without default endpoints.
    const DEPLOYMENT: &str = "[deployment]\nchain_id = 1\ngenesis = \
        \"0x0000000000000000000000000000000000000000000000000000000000000001\"\n\
        core = \"0x0000000000000000000000000000000000000001\"\n\
        first_block = 0\n[tokens.WETH]\naddress = \"0x0000000000000000000000000000000000000005\"\ndecimals = 18\nrate = \"1\"\n";
    const ENDPOINTS: &str =
        "[[endpoints]]\nurl = \"http://127.0.0.1:1\"\n[[endpoints]]\nurl = \"http://127.0.0.1:2\"\n";

    fn parse(rpc_url: Option<&str>, text: &str, variables: &[(&str, &str)]) -> eyre::Result<Config> {
        let source = Source { config: None, rpc_url: rpc_url.map(str::to_owned) };
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        source.parse(Path::new("keeper.toml"), text, variables.iter().map(own).collect())
    }

    fn endpoints(config: &Config) -> Vec<String> {
        config.endpoints.iter().map(|settings| settings.endpoint.to_string()).collect()
    }

    #[test]
    fn an_rpc_url_replaces_all_configured_endpoints() {
        let text = format!("{DEPLOYMENT}{ENDPOINTS}");
        let config = parse(Some("http://127.0.0.1:3"), &text, &[(RPC_URL_VARIABLE, "http://127.0.0.1:4")]).unwrap();
        assert_eq!(endpoints(&config), ["http://127.0.0.1:3"]);
        let setting = config.settings.iter().find(|setting| setting.name == "endpoints.0.url").unwrap();
        assert_eq!(setting.origin.to_string(), "--rpc-url");
    }

    #[test]
    fn the_environments_rpc_url_is_used_only_where_no_endpoint_is_configured() {
        let variable = [(RPC_URL_VARIABLE, "http://127.0.0.1:4")];
        let config = parse(None, &format!("{DEPLOYMENT}{ENDPOINTS}"), &variable).unwrap();
        assert_eq!(endpoints(&config), ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        let config = parse(None, DEPLOYMENT, &variable).unwrap();
        assert_eq!(endpoints(&config), ["http://127.0.0.1:4"]);
        let configured = [variable[0], (ENDPOINTS_VARIABLE, "[{ url = \"http://127.0.0.1:5\" }]")];
        assert_eq!(endpoints(&parse(None, DEPLOYMENT, &configured).unwrap()), ["http://127.0.0.1:5"]);
        assert!(parse(None, DEPLOYMENT, &[(RPC_URL_VARIABLE, "")]).is_err());
    }

    #[test]
    fn without_a_file_a_mistake_is_not_said_to_be_in_it() {
        let source = Source { config: None, rpc_url: None };
        let Err(error) = source.read() else { panic!("no record is in this folder") };
        assert!(
            error.to_string().ends_with("there is no such file in this folder; --config names another one"),
            "{error}"
        );
    }

    #[test]
    fn an_invalid_rpc_url_is_refused_without_repeating_it() {
        let error = parse(Some("ftp//key-of-ours"), DEPLOYMENT, &[]).unwrap_err().to_string();
        assert!(error.starts_with("--rpc-url: ") && !error.contains("key-of-ours"), "{error}");
    }
}
