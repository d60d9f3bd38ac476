/** The exponential function with the digits that the contracts' library (Solady) computes. */

const LN2 = 54916777467707473351141471128n;
const UNDERFLOW = -41446531673892822313n;
const OVERFLOW = 135305999368893231589n;

/** Returns `exp(x)`, both 1e18-scaled. Rational approximation of (6, 7) terms; shifts round towards minus infinity. */
export function expWad(wad: bigint): bigint {
  if (wad <= UNDERFLOW) return 0n;
  if (wad >= OVERFLOW) throw new RangeError(`exp(${wad}) does not fit`);
  const scaled = (wad << 78n) / 5n ** 18n;
  const k = ((scaled << 96n) / LN2 + (1n << 95n)) >> 96n;
  const x = scaled - k * LN2;

  let y = x + 1346386616545796478920950773328n;
  y = ((y * x) >> 96n) + 57155421227552351082224309758442n;
  let p = y + x - 94201549194550492254356042504812n;
  p = ((p * y) >> 96n) + 28719021644029726153956944680412240n;
  p = p * x + (4385272521454847904659076985693276n << 96n);

  let q = x - 2855989394907223263936484059900n;
  for (const term of [
    50020603652535783019961831881945n,
    -533845033583426703283633433725380n,
    3604857256930695427073651918091429n,
    -14423608567350463180887372962807573n,
    26449188498355588339934803723976023n,
  ]) {
    q = ((q * x) >> 96n) + term;
  }
  return ((p / q) * 3822833074963236453042738258902158003155416615667n) >> (195n - k);
}
