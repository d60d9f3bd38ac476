/** Calls in words: contracts, markets and tokens by their names in the record, quantities with their units. */
import { decodeFunctionData, getAbiItem, type Address, type Hex } from "viem";
import type { Deployment } from "../chain/config";
import { callsAbi } from "../chain/governanceAbi";
import { amountText, bpsText, durationText } from "./numbers";

interface Item {
  name: string;
  inputs: { name: string }[];
}

/** Bytes of a selector, as hexadecimal digits with their prefix. */
const SELECTOR = 10;

/** The name of an account in the record, or its address: an address that looks like a known one has no name. */
export const accountText = (deployment: Deployment, address: Address): string =>
  deployment.nameOf(address) ?? (BigInt(address) === 0n ? "nobody" : address);

/** The name of a function, or its selector if this page does not know it. */
export function functionText(selector: Hex): string {
  const known = getAbiItem({ abi: callsAbi, name: selector } as never) as Item | undefined;
  return known?.name ?? selector;
}

/** Writes a call in words; what is not known is shown as it is. */
export function callText(deployment: Deployment, target: Address, data: Hex, value = 0n): string {
  const paid = value === 0n ? "" : `, with ${amountText(value, 18)} coins`;
  return `${accountText(deployment, target)}: ${callOf(deployment, data)}${paid}`;
}

function callOf(deployment: Deployment, data: Hex): string {
  if (data.length < SELECTOR) return "no function";
  try {
    const { functionName, args = [] } = decodeFunctionData({ abi: callsAbi, data });
    const item = getAbiItem({ abi: callsAbi, name: functionName, args } as never) as unknown as Item;
    const texts = (args as readonly unknown[]).map((value, at) => {
      const name = item.inputs[at]?.name ?? "";
      return name === "params" ? valueText(deployment, name, value) : `${name}: ${valueText(deployment, name, value)}`;
    });
    return `${functionName}(${texts.join(", ")})`;
  } catch {
    return `the unknown function ${data.slice(0, SELECTOR)} with ${(data.length - 2) / 2} bytes`;
  }
}

function valueText(deployment: Deployment, name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map((each) => valueText(deployment, name, each)).join(", ");
  if (name === "params") {
    const { oracle, loanToken } = value as { oracle: Address; loanToken: Address };
    const market = deployment.markets.find(
      ({ params }) =>
        params.oracle === oracle &&
        params.loanToken === loanToken &&
        params.risk === (value as { risk: bigint }).risk &&
        params.curve === (value as { curve: bigint }).curve &&
        params.collateralToken === (value as { collateralToken: Address }).collateralToken,
    );
    return market ? `market: ${market.name}` : `market: one that is not in the record, of oracle ${oracle}`;
  }
  if (name === "call") return callOf(deployment, value as Hex);
  if (/bps$/i.test(name)) return bpsText(BigInt(value as bigint));
  if (/delay|period/i.test(name)) return durationText(BigInt(value as bigint));
  if (typeof value === "string" && value.length === 42) return accountText(deployment, value as Address);
  if (typeof value === "string" && value.length === 66) {
    return deployment.markets.find(({ id }) => id === value)?.name ?? value;
  }
  return String(value);
}
