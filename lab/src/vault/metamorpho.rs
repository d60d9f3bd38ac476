//! A MetaMorpho vault over Morpho Blue beside ours: the real bytecode, from the npm package that embeds it, on the same
//! node, with the same tokens, accounts, amounts and times.

use alloy::{
    primitives::{Bytes, U256, keccak256},
    sol,
    sol_types::SolValue,
};
use eyre::ensure;
use plimsoll_contracts::market::BPS;
use plimsoll_protocols::morpho_blue::{IMorphoBlue, MarketParams};
use plimsoll_testkit::morpho_blue::{self, MorphoBlue};

use super::{
    DEPOSITED, Gas, HOUR, SMALL,
    chain::{BALANCE, Chain, PAR, Party},
    demand::MARKETS,
    units,
};

/// The contract's file in the package.
const VAULT: &str = "metamorpho/src/MetaMorpho__factory.js";
/// The shortest delay that it allows between the submission of a cap and its acceptance.
const TIMELOCK_SECS: u64 = 86_400;
/// 86 %, as in our markets.
const LIQUIDATION_LTV: u64 = 860_000_000_000_000_000;
/// What is borrowed of what others supply.
const UTILISATION_BPS: u32 = 9_000;
/// A cap of a market that nothing reaches.
const CAP: u128 = 1 << 120;

sol! {
    #[sol(rpc)]
    interface IMetaMorpho {
        struct Params {
            address loanToken;
            address collateralToken;
            address oracle;
            address irm;
            uint256 lltv;
        }

        struct MarketAllocation {
            Params params;
            uint256 assets;
        }

        function submitCap(Params memory params, uint256 newSupplyCap) external;
        function acceptCap(Params memory params) external;
        function setSupplyQueue(bytes32[] memory newSupplyQueue) external;
        function reallocate(MarketAllocation[] memory allocations) external;
        function deposit(uint256 assets, address receiver) external returns (uint256 shares);
        function withdraw(uint256 assets, address receiver, address owner) external returns (uint256 shares);
        function totalAssets() external view returns (uint256);
    }
}

/// Measures deposits and withdrawals with cold slots, an hour apart, with up to three positions, like those of ours.
pub(super) async fn gas(chain: &mut Chain, positions: usize) -> eyre::Result<Gas> {
    let [loan, collateral] = chain.tokens()?;
    let owner = chain.devnet.deployer();
    let morpho = MorphoBlue::deploy(&chain.devnet).await?;
    let arguments = (owner, morpho.core, U256::from(TIMELOCK_SECS), loan, "MetaMorpho", "M").abi_encode_params();
    let vault = morpho_blue::create(&chain.devnet, VAULT, arguments).await?;
    for party in [Party::Lender, Party::Borrower] {
        for token in [loan, collateral] {
            let account = chain.account(party)?;
            chain.devnet.mint_and_approve(token, account, U256::from(BALANCE), morpho.core).await?;
        }
    }
    for party in [Party::Depositor, Party::Newcomer] {
        chain.devnet.mint_and_approve(loan, chain.account(party)?, U256::from(BALANCE), vault).await?;
    }
    let mut markets = Vec::new();
    for terms in MARKETS.iter().take(positions) {
        let oracle = chain.devnet.deploy("OneSlotOracle", U256::from(PAR).abi_encode()).await?;
        let lltv = U256::from(LIQUIDATION_LTV + markets.len() as u64);
        let params = morpho.create_market(&chain.devnet, [collateral, loan], oracle, lltv).await?;
        markets.push((params, units(terms.others)));
    }
    chain.wait_for_set_up();

    let (lender, borrower) = (chain.account(Party::Lender)?, chain.account(Party::Borrower)?);
    for (params, others) in &markets {
        let (params, shares, data) = (params.clone(), U256::ZERO, Bytes::new());
        let assets = U256::from(*others);
        let supply = IMorphoBlue::supplyCall { params: params.clone(), assets, shares, onBehalf: lender, data };
        chain.send(1, lender, morpho.core, supply).await?;
        let (assets, data) = (U256::from(BALANCE / 8), Bytes::new());
        let call = IMorphoBlue::supplyCollateralCall { params: params.clone(), assets, onBehalf: borrower, data };
        chain.send(1, borrower, morpho.core, call).await?;
        let assets = U256::from(*others) * U256::from(UTILISATION_BPS) / U256::from(BPS);
        let call = IMorphoBlue::borrowCall { params, assets, shares, onBehalf: borrower, receiver: borrower };
        chain.send(1, borrower, morpho.core, call).await?;
    }

    let mut gas = Gas::default();
    for count in 1..=positions {
        let added = IMetaMorpho::Params::from(&markets[count - 1].0);
        let call = IMetaMorpho::submitCapCall { params: added.clone(), newSupplyCap: U256::from(CAP) };
        chain.send(1, owner, vault, call).await?;
        chain.send(TIMELOCK_SECS + 1, owner, vault, IMetaMorpho::acceptCapCall { params: added.clone() }).await?;
        if count == 1 {
            let first = keccak256(added.abi_encode());
            chain.send(1, owner, vault, IMetaMorpho::setSupplyQueueCall { newSupplyQueue: vec![first] }).await?;
            for party in [Party::Depositor, Party::Newcomer] {
                let receiver = chain.account(party)?;
                let call = IMetaMorpho::depositCall { assets: U256::from(units(DEPOSITED)), receiver };
                chain.send(1, receiver, vault, call).await?;
            }
        }
        if count > 1 {
            // The first gets less by what the last gets: the rest of what was withdrawn.
            let each = U256::from(units(2 * DEPOSITED) / positions as u128);
            let left = U256::from(units(2 * DEPOSITED)) - each * U256::from(count - 1);
            let first = IMetaMorpho::Params::from(&markets[0].0);
            let allocations = vec![
                IMetaMorpho::MarketAllocation { params: first, assets: left },
                IMetaMorpho::MarketAllocation { params: added, assets: U256::MAX },
            ];
            chain.send(1, owner, vault, IMetaMorpho::reallocateCall { allocations }).await?;
        }
        let (account, assets) = (chain.account(Party::Newcomer)?, U256::from(units(SMALL)));
        let deposit = IMetaMorpho::depositCall { assets, receiver: account };
        gas.deposits.push(chain.send(HOUR, account, vault, deposit).await?.gas_used);
        let withdrawal = IMetaMorpho::withdrawCall { assets, receiver: account, owner: account };
        gas.withdrawals.push(chain.send(HOUR, account, vault, withdrawal).await?.gas_used);
    }
    let provider = chain.devnet.provider();
    let total = IMetaMorpho::new(vault, provider).totalAssets().call().await?;
    ensure!(total > U256::from(units(2 * DEPOSITED)), "the MetaMorpho vault has earned nothing: {total}");
    for (params, _) in &markets {
        let id = keccak256(params.abi_encode());
        let position = IMorphoBlue::new(morpho.core, provider).position(id, vault).call().await?;
        ensure!(!position.supplyShares.is_zero(), "the MetaMorpho vault has no position in {id}");
    }
    Ok(gas)
}

impl From<&MarketParams> for IMetaMorpho::Params {
    fn from(params: &MarketParams) -> Self {
        let MarketParams { loanToken, collateralToken, oracle, irm, lltv } = *params;
        Self { loanToken, collateralToken, oracle, irm, lltv }
    }
}
