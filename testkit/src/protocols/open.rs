//! Supplies, and accounts that borrow.

use alloy::{
    primitives::{Address, Bytes, U256, keccak256},
    providers::ext::AnvilApi,
    sol,
};
use eyre::ContextCompat;
use plimsoll_contracts::IPlimsoll;
use plimsoll_protocols::{
    aave_v3::IAavePool,
    compound_v2::{IComptroller, IVToken},
    morpho_blue::IMorphoBlue,
};

use super::{
    Lender, Protocols, Token,
    act::{Action, send_all, send_in_blocks},
};
use crate::{devnet::ITestToken, random::Random};

sol! {
    /// The market of the chain's own coin.
    interface ICoinMarket {
        function mint() external payable;
    }
}

/// Value of each supply, in dollars.
const SUPPLY_DOLLARS: u64 = 500_000_000;
/// Value of an account's collateral, in dollars: the least, and how much more it may be.
const COLLATERAL_DOLLARS: [u64; 2] = [4_000, 40_000];
/// Health factors in percent at which accounts begin: the lowest, and how much higher. All are above what the borrow LTVs
/// demand.
const HEALTH_PERCENT: [u64; 2] = [109, 36];
/// Account of the node that supplies.
const SUPPLIER: usize = 1;
/// Aave's variable interest.
const VARIABLE: u64 = 2;

impl Protocols {
    /// Supplies what accounts borrow.
    pub(super) async fn supply(&self) -> eyre::Result<()> {
        let provider = self.suite.provider();
        let supplier = self.suite.devnet.account(SUPPLIER)?;
        let mut actions = Vec::new();
        for token in self.debts {
            let amount = token.worth(SUPPLY_DOLLARS);
            if let Some(aave) = &self.aave {
                actions.extend(provision(supplier, &token, amount, aave.pool));
                actions.push(aave_supply(supplier, aave.pool, &token, amount));
            }
            for lender in self.lenders.iter().copied().filter(|lender| lender.is_venus()) {
                if self.is_coin(lender, &token) {
                    provider.anvil_set_balance(supplier, amount * U256::from(2)).await?;
                }
                actions.extend(self.mint_at_venus(lender, supplier, &token, amount)?);
            }
        }
        let [dollar, _] = self.debts;
        let amount = dollar.worth(SUPPLY_DOLLARS);
        if let Some((morpho, market)) = &self.morpho {
            actions.extend(provision(supplier, &dollar, amount, morpho.core));
            let supply = IMorphoBlue::supplyCall {
                params: market.clone(),
                assets: amount,
                shares: U256::ZERO,
                onBehalf: supplier,
                data: Bytes::new(),
            };
            actions.push(Action::new(supplier, morpho.core, &supply));
        }
        send_all(provider, actions).await?;
        self.suite.supply(&self.plimsoll, amount).await
    }

    /// Opens so many accounts at a protocol, each with collaterals, debts and health by chance.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn open(&mut self, lender: Lender, accounts: usize, random: &mut Random) -> eyre::Result<()> {
        let mut work = Vec::with_capacity(accounts);
        for _ in 0..accounts {
            let account = Address::from_word(keccak256(random.next_u64().to_be_bytes()));
            let dollars = COLLATERAL_DOLLARS[0] + random.below(COLLATERAL_DOLLARS[1]);
            let health = HEALTH_PERCENT[0] + random.below(HEALTH_PERCENT[1]);
            let actions = match lender {
                Lender::Plimsoll | Lender::MorphoBlue => self.single(lender, account, dollars, health)?,
                Lender::AaveV3 | Lender::Venus | Lender::VenusCore => {
                    self.several(lender, account, [dollars, health], random)?
                }
            };
            work.push((account, actions));
        }
        let opened: Vec<_> = work.iter().map(|(account, _)| *account).collect();
        send_in_blocks(self.suite.provider(), work, &format!("{}: accounts opened", lender.name())).await?;
        self.borrowers.entry(lender).or_default().extend(opened);
        Ok(())
    }

    /// An account with ether as collateral and dollars as debt.
    fn single(&self, lender: Lender, account: Address, dollars: u64, health: u64) -> eyre::Result<Vec<Action>> {
        let [dollar, ether] = self.debts;
        let (collateral, debt) = (ether.worth(dollars), dollar.worth(dollars * 86 / health));
        let to = self.address(lender).wrap_err("the protocol is not deployed")?;
        let mut actions = provision(account, &ether, collateral, to).to_vec();
        if let Some((_, market)) = self.morpho.as_ref().filter(|_| lender == Lender::MorphoBlue) {
            let post = IMorphoBlue::supplyCollateralCall {
                params: market.clone(),
                assets: collateral,
                onBehalf: account,
                data: Bytes::new(),
            };
            let borrow = IMorphoBlue::borrowCall {
                params: market.clone(),
                assets: debt,
                shares: U256::ZERO,
                onBehalf: account,
                receiver: account,
            };
            actions.extend([Action::new(account, to, &post), Action::new(account, to, &borrow)]);
        } else {
            let post = IPlimsoll::supplyCollateralCall {
                params: self.plimsoll.clone(),
                assets: collateral,
                onBehalf: account,
                data: Bytes::new(),
            };
            let borrow = IPlimsoll::borrowCall {
                params: self.plimsoll.clone(),
                assets: debt,
                shares: U256::ZERO,
                onBehalf: account,
                receiver: account,
            };
            actions.extend([Action::new(account, to, &post), Action::new(account, to, &borrow)]);
        }
        Ok(actions)
    }

    /// Whether a token stands for the chain's own coin in a pool of Venus.
    fn is_coin(&self, lender: Lender, token: &Token) -> bool {
        let coin = self.venus_core.as_ref().and_then(|core| core.wrapped_coin);
        lender == Lender::VenusCore && coin == Some(token.address)
    }

    /// Supplies an amount to a pool of Venus.
    fn mint_at_venus(
        &self,
        lender: Lender,
        account: Address,
        token: &Token,
        amount: U256,
    ) -> eyre::Result<Vec<Action>> {
        let market = self.venus_market(lender, token)?.address;
        if self.is_coin(lender, token) {
            return Ok(vec![Action::new(account, market, &ICoinMarket::mintCall {}).value(amount)]);
        }
        let mut actions = provision(account, token, amount, market).to_vec();
        actions.push(Action::new(account, market, &IVToken::mintCall { amount }));
        Ok(actions)
    }

    /// An account with one to four collaterals, and one or two debts.
    fn several(
        &self,
        lender: Lender,
        account: Address,
        [dollars, health]: [u64; 2],
        random: &mut Random,
    ) -> eyre::Result<Vec<Action>> {
        let count = 1 + random.below(4);
        let first = usize::try_from(random.below(4))?;
        let collaterals = (0..usize::try_from(count)?).map(|index| self.collaterals[(first + index) % 4]);
        let debts = match random.below(3) {
            0 => vec![self.debts[0]],
            1 => vec![self.debts[1]],
            _ => self.debts.to_vec(),
        };
        let owes_coins = debts.iter().any(|debt| debt.address == self.debts[1].address);
        let threshold = if lender == Lender::AaveV3 { 8_250 } else { 8_300 };
        let debt_dollars = dollars / count * count * threshold / health / 100 / u64::try_from(debts.len())?;
        let mut actions = Vec::new();
        if let Some(aave) = self.aave.as_ref().filter(|_| lender == Lender::AaveV3) {
            for token in collaterals {
                let amount = token.worth(dollars / count);
                actions.extend(provision(account, &token, amount, aave.pool));
                actions.push(aave_supply(account, aave.pool, &token, amount));
            }
            for token in debts {
                let borrow = IAavePool::borrowCall {
                    asset: token.address,
                    amount: token.worth(debt_dollars),
                    interestRateMode: U256::from(VARIABLE),
                    referralCode: 0,
                    onBehalfOf: account,
                };
                actions.push(Action::new(account, aave.pool, &borrow));
            }
            return Ok(actions);
        }
        let comptroller = self.address(lender).wrap_err("the protocol is not deployed")?;
        let market = |token: &Token| self.venus_market(lender, token).map(|market| market.address);
        for token in collaterals {
            // Debt and collateral in the same token are not served.
            let token = if lender == Lender::VenusCore && !owes_coins && token.address == self.collaterals[0].address {
                self.debts[1]
            } else {
                token
            };
            actions.extend(self.mint_at_venus(lender, account, &token, token.worth(dollars / count))?);
            let enter = IComptroller::enterMarketsCall { vTokens: vec![market(&token)?] };
            actions.push(Action::new(account, comptroller, &enter));
        }
        for token in debts {
            let borrow = IVToken::borrowCall { amount: token.worth(debt_dollars) };
            actions.push(Action::new(account, market(&token)?, &borrow));
        }
        Ok(actions)
    }
}

/// Mints tokens for an account that lets a contract have them.
fn provision(account: Address, token: &Token, amount: U256, spender: Address) -> [Action; 2] {
    [
        Action::new(account, token.address, &ITestToken::mintCall { to: account, amount }),
        Action::new(account, token.address, &ITestToken::approveCall { spender, amount }),
    ]
}

fn aave_supply(account: Address, pool: Address, token: &Token, amount: U256) -> Action {
    let supply = IAavePool::supplyCall { asset: token.address, amount, onBehalfOf: account, referralCode: 0 };
    Action::new(account, pool, &supply)
}
