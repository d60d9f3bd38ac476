/** Prints every function, event and error of the page's ABIs, one a line, for comparison with the compiled contracts. */
import { toFunctionSignature, type AbiFunction, type AbiParameter } from "viem";
import * as abis from "../src/chain/abi";
import * as governanceAbis from "../src/chain/governanceAbi";
import { oracleAbi, feedAbi } from "../src/chain/oracle";

const signature = (name: string, inputs: readonly AbiParameter[]): string =>
  toFunctionSignature({ type: "function", name, inputs, outputs: [], stateMutability: "view" } as AbiFunction);

for (const abi of [...Object.values(abis), ...Object.values(governanceAbis), oracleAbi, feedAbi]) {
  for (const item of abi) {
    if (item.type === "function") {
      console.log(`function ${signature(item.name, item.inputs)}${signature("", item.outputs)}`);
    }
    if (item.type === "event") {
      const topics = item.inputs.flatMap((input, at) => ("indexed" in input && input.indexed ? [at] : []));
      console.log(`event ${signature(item.name, item.inputs)} indexed ${topics.join(",")}`);
    }
    if (item.type === "error") console.log(`error ${signature(item.name, item.inputs)}`);
  }
}
