// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ILens} from "plimsoll/interfaces/ILens.sol";
import {IPlimsoll} from "plimsoll/interfaces/IPlimsoll.sol";
import {MarketId, MarketParams} from "plimsoll/types/MarketParams.sol";
import {TestOracle} from "../support/TestOracle.sol";
import {LensTest} from "./LensTest.sol";

/// @notice An oracle with a configurable hostile behaviour.
enum Malice {
    BurnsGas,
    Aborts,
    AnswersVeryMuch,
    RevertsWithVeryMuch,
    AnswersNothing,
    AnswersHalfAWord,
    Writes,
    CallsBack,
    Zero
}

contract HostileOracle {
    Malice private immutable MALICE;
    IPlimsoll private immutable PLIMSOLL;
    uint256 private written;

    constructor(Malice malice, IPlimsoll plimsoll) {
        (MALICE, PLIMSOLL) = (malice, plimsoll);
    }

    fallback(bytes calldata) external returns (bytes memory) {
        if (MALICE == Malice.BurnsGas) {
            for (uint256 i;; ++i) {
                if (i == type(uint256).max) break;
            }
        }
        if (MALICE == Malice.Aborts) {
            assembly {
                invalid()
            }
        }
        if (MALICE == Malice.AnswersVeryMuch) {
            assembly {
                mstore(0, 1)
                return(0, 480000)
            }
        }
        if (MALICE == Malice.RevertsWithVeryMuch) {
            assembly {
                mstore(0, not(0))
                revert(0, 480000)
            }
        }
        if (MALICE == Malice.AnswersHalfAWord) return new bytes(16);
        if (MALICE == Malice.Writes) ++written;
        if (MALICE == Malice.CallsBack) PLIMSOLL.setAuthorization(address(this), type(uint256).max);
        if (MALICE == Malice.Zero) return abi.encode(0);
        return "";
    }
}

/// @notice An oracle whose two prices differ as those of a feed that is too old for borrowing: a price that fills a word,
/// and an error that is shorter than one.
contract StaleOracle {
    error Stale();

    function liquidationPrice() external pure returns (uint256) {
        return type(uint256).max;
    }

    function borrowPrice() external pure returns (uint256) {
        revert Stale();
    }
}

/// @notice An oracle that needs all gas that the lens states, but for the call itself.
contract DemandingOracle {
    function liquidationPrice() public view returns (uint256) {
        require(gasleft() > 499_500, "too little gas");
        return 1;
    }

    function borrowPrice() external view returns (uint256) {
        require(gasleft() > 499_500, "too little gas");
        return 1;
    }
}

/// @notice A hostile oracle spoils only its own line (L3): every other line is what it is without it.
contract LensHostileOraclesTest is LensTest {
    /// @dev For two prices of a market, each at the lens's limit, and for reading the market.
    uint256 private constant GAS_A_MARKET = 2 * 500_000 + 100_000;

    function setUp() public override {
        super.setUp();
        supply(LENDER, 1_000_000e6);
        openLoan(BORROWER, 1e18, 1_600e6);
    }

    function test_aSpoiledLineBetweenGoodOnes() public {
        uint256 count = uint256(type(Malice).max) + 1;
        MarketId[] memory ids = new MarketId[](2 * count + 1);
        for (uint256 i; i < ids.length; ++i) {
            ids[i] = i % 2 == 0 ? id : _marketOver(address(new HostileOracle(Malice(i / 2), plimsoll)));
        }
        bytes32 good = keccak256(abi.encode(marketLine(id)));
        ILens.MarketLine[] memory lines = lens.snapshot{gas: count * GAS_A_MARKET + count * 100_000}(ids).markets;
        for (uint256 i; i < ids.length; ++i) {
            if (i % 2 == 0) {
                assertEq(keccak256(abi.encode(lines[i])), good);
                continue;
            }
            Malice malice = Malice(i / 2);
            ILens.PriceStatus expected = ILens.PriceStatus.Reverted;
            if (malice == Malice.AnswersNothing || malice == Malice.AnswersHalfAWord) {
                expected = ILens.PriceStatus.NoAnswer;
            }
            if (malice == Malice.Zero) expected = ILens.PriceStatus.Zero;
            // Half a megabyte behind a price, all that its gas pays for, is nobody's trouble but the oracle's.
            if (malice == Malice.AnswersVeryMuch) expected = ILens.PriceStatus.Ok;
            assertTrue(lines[i].liquidationPrice.status == expected);
            assertTrue(lines[i].borrowPrice.status == expected);
            assertEq(lines[i].borrowPrice.price, malice == Malice.AnswersVeryMuch ? 1 : 0);
            assertTrue(MarketId.unwrap(lines[i].id) == MarketId.unwrap(ids[i]));
            assertEq(lines[i].params.collateralToken, address(collateralToken));
            assertEq(lines[i].accrued.lastUpdate, vm.getBlockTimestamp());
        }
    }

    function test_anOraclesRevertDataIsPassedOn() public {
        oracle.setBroken(true);
        ILens.PriceReading memory reading = marketLine(id).borrowPrice;
        assertTrue(reading.status == ILens.PriceStatus.Reverted);
        assertEq(reading.errorData, bytes32(TestOracle.Broken.selector));
    }

    function test_aVeryLongErrorIsPassedOnAsOneWord() public {
        MarketId hostile = _marketOver(address(new HostileOracle(Malice.RevertsWithVeryMuch, plimsoll)));
        assertEq(marketLine(hostile).liquidationPrice.errorData, bytes32(type(uint256).max));
    }

    /// @dev A short error behind a price is not filled up with bytes of that price.
    function test_aShortErrorAfterAPriceIsPassedOnAlone() public {
        ILens.MarketLine memory line = marketLine(_marketOver(address(new StaleOracle())));
        assertEq(line.liquidationPrice.price, type(uint256).max);
        assertTrue(line.borrowPrice.status == ILens.PriceStatus.Reverted);
        assertEq(line.borrowPrice.errorData, bytes32(StaleOracle.Stale.selector));
    }

    /// @dev Whatever gas the question comes with, an oracle gets its whole share or is not asked.
    function test_anOracleGetsItsWholeShareOrIsNotAsked() public {
        MarketId[] memory ids = new MarketId[](1);
        ids[0] = _marketOver(address(new DemandingOracle()));
        uint256 answered;
        uint256 refused;
        for (uint256 gasLimit = 490_000; gasLimit < 640_000; gasLimit += 500) {
            ILens.MarketLine memory line = lens.markets{gas: gasLimit}(ids)[0];
            ILens.PriceStatus status = line.liquidationPrice.status;
            assertTrue(status == ILens.PriceStatus.Ok || status == ILens.PriceStatus.TooLittleGas, "starved");
            assertTrue(line.borrowPrice.status != ILens.PriceStatus.Reverted, "starved");
            if (status == ILens.PriceStatus.Ok) ++answered;
            else ++refused;
        }
        assertGt(answered, 0);
        assertGt(refused, 0);
    }

    function test_anOracleThatIsGoneGivesNoAnswer() public {
        vm.etch(address(oracle), "");
        assertTrue(marketLine(id).liquidationPrice.status == ILens.PriceStatus.NoAnswer);
        assertTrue(lens.positions(id, listOf(BORROWER)).liquidationPrice.status == ILens.PriceStatus.NoAnswer);
        assertEq(positionLine(BORROWER).health, 0);
        assertFalse(liquidationLine(BORROWER).liquidatable);
    }

    /// @dev An honest oracle must not be reported as broken because the question came with too little gas.
    function test_tooLittleGasForAnOracleIsReportedAsSuch() public view {
        MarketId[] memory ids = new MarketId[](1);
        ids[0] = id;
        ILens.MarketLine memory line = lens.markets{gas: 400_000}(ids)[0];
        assertTrue(line.liquidationPrice.status == ILens.PriceStatus.TooLittleGas);
        assertTrue(
            lens.positions{gas: 400_000}(id, listOf(BORROWER)).liquidationPrice.status == ILens.PriceStatus.TooLittleGas
        );
        assertTrue(lens.markets{gas: 700_000}(ids)[0].liquidationPrice.status == ILens.PriceStatus.Ok);
    }

    /// @dev The gas limit in this file is that of the lens.
    function test_anOracleGetsTheStatedGas() public view {
        assertEq(2 * lens.oracleGas() + 100_000, GAS_A_MARKET);
    }

    function _marketOver(address hostile) private returns (MarketId) {
        MarketParams memory hostileParams = params;
        hostileParams.oracle = hostile;
        return plimsoll.createMarket(hostileParams);
    }
}
