// Unpacks the Chromium of this folder's package to the path that is given, with the libraries that it needs beside it:
// `node unpack.mjs PATH`.
import { createReadStream, createWriteStream } from "node:fs";
import { chmod, mkdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import { extract } from "tar-fs";

const [program] = process.argv.slice(2);
const folder = dirname(program);
const packed = (name) => createReadStream(new URL(`node_modules/@sparticuz/chromium/bin/${name}`, import.meta.url));

await mkdir(folder, { recursive: true });
await pipeline(packed("al2023.tar.br"), createBrotliDecompress(), extract(folder));
// Whoever finds the program finds all of it, also while two processes unpack.
const partial = join(folder, `partial-${process.pid}`);
await pipeline(packed("chromium.br"), createBrotliDecompress(), createWriteStream(partial));
await chmod(partial, 0o755);
await rename(partial, program);
