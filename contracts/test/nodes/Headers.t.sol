// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {Headers} from "plimsoll/nodes/libraries/Headers.sol";
import {HeadersHarness, HeadersOf} from "./HeadersOf.sol";

/// @title The randomness of a block is read out of its header.
contract HeadersTest is Test {
    HeadersHarness internal headers = new HeadersHarness();

    /// @dev Two blocks of the main network, before and after withdrawals were added to headers. Their bytes hash to what
    /// the network calls them by.
    function test_N10_blocksOfTheMainNetwork() public view {
        bytes memory header = hex"f90213a08514dc16265e910acc5d6d776f55c9cfbcec1320c816546415dc35b021801f63a01dcc4de8dec75d7aab85b567b6"
            hex"ccd41ad312451b948a7413f0a142fd40d49347941f9090aae28b8a3dceadf281b0f12828e676c326a08b8da1a447bed1a401"
            hex"9708ea1e4114383d42f40e1f6e85c21889b6fbcffdd295a0749c345c3827e94c7fcd112a367a723f872b01b66daf39e7acfb"
            hex"caca0a69f0eca0ac8092ad7a39a1b0742cc306986283e68ee91c45ee470094e8bc2bd3d222494fb9010000a020c54d40c941"
            hex"102b81a7be3423b30060490380108f903083522294d883205996911ae1c0802852900b60d60e81a086cd11508843f80552f4"
            hex"538481767145080412004b04992a691b520802c488f8a34002b0354e180348085c4480604da0926020704a0342138ec0722d"
            hex"40f019e1a41c2c555813150042c1c2d0803c1902180083c00701045004408a510b0286720c60cc815169100884132651e21a"
            hex"1c288a08015880026400699041d0551615e48495e86460a38d0a052a1c843108765144f2c026c400da196d0d0d245603f062"
            hex"4008528301ca0a1ce123002b5020e034485ca3090a0640804c5495dc639528208f636032593a08cc724898138cb120b28084"
            hex"0103ee758401c9c3808380f0ca846437304b917273796e632d6275696c6465722e78797aa0c5ceca9075886de0874fadb93a"
            hex"6d790cd4aff9f4becb2c69d354128da0d5efb288000000000000000085046d9a8492";
        assertEq(keccak256(header), 0xc2558f8143d5f5acb8382b8cb2b8e2f1a10c8bdfeededad850eaca048ed85d8f);
        assertEq(
            headers.prevRandao(header), bytes32(0xc5ceca9075886de0874fadb93a6d790cd4aff9f4becb2c69d354128da0d5efb2)
        );
        header = hex"f9023ba04fcd7915716bdcf8ba963e591577721000dd2bf7ef81f412d8f72f8146783909a01dcc4de8dec75d7aab85b567b6"
            hex"ccd41ad312451b948a7413f0a142fd40d4934794e94f1fa4f27d9d288ffea234bb62e1fbc086ca0ca033e670fd10cbfcc83a"
            hex"c2ccd320628a0c9f675eff1d77c090d4dc709c329a0fdca0d3a2720a46c43f41eced8190fef8abbb9e1683e7151ee9d4df1a"
            hex"65cd6eca04f8a0896e3488a7c774293b15e2d0ccd1f9f9af135c8b6c4ab2eb68d3c854f1fe7567b90100326b545af359d63d"
            hex"510247b0805396203041051438628490042981210df844d43306d109e8cc0461fae87e16492a834853998660d8a2698f0307"
            hex"6326582c28810a07d53c41415e8ffcc2e00b893162e600d91bd595640b710960c45081e4da801382d03c266e20a6b1ccd152"
            hex"85102e412c4a0866a1362589b12f4154624d82040a18b27102b4346c95c45558eb4183651041aca1ef85888d4a7905f0f2d0"
            hex"ac8aeaca11711a0269838237d8c69a392d60878d8d1b2853040b01b1618c989e96744efc2033a4dce2602e600aa45039954f"
            hex"6940a4b358194814e0b0938b5b25724ce6ffb9498e913ec293e5d7839a450e8cc437fb0544c8644318091919866e74878084"
            hex"01286d1a8401c9c38083f072438465f1b04b98546974616e2028746974616e6275696c6465722e78797a29a0779dc364d9d6"
            hex"a00d14d96155607a69ebd98644bbc9368f18cbfe5ea8a24151af880000000000000000850e557a89f8a0eab68f95d43cd100"
            hex"338e402d1bc7da630bbaf1187ae071828ef7603140485262";
        assertEq(keccak256(header), 0xdb672c41cfd47c84ddb478ffde5a09b76964f77dceca0e62bdf719c965d73e7f);
        assertEq(
            headers.prevRandao(header), bytes32(0x779dc364d9d6a00d14d96155607a69ebd98644bbc9368f18cbfe5ea8a24151af)
        );
    }

    function testFuzz_N10_anyHeader(HeadersOf.Fields memory f, uint256[5] memory widths) public view {
        for (uint256 i; i < 5; ++i) {
            uint256 width = bound(widths[i], 0, 32);
            f.numbers[i] = width == 0 ? 0 : f.numbers[i] >> (256 - 8 * width);
        }
        f.later = bound(f.later, 0, 8);
        if (f.extraData.length > 55) {
            bytes memory extra = f.extraData;
            assembly {
                mstore(extra, 32)
            }
        }
        assertEq(headers.prevRandao(HeadersOf.encode(f)), f.mix);
    }

    /// @dev Bytes that are no header are refused, or give something, but never fail otherwise.
    function testFuzz_anyBytes(bytes memory start, uint256 length) public view {
        bytes memory header = bytes.concat(hex"f90200", new bytes(445), start);
        uint256 cut = bound(length, 0, header.length);
        assembly {
            mstore(header, cut)
        }
        try headers.prevRandao(header) returns (bytes32) {
            assertGe(cut, 448 + 6 + 33);
        } catch (bytes memory reason) {
            assertEq(bytes4(reason), Headers.InvalidHeader.selector);
        }
    }

    function test_refusals() public {
        bytes memory header = HeadersOf.withMix("mix");
        bytes memory other = bytes.concat(header);
        other[0] = 0xf8;
        vm.expectRevert(Headers.InvalidHeader.selector);
        headers.prevRandao(other);
        vm.expectRevert(Headers.InvalidHeader.selector);
        headers.prevRandao("");

        // Extra data that is too long to be of this kind of chain.
        HeadersOf.Fields memory f;
        f.extraData = new bytes(56);
        other = HeadersOf.encode(f);
        vm.expectRevert(Headers.InvalidHeader.selector);
        headers.prevRandao(other);

        // One byte short of the mix.
        f.extraData = "";
        other = HeadersOf.encode(f);
        assembly {
            mstore(other, add(448, 38))
        }
        vm.expectRevert(Headers.InvalidHeader.selector);
        headers.prevRandao(other);
        assembly {
            mstore(other, add(448, 39))
        }
        headers.prevRandao(other);
    }
}
