"""Proves steps and claims of a lemma, and searches counterexamples to it, with z3.

Products of variables are hard for any solver, so a lemma is proved in steps: each follows from a few named facts alone,
and is then a fact itself. Two methods are tried. The first reads integers as real numbers and every strict `a < b` as
`a + 1 ≤ b`, which is weaker than what is known: so what follows from it is true of integers, too. There z3 has a complete
procedure for polynomials. The second is z3's own solver for integers.
"""

import time

import z3

from arithmetic import Exact, Falsified, Refused, Symbolic

STEP_TIMEOUT_MS = 5_000
BRANCH_TIMEOUT_MS = 200
# Of one path through a lemma.
LEMMA_TIMEOUT_SECS = 30
SEARCH_TIMEOUT_MS = 20_000


class Unproved(Exception):
    """z3 did not find that a step follows from its facts."""


class Impossible(Exception):
    """No values take this path."""


class Proof(Symbolic):
    """Proves the steps and claims along one path, from the facts that it meets."""

    def __init__(self, decisions=()):
        super().__init__(decisions)
        self.proved = 0
        self.deadline = time.monotonic() + LEMMA_TIMEOUT_SECS

    def branch(self, condition):
        chosen = super().branch(condition)
        if over_reals(self.facts, BRANCH_TIMEOUT_MS) == z3.unsat:
            raise Impossible
        return chosen

    def step(self, fact, using=None):
        self.prove(fact, self.facts if using is None else flat(using))
        self.know([fact])
        return fact

    claim = step

    def require(self, fact):
        self.step(fact)

    def prove(self, fact, facts):
        if fact is True or self.knows(fact):
            return
        for used in facts:
            self.prove(used, self.facts)
        if time.monotonic() > self.deadline:
            raise Unproved(f"{fact}, within {LEMMA_TIMEOUT_SECS} s")
        negation = z3.Not(fact)
        for attempt in (over_reals, over_integers):
            if attempt([*facts, negation], STEP_TIMEOUT_MS) == z3.unsat:
                self.proved += 1
                return
        raise Unproved(str(fact))


    def knows(self, fact):
        return any(fact.eq(known) for known in self.facts)


class Search(Symbolic):
    """Collects what must hold of a counterexample: all assumptions, and one of the claims not."""

    def __init__(self, decisions=()):
        super().__init__(decisions)
        self.claims = []

    def step(self, *_, **__):
        """Steps are means of a proof, which a planted fault is not asked to pass."""

    def claim(self, fact):
        self.claims.append(fact)

    def require(self, fact):
        self.know([fact])


def proved_on_all_paths(lemma, model):
    """Proves a lemma of a model on each path through its formulas. Returns the number of steps that were proved."""
    return sum(path.proved for path in paths(lambda decisions: run(lemma, model, Proof(decisions))))


def counterexample(lemma, model, hints):
    """Returns values for which a lemma is false of a model with a planted fault, or None if there are none on any path.
    They are checked by computing with them. Hints fix some variables, so that the search is short."""
    for search in paths(lambda decisions: run(lemma, model, Search(decisions))):
        fixed = [search.variables[name] == value for name, value in hints.items()]
        values = solution(search, [*fixed, z3.Not(z3.And(*search.claims))])
        if values is not None and falsifies(lemma, model, values):
            return values
    return None


def is_about_something(lemma, model):
    """Returns whether some values satisfy all assumptions of a lemma. Its claims are computed for them, too."""
    for search in paths(lambda decisions: run(lemma, model, Search(decisions))):
        values = solution(search, [])
        if values is not None and run(lemma, model, Exact(values)).claims == len(search.claims):
            return True
    return False


def solution(search, more):
    """Returns values that satisfy what a search collected, or None."""
    solver = z3.SolverFor("QF_NIA")
    solver.set("timeout", SEARCH_TIMEOUT_MS)
    solver.add(*search.facts, *more)
    if solver.check() != z3.sat:
        return None
    found = solver.model()
    return {name: found.eval(v, model_completion=True).as_long() for name, v in search.variables.items()}


def falsifies(lemma, model, values):
    try:
        run(lemma, model, Exact(values))
    except Falsified:
        return True
    except Refused:
        pass
    return False


def run(lemma, model, arithmetic):
    try:
        lemma(arithmetic, model(arithmetic))
    except Impossible:
        pass
    return arithmetic


def paths(run_path):
    """Runs every path: the last branch that was taken is not taken next."""
    decisions = []
    while True:
        result = run_path(decisions)
        yield result
        decisions = result.decisions[: result.taken]
        while decisions and not decisions[-1]:
            decisions.pop()
        if not decisions:
            return
        decisions[-1] = False


def flat(facts):
    return [fact for some in facts for fact in (some if isinstance(some, list) else [some])]


def over_integers(facts, timeout_ms):
    solver = z3.Solver()
    solver.set("timeout", timeout_ms)
    solver.add(*facts)
    return solver.check()


def over_reals(facts, timeout_ms):
    solver = z3.Tactic("qfnra-nlsat").solver()
    solver.set("timeout", timeout_ms)
    for fact in facts:
        solver.add(relaxed(fact, True))
    return solver.check()


def relaxed(fact, positive):
    """A fact about integers, or its negation, as a weaker one about real numbers."""
    if z3.is_not(fact):
        return relaxed(fact.arg(0), not positive)
    if z3.is_and(fact) or z3.is_or(fact):
        parts = [relaxed(part, positive) for part in fact.children()]
        return z3.And(*parts) if z3.is_and(fact) == positive else z3.Or(*parts)
    if z3.is_true(fact) or z3.is_false(fact):
        return z3.BoolVal(z3.is_true(fact) == positive)
    a, b = (as_real(side) for side in fact.children())
    if z3.is_eq(fact):
        return a == b if positive else z3.Or(a <= b - 1, a >= b + 1)
    less = {
        z3.Z3_OP_LE: lambda: a <= b if positive else a >= b + 1,
        z3.Z3_OP_LT: lambda: a <= b - 1 if positive else a >= b,
        z3.Z3_OP_GE: lambda: a >= b if positive else a <= b - 1,
        z3.Z3_OP_GT: lambda: a >= b + 1 if positive else a <= b,
    }
    return less[fact.decl().kind()]()


def as_real(term):
    if z3.is_int_value(term):
        return z3.RealVal(term.as_long())
    if term.num_args() == 0:
        return z3.Real(term.decl().name())
    parts = [as_real(part) for part in term.children()]
    total = parts[0]
    kind = term.decl().kind()
    if kind == z3.Z3_OP_UMINUS:
        return -total
    for part in parts[1:]:
        if kind == z3.Z3_OP_ADD:
            total = total + part
        elif kind == z3.Z3_OP_SUB:
            total = total - part
        elif kind == z3.Z3_OP_MUL:
            total = total * part
        else:
            raise ValueError(f"no real number for {term}")
    return total
