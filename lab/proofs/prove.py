"""Proves the lemmas about the contracts' arithmetic, refutes the faults planted in them, and prints one JSON document.

Progress goes to stderr. `cargo lab prove` runs this and reports the result; see `docs/reference/proofs.md`.
"""

import argparse
import json
import sys
import time

import prover
import vectors
from lemmas import LEMMAS, TIED_BY_TESTS
from model import Model

def tie(function):
    """What compares a Solidity function with its formula here."""
    if function in vectors.FUNCTIONS:
        return "proofs/Vectors.t.sol"
    return TIED_BY_TESTS[function]


def result_of(lemma):
    """Proves a lemma and refutes its planted fault."""
    started = time.monotonic()
    result = {"name": lemma.name, "statement": lemma.statement, "planted": lemma.planted, "failure": None,
              "solidity": {function: tie(function) for function in lemma.solidity}}
    try:
        result["steps"] = prover.proved_on_all_paths(lemma.prove, Model)
        if not prover.is_about_something(lemma.prove, Model):
            result["failure"] = "no values satisfy its assumptions: it says nothing"
    except prover.Unproved as step:
        result["failure"] = f"z3 does not find that {' '.join(str(step).split())}"
    result["proved"] = result["failure"] is None
    result["counterexample"] = found = prover.counterexample(lemma.prove, lemma.fault, lemma.hints)
    result["refuted"] = found is not None
    if found:
        result["counterexample"] = {name: str(value) for name, value in found.items()}
    result["secs"] = round(time.monotonic() - started, 1)
    return result


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--lemma", default="", help="only lemmas whose name contains this")
    arguments.add_argument("--write-vectors", action="store_true", help="write the vectors for the Solidity test")
    options = arguments.parse_args()
    if options.write_vectors:
        vectors.FILE.write_text(vectors.text())

    chosen = [lemma for lemma in LEMMAS if options.lemma in lemma.name]
    started, results = time.monotonic(), []
    for i, lemma in enumerate(chosen):
        result = result_of(lemma)
        results.append(result)
        elapsed = time.monotonic() - started
        left = elapsed / (i + 1) * (len(chosen) - i - 1)
        verdict = "proved" if result["proved"] else "NOT PROVED"
        fault = "fault refuted" if result["refuted"] else "fault NOT REFUTED"
        progress = f"[{i + 1}/{len(chosen)}] {lemma.name}: {verdict}, {fault} in {result['secs']} s"
        print(f"{progress}, about {left:.0f} s left", file=sys.stderr, flush=True)
    json.dump({"results": results, "vectors_are_fresh": vectors.are_fresh()}, sys.stdout)


if __name__ == "__main__":
    main()
