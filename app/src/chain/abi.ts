/** The functions, events and errors that the page uses. A test holds each signature to the compiled contracts. */
import { parseAbi } from "viem";

const PARAMS =
  "struct MarketParams { address loanToken; address collateralToken; address oracle; uint256 risk; uint256 curve; }";
const MARKET =
  "struct Market { uint256 supplyAssets; uint256 supplyShares; uint256 borrowAssets; uint256 borrowShares; uint256 lastUpdate; uint256 feeBps; uint256 rateAtTarget; uint256 interestRemainder; uint256 reserveShares; uint256 surgeLevel; }";
const AUTHORIZATION =
  "struct Authorization { address authorizer; address authorized; uint256 expiry; uint256 nonce; uint256 deadline; }";
const ORDER =
  "struct Order { uint16 triggerLtvBps; uint16 targetLtvBps; uint256 triggerPrice; uint16 premiumStartPpm; uint16 premiumEndPpm; uint16 rampBps; bool requireBorrowPrice; uint8 uses; uint40 expiry; uint24 cooldownSecs; uint96 flatTip; uint96 maxOwn; }";

export const tokenAbi = parseAbi([
  "function balanceOf(address account) view returns (uint256)",
  "function allowance(address owner, address spender) view returns (uint256)",
  "function approve(address spender, uint256 amount) returns (bool)",
  "function nonces(address owner) view returns (uint256)",
  "function name() view returns (string)",
  "function DOMAIN_SEPARATOR() view returns (bytes32)",
  "function mint(address to, uint256 amount)",
]);

export const coreAbi = parseAbi([
  PARAMS,
  AUTHORIZATION,
  "function supply(MarketParams params, uint256 assets, uint256 shares, address onBehalf, bytes data) returns (uint256 suppliedAssets, uint256 suppliedShares)",
  "function withdraw(MarketParams params, uint256 assets, uint256 shares, address onBehalf, address receiver) returns (uint256 withdrawnAssets, uint256 withdrawnShares)",
  "function supplyCollateral(MarketParams params, uint256 assets, address onBehalf, bytes data)",
  "function withdrawCollateral(MarketParams params, uint256 assets, address onBehalf, address receiver)",
  "function borrow(MarketParams params, uint256 assets, uint256 shares, address onBehalf, address receiver) returns (uint256 borrowedAssets, uint256 borrowedShares)",
  "function repay(MarketParams params, uint256 assets, uint256 shares, address onBehalf, bytes data) returns (uint256 repaidAssets, uint256 repaidShares)",
  "function setAuthorization(address authorized, uint256 expiry)",
  "function setAuthorizationWithSig(Authorization authorization, bytes signature)",
  "function authorizationExpiry(address authorizer, address authorized) view returns (uint256)",
  "function nonce(address authorizer) view returns (uint256)",
  "function multicall(bytes[] calls) returns (bytes[] results)",
]);

export const coreEvents = parseAbi([
  "event Supply(bytes32 indexed id, address indexed caller, address indexed onBehalf, uint256 assets, uint256 shares)",
  "event Withdraw(bytes32 indexed id, address caller, address indexed onBehalf, address indexed receiver, uint256 assets, uint256 shares)",
  "event SupplyCollateral(bytes32 indexed id, address indexed caller, address indexed onBehalf, uint256 assets)",
  "event WithdrawCollateral(bytes32 indexed id, address caller, address indexed onBehalf, address indexed receiver, uint256 assets)",
  "event Borrow(bytes32 indexed id, address caller, address indexed onBehalf, address indexed receiver, uint256 assets, uint256 shares)",
  "event Repay(bytes32 indexed id, address indexed caller, address indexed onBehalf, uint256 assets, uint256 shares)",
  "event Liquidate(bytes32 indexed id, address indexed caller, address indexed borrower, uint256 repaid, uint256 shares, uint256 seized, uint256 badDebt)",
]);

export const guardEvents = parseAbi([
  ORDER,
  "struct Execution { uint256 premium; uint256 own; uint256 ownReward; uint256 payment; uint256 sold; }",
  "event PlaceOrder(bytes32 indexed id, address indexed account, uint8 indexed kind, Order order)",
  "event CancelOrder(bytes32 indexed id, address indexed account, uint8 indexed kind)",
  "event CancelAllOrders(address indexed guard, address indexed account)",
  "event ExecuteOrder(bytes32 indexed id, address indexed account, uint8 indexed kind, address executor, address receiver, Execution execution, uint256 usesLeft)",
]);

export const leverEvents = parseAbi([
  "event RaiseLeverage(bytes32 indexed id, address indexed account, uint256 deposit, uint256 borrowed, uint256 bought)",
  "event LowerLeverage(bytes32 indexed id, address indexed account, uint256 repaid, uint256 sold)",
  "event CloseLeverage(bytes32 indexed id, address indexed account, uint256 repaid, uint256 sold, uint256 returned)",
]);

export const rewardsEvents = parseAbi([
  "event Stake(bytes32 indexed pool, address indexed caller, address indexed onBehalf, uint256 amount)",
  "event Unstake(bytes32 indexed pool, address caller, address indexed onBehalf, address indexed receiver, uint256 amount)",
  "event Claim(bytes32 indexed pool, address indexed rewardToken, address indexed onBehalf, address receiver, uint256 amount)",
  "event Harvest(bytes32 indexed pool, address indexed rewardToken, address indexed account, uint256 amount, uint256 tip, bool compounded)",
  "event SetHarvestConsent(bytes32 indexed pool, address indexed rewardToken, address indexed account, bool enabled, bool compounds, uint16 tipBps, uint96 smallest)",
]);

/** Of backstop and vault: ERC-4626, and what each has besides. */
export const fundEvents = parseAbi([
  "event Deposit(address indexed sender, address indexed owner, uint256 assets, uint256 shares)",
  "event Withdraw(address indexed sender, address indexed receiver, address indexed owner, uint256 assets, uint256 shares)",
  "event StartCooldown(address indexed account, uint256 shares, uint256 opensAt, uint256 closesAt)",
  "event RedeemInKind(address indexed owner, address indexed receiver, uint256 idleAssets, uint256[] supplyShares)",
]);

/** What a person does with brakes and governors. */
export const governanceEvents = parseAbi([
  "event Locked(address indexed account, uint256 shares, uint256 freeAt)",
  "event Unlocked(address indexed account, address indexed to, uint256 shares)",
  "event Opposed(bytes32 indexed id, uint32 indexed nonce, address indexed account, uint256 added, uint256 weight, uint256 needed)",
  "event VoteCast(address indexed voter, uint256 proposalId, uint8 support, uint256 weight, string reason)",
]);

export const lensAbi = parseAbi([
  PARAMS,
  MARKET,
  "struct PriceReading { uint8 status; uint256 price; bytes32 errorData; }",
  "struct MarketLine { bytes32 id; MarketParams params; Market stored; Market accrued; uint256 utilisation; uint256 borrowRatePerSecond; uint256 supplyRatePerSecond; uint256 surgePeriodSecs; uint256 surgeRoom; address backstop; uint256 availableCover; PriceReading liquidationPrice; PriceReading borrowPrice; }",
  "struct PositionLine { address account; uint256 supplyShares; uint256 supplyAssets; uint256 borrowShares; uint256 debt; uint256 collateral; uint256 collateralValue; uint256 health; uint256 waterlinePrice; uint256 maxBorrow; }",
  "struct Snapshot { uint256 blockNumber; uint256 timestamp; uint256 baseFee; MarketLine[] markets; }",
  "struct Positions { PriceReading liquidationPrice; PriceReading borrowPrice; PositionLine[] lines; }",
  "function snapshot(bytes32[] ids) view returns (Snapshot)",
  "function positions(bytes32 id, address[] accounts) view returns (Positions)",
]);

export const leverAbi = parseAbi([
  PARAMS,
  AUTHORIZATION,
  "struct Raise { MarketParams params; uint256 deposit; uint256 borrowAssets; uint256 minBought; uint16 maxLtvBps; address swapper; bytes route; uint256 deadline; }",
  "struct Lower { MarketParams params; uint256 repayAssets; uint256 maxSold; address swapper; bytes route; uint256 deadline; }",
  "struct Close { MarketParams params; uint256 maxSold; address swapper; bytes route; uint256 deadline; }",
  "struct Permit { uint256 deadline; uint8 v; bytes32 r; bytes32 s; }",
  "struct SignedAuthorization { Authorization authorization; bytes signature; }",
  "function raise(Raise wanted, Permit permit, SignedAuthorization authorization) returns (uint256 bought)",
  "function lower(Lower wanted, SignedAuthorization authorization) returns (uint256 repaid, uint256 sold)",
  "function close(Close wanted, SignedAuthorization authorization) returns (uint256 repaid, uint256 sold, uint256 returned)",
]);

export const rewardsAbi = parseAbi([
  "struct HarvestConsent { bool enabled; bool compounds; uint16 tipBps; uint96 smallest; }",
  "struct PoolState { address stakeToken; uint256 totalStaked; address[] rewardTokens; }",
  "function stake(bytes32 pool, uint256 amount, address onBehalf) returns (uint256 credited)",
  "function unstake(bytes32 pool, uint256 amount, address onBehalf, address receiver) returns (uint256 unstaked)",
  "function claim(bytes32 pool, address rewardToken, address onBehalf, address receiver) returns (uint256 claimed)",
  "function setHarvestConsent(bytes32 pool, address rewardToken, HarvestConsent consent)",
  "function multicall(bytes[] calls) returns (bytes[] results)",
  "function poolState(bytes32 pool) view returns (PoolState state)",
  "function schedule(bytes32 pool, address rewardToken) view returns (uint256 currentEpoch, uint256[] amounts)",
  "function staked(bytes32 pool, address account) view returns (uint256 amount)",
  "function claimable(bytes32 pool, address rewardToken, address account) view returns (uint256 amount)",
  "function harvestConsent(bytes32 pool, address rewardToken, address account) view returns (HarvestConsent consent)",
]);

/** What backstop and vault share: ERC-4626. */
export const vaultAbi = parseAbi([
  "function asset() view returns (address)",
  "function name() view returns (string)",
  "function decimals() view returns (uint8)",
  "function totalAssets() view returns (uint256)",
  "function totalSupply() view returns (uint256)",
  "function balanceOf(address account) view returns (uint256)",
  "function convertToAssets(uint256 shares) view returns (uint256)",
  "function maxDeposit(address receiver) view returns (uint256)",
  "function maxWithdraw(address owner) view returns (uint256)",
  "function maxRedeem(address owner) view returns (uint256)",
  "function deposit(uint256 assets, address receiver) returns (uint256 shares)",
  "function withdraw(uint256 assets, address receiver, address owner) returns (uint256 shares)",
  "function redeem(uint256 shares, address receiver, address owner) returns (uint256 assets)",
]);

export const backstopAbi = parseAbi([
  "struct Cooldown { uint256 shares; uint256 opensAt; uint256 closesAt; }",
  "function startCooldown(uint256 shares)",
  "function cooldown(address account) view returns (Cooldown)",
  "function cooldownSecs() view returns (uint256)",
  "function windowSecs() view returns (uint256)",
]);

export const inKindAbi = parseAbi([
  "function redeemInKind(uint256 shares, address receiver, address owner, bool leaveIdle) returns (uint256 assets)",
]);

export const guardAbi = parseAbi([
  ORDER,
  "function place(bytes32 id, uint8 kind, Order order)",
  "function cancel(bytes32 id, uint8 kind)",
  "function cancelAll()",
  "struct Placement { address account; bytes32 id; uint8 kind; Order order; uint256 nonce; uint256 deadline; }",
  "function placeWithSig(Placement placement, bytes signature)",
  "function nonce(address account) view returns (uint256)",
  "function order(address account, bytes32 id, uint8 kind) view returns (Order, uint256 lastExecuted)",
]);

/** Every error that a call of the page can end with. */
export const errorsAbi = parseAbi([
  "error AmountTooLarge(uint256 amount)",
  "error AmountTooSmall(uint256 amount)",
  "error AnswerAtLimit(address aggregator, int256 answer, int256 min, int256 max)",
  "error AnswerOutOfBounds(address aggregator, int256 answer)",
  "error AnswerTimeInvalid(address aggregator, uint256 updatedAt, uint256 nowSecs)",
  "error AnswerTooOld(address aggregator, uint256 updatedAt, uint256 maxAge)",
  "error CannotCompound(bytes32 pool, address rewardToken)",
  "error CooldownTooShort(uint256 cooldownSecs, uint256 shortest)",
  "error DeadlinePassed(uint256 deadline, uint256 timestamp)",
  "error DebtTooSmall(uint256 debt, uint256 minDebt)",
  "error FeedFailed(address aggregator)",
  "error InsufficientCollateral(uint256 assets, uint256 available)",
  "error InsufficientLiquidity(uint256 assets, uint256 available)",
  "error InsufficientShares(uint256 shares, uint256 available)",
  "error InsufficientSupplyShares(uint256 shares, uint256 available)",
  "error InvalidExpiry(uint256 expiry, uint256 latest)",
  "error InvalidNonce(uint256 nonce, uint256 expected)",
  "error InvalidSignature(address authorizer)",
  "error InvalidTarget(uint256 targetLtvBps, uint256 triggerLtvBps)",
  "error InvalidTrigger(uint256 triggerLtvBps, uint256 triggerPrice, uint256 liquidationLtvBps)",
  "error LimitExceeded(uint256 result, uint256 limit)",
  "error LtvTooHigh(uint256 debt, uint256 collateralValue, uint256 maxLtvBps)",
  "error MarketNotCreated(bytes32 id)",
  "error NotEnoughLiquidity(uint256 assets, uint256 available)",
  "error NotProportional(uint256 collateralOut, uint256 maxCollateralOut)",
  "error OraclePriceZero(address oracle)",
  "error PoolTooShallow(address pool, uint256 amount, uint256 possible)",
  "error SequencerDown(address uptimeFeed)",
  "error SequencerInGrace(uint256 upSince, uint256 graceSecs)",
  "error SignatureExpired(uint256 deadline)",
  "error StakeTooSmall(address account, uint256 staked, uint256 amount)",
  "error SurgeLimitExceeded(uint256 assets, uint256 room)",
  "error TipTooHigh(uint256 tipBps, uint256 largestTipBps)",
  "error TooLittleOut(uint256 amountOut, uint256 minOut)",
  "error TooMuchIn(uint256 amountIn, uint256 maxIn)",
  "error TransferFailed(address token, address from, address to, uint256 amount)",
  "error TwapDeviates(uint256 feedPrice, uint256 twapPrice, uint256 maxDeviationBps)",
  "error TwapUnavailable(address pool, uint256 windowSecs)",
  "error Unauthorized(address caller, address onBehalf)",
  "error Unhealthy(uint256 debt, uint256 maxDebt)",
  "error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed)",
  "error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed)",
  "error ERC4626ExceededMaxDeposit(address receiver, uint256 assets, uint256 max)",
  "error ERC4626ExceededMaxRedeem(address owner, uint256 shares, uint256 max)",
  "error ERC4626ExceededMaxWithdraw(address owner, uint256 assets, uint256 max)",
  "error InsufficientBalance()",
  "error InsufficientAllowance()",
  "error AccessManagerNotReady(bytes32 operationId)",
  "error AccessManagerExpired(bytes32 operationId)",
  "error AccessManagerNotScheduled(bytes32 operationId)",
  "error AccessManagerUnauthorizedCall(address caller, address target, bytes4 selector)",
  "error AccessManagerUnauthorizedCancel(address msgsender, address caller, address target, bytes4 selector)",
  "error GovernorUnexpectedProposalState(uint256 proposalId, uint8 current, bytes32 expectedStates)",
  "error GovernorAlreadyCastVote(address voter)",
  "error GovernorUnmetDelay(uint256 proposalId, uint256 neededTimestamp)",
  "error GovernorMismatchedNonce(uint256 proposalId, uint256 expectedNonce, uint256 actualNonce)",
  "error StillLocked(uint256 freeAt)",
  "error TooFewLocked(uint256 locked, uint256 wanted)",
  "error NothingScheduled()",
  "error SupplyTooLow(uint256 supply, uint256 minimum)",
]);
