//! Examples at the end of each command's help.

pub(super) const EXAMPLES: &str = "\
Examples:
  # Everything on a fresh local Anvil
  plimsoll-deploy up
  # What would be deployed on a test network, and then do it
  plimsoll-deploy plan examples/sepolia.toml
  plimsoll-deploy apply examples/sepolia.toml
  # Compare a chain with code and manifest
  plimsoll-deploy verify my-chain.toml
  # A tool in its pinned version
  plimsoll-deploy tool cast --version";

pub(super) const BUILD: &str = "\
Examples:
  plimsoll-deploy build
  # Names and sizes for scripts
  plimsoll-deploy build --json";

pub(super) const PLAN: &str = "\
Examples:
  plimsoll-deploy plan examples/sepolia.toml
  # With a node from the environment, as in Foundry's tools
  ETH_RPC_URL=https://… plimsoll-deploy plan my-chain.toml
  # What the owner must sign, for Safe's Transaction Builder
  plimsoll-deploy plan my-chain.toml --safe owner.json
  # Addresses only, without a chain
  plimsoll-deploy plan my-chain.toml --offline";

pub(super) const APPLY: &str = "\
Examples:
  # Asks before it sends anything
  plimsoll-deploy apply my-chain.toml
  # In a script
  ETH_RPC_URL=https://… plimsoll-deploy apply my-chain.toml --yes --json";

pub(super) const VERIFY: &str = "\
Examples:
  plimsoll-deploy verify my-chain.toml
  # Publish the sources
  plimsoll-deploy verify my-chain.toml --sourcify
  ETHERSCAN_API_KEY=… plimsoll-deploy verify my-chain.toml --etherscan";

pub(super) const STATUS: &str = "\
Examples:
  plimsoll-deploy status my-chain.toml
  plimsoll-deploy status my-chain.toml --json";

pub(super) const UP: &str = "\
Examples:
  # examples/local.toml at http://127.0.0.1:8545
  plimsoll-deploy up
  # Another manifest, on any free port
  plimsoll-deploy up my-local.toml --port 0";

pub(super) const PAGE: &str = "\
Examples:
  plimsoll-deploy page deployments/11155111.json --node https://rpc.example.org --out public";

pub(super) const PROPOSE: &str = "\
Examples:
  # To the governor, with a key in the environment
  plimsoll-deploy propose raise-fee.toml --record deployments/1.json --key-env KEY
  # Without a governor: the calls that a Safe must make to schedule it
  plimsoll-deploy propose raise-fee.toml --account 0x… --safe schedule.json";

pub(super) const SIMULATE: &str = "\
Examples:
  plimsoll-deploy simulate raise-fee.toml
  # What is proposed already, as a page for the forum
  plimsoll-deploy simulate 3141592653589793 --page raise-fee.html
  # Names of harms, for scripts
  plimsoll-deploy simulate raise-fee.toml --json";

pub(super) const VOTE: &str = "\
Examples:
  plimsoll-deploy vote 3141592653589793 for --reason \"the reserve is thin\" --keystore me.json --password-env PASSWORD";

pub(super) const QUEUE: &str = "\
Examples:
  plimsoll-deploy queue 3141592653589793 --key-env KEY";

pub(super) const EXECUTE: &str = "\
Examples:
  # All that is due
  plimsoll-deploy execute --key-env KEY
  # One operation of a Safe
  plimsoll-deploy execute 0x… --account 0x… --safe execute.json";

pub(super) const PROPOSALS: &str = "\
Examples:
  plimsoll-deploy proposals
  plimsoll-deploy proposals --all --json";

pub(super) const TOOL: &str = "\
Examples:
  plimsoll-deploy tool forge test
  plimsoll-deploy tool cast block latest --rpc-url http://127.0.0.1:8545";

pub(super) const COMPLETIONS: &str = "\
Examples:
  plimsoll-deploy completions bash > ~/.local/share/bash-completion/completions/plimsoll-deploy
  plimsoll-deploy completions zsh > ~/.zfunc/_plimsoll-deploy
  plimsoll-deploy completions fish > ~/.config/fish/completions/plimsoll-deploy.fish";

pub(super) const MAN: &str = "\
Examples:
  plimsoll-deploy man | man -l -
  plimsoll-deploy man --out ~/.local/share/man/man1";
