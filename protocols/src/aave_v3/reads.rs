//! What is read in a block, each by one call, and what the answers say.

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};

use super::interface::{
    EModeCategory, IAaveAddressesProvider, IAaveOracle, IAavePool, IAaveSentinel, IAaveToken, ReserveData,
};
use crate::{Answer, Call};

/// Gas for a view of the pool or of one of its tokens.
const VIEW_GAS: u64 = 300_000;
/// Gas for the list of up to 128 reserves.
const LIST_GAS: u64 = 1_500_000;
/// Gas for a price, which a feed or an adapter of one is asked for.
const ORACLE_GAS: u64 = 1_000_000;

/// A call to make in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Read {
    Revision,
    Provider,
    Reserves,
    Oracle { provider: Address },
    Sentinel { provider: Address },
    LiquidationAllowed { sentinel: Address },
    CurrencyUnit { oracle: Address },
    Price { oracle: Address, asset: Address },
    Reserve { asset: Address },
    Income { asset: Address },
    DebtIndex { asset: Address },
    GracePeriod { asset: Address },
    ScaledSupply { token: Address },
    Category { id: u8 },
    CategoryCollateral { id: u8 },
    Flags { account: Address },
    AccountCategory { account: Address },
    Scaled { token: Address, account: Address },
    StableDebt { token: Address, account: Address },
    Health { account: Address },
}

impl Read {
    pub(super) fn call(self, pool: Address) -> Call {
        let (to, data, gas) = match self {
            Self::Revision => (pool, IAavePool::POOL_REVISIONCall {}.abi_encode(), VIEW_GAS),
            Self::Provider => (pool, IAavePool::ADDRESSES_PROVIDERCall {}.abi_encode(), VIEW_GAS),
            Self::Reserves => (pool, IAavePool::getReservesListCall {}.abi_encode(), LIST_GAS),
            Self::Oracle { provider } => {
                (provider, IAaveAddressesProvider::getPriceOracleCall {}.abi_encode(), VIEW_GAS)
            }
            Self::Sentinel { provider } => {
                (provider, IAaveAddressesProvider::getPriceOracleSentinelCall {}.abi_encode(), VIEW_GAS)
            }
            Self::LiquidationAllowed { sentinel } => {
                (sentinel, IAaveSentinel::isLiquidationAllowedCall {}.abi_encode(), VIEW_GAS)
            }
            Self::CurrencyUnit { oracle } => (oracle, IAaveOracle::BASE_CURRENCY_UNITCall {}.abi_encode(), VIEW_GAS),
            Self::Price { oracle, asset } => {
                (oracle, IAaveOracle::getAssetPriceCall { asset }.abi_encode(), ORACLE_GAS)
            }
            Self::Reserve { asset } => (pool, IAavePool::getReserveDataCall { asset }.abi_encode(), VIEW_GAS),
            Self::Income { asset } => {
                (pool, IAavePool::getReserveNormalizedIncomeCall { asset }.abi_encode(), VIEW_GAS)
            }
            Self::DebtIndex { asset } => {
                (pool, IAavePool::getReserveNormalizedVariableDebtCall { asset }.abi_encode(), VIEW_GAS)
            }
            Self::GracePeriod { asset } => {
                (pool, IAavePool::getLiquidationGracePeriodCall { asset }.abi_encode(), VIEW_GAS)
            }
            Self::ScaledSupply { token } => (token, IAaveToken::scaledTotalSupplyCall {}.abi_encode(), VIEW_GAS),
            Self::Category { id } => (pool, IAavePool::getEModeCategoryDataCall { id }.abi_encode(), VIEW_GAS),
            Self::CategoryCollateral { id } => {
                (pool, IAavePool::getEModeCategoryCollateralBitmapCall { id }.abi_encode(), VIEW_GAS)
            }
            Self::Flags { account } => {
                (pool, IAavePool::getUserConfigurationCall { user: account }.abi_encode(), VIEW_GAS)
            }
            Self::AccountCategory { account } => {
                (pool, IAavePool::getUserEModeCall { user: account }.abi_encode(), VIEW_GAS)
            }
            Self::Scaled { token, account } => {
                (token, IAaveToken::scaledBalanceOfCall { user: account }.abi_encode(), VIEW_GAS)
            }
            Self::StableDebt { token, account } => {
                (token, IAaveToken::balanceOfCall { user: account }.abi_encode(), VIEW_GAS)
            }
            Self::Health { account } => {
                (pool, IAavePool::getUserAccountDataCall { user: account }.abi_encode(), LIST_GAS * 4)
            }
        };
        Call { to, data: data.into(), gas }
    }
}

/// Decodes what a function returns, or says why that cannot be.
pub(super) fn decode<C: SolCall>(answer: &Answer) -> Result<C::Return, String> {
    let data = answer.as_ref().map_err(|failure| format!("asked for {}, {failure}", C::SIGNATURE))?;
    C::abi_decode_returns(data).map_err(|_| format!("asked for {}, it returns {data}", C::SIGNATURE))
}

/// Decodes a number that must fit into 128 bits.
pub(super) fn narrow(number: U256, what: &str) -> Result<u128, String> {
    u128::try_from(number).map_err(|_| format!("{what} is {number}"))
}

pub(super) fn decode_reserve(answer: &Answer) -> Result<ReserveData, String> {
    decode::<IAavePool::getReserveDataCall>(answer)
}

pub(super) fn decode_category(answer: &Answer) -> Result<EModeCategory, String> {
    decode::<IAavePool::getEModeCategoryDataCall>(answer)
}
