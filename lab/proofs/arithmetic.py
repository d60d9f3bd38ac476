"""Two arithmetics that the same formulas run on.

A formula of the contracts is written once, as ordinary Python over `arithmetic.floor(n, d)` and comparisons (`model.py`).
On `Exact` it computes with integers: that is how vectors for the Solidity tests are made and counterexamples are checked.
On `Symbolic` it yields z3 terms over unbounded integers, and a quotient q = ⌊n ÷ d⌋ is a new variable of which only
`q·d ≤ n < (q + 1)·d` is known.
"""

import z3

WORD = 2**256


class Refused(Exception):
    """An assumption of a lemma does not hold for these values."""


class Falsified(Exception):
    """A claim of a lemma does not hold for these values."""


class Exact:
    """Integers. The values of a lemma's variables are given by name."""

    def __init__(self, values=None):
        self.values = values or {}
        self.claims = 0

    def natural(self, name, below, at_least=0):
        value = self.values[name]
        if not at_least <= value < below:
            raise Refused(f"{name} = {value}")
        return value

    def assume(self, fact):
        if not fact:
            raise Refused("an assumption")

    def branch(self, condition):
        return bool(condition)

    def floor(self, n, d, below=WORD):
        self.assume(d > 0)
        self.assume(0 <= n and (below is None or n < below))
        return n // d

    def ceil(self, n, d, below=WORD):
        self.floor(n, d, below)
        return -(-n // d)

    def sub(self, x, y):
        self.assume(y <= x)
        return x - y

    def modulo(self, n, constant):
        return n % constant

    def let(self, term):
        return term

    def about(self, *_):
        return []

    def step(self, *_, **__):
        pass

    def claim(self, fact):
        if not fact:
            raise Falsified
        self.claims += 1

    def all(self, *facts):
        return all(facts)

    def any(self, *facts):
        return any(facts)


class Symbolic:
    """z3 terms along one path through the formulas. `decisions` says which way each branch goes; branches beyond them are
    taken, and recorded."""

    def __init__(self, decisions=()):
        self.decisions = list(decisions)
        self.taken = 0
        self.variables = {}
        self.facts = []
        self.facts_about = {}
        self.fresh = 0

    # What formulas and lemmas say. A subclass decides what becomes of steps, claims and divisors.

    def natural(self, name, below, at_least=0):
        variable = self.variables[name] = z3.Int(name)
        self.know([variable >= at_least, variable < below], about=variable)
        return variable

    def assume(self, fact):
        self.know([fact])
        return fact

    def branch(self, condition):
        if isinstance(condition, bool):
            return condition
        if self.taken == len(self.decisions):
            self.decisions.append(True)
        chosen = self.decisions[self.taken]
        self.taken += 1
        self.know([condition if chosen else z3.Not(condition)])
        return chosen

    def floor(self, n, d, below=WORD):
        self.require_quotient(n, d, below)
        q = self.new("q")
        self.know([q >= 0, q * d <= n, n < q * d + d], about=q)
        return q

    def ceil(self, n, d, below=WORD):
        self.require_quotient(n, d, below)
        q = self.new("q")
        self.know([q >= 0, n <= q * d, q * d < n + d], about=q)
        return q

    def sub(self, x, y):
        self.require(y <= x)
        return x - y

    def modulo(self, n, constant):
        whole, rest = self.new("q"), self.new("r")
        self.know([n == whole * constant + rest, rest >= 0, rest < constant], about=rest)
        return rest

    def let(self, term):
        """A name for a term, so that steps can be about the name alone."""
        name = self.new("t")
        self.know([name == term], about=name)
        return name

    def about(self, *terms):
        """What is known of quotients, names and variables since they were introduced."""
        return [fact for term in terms if z3.is_expr(term)
                for fact in self.facts_about.get(term.get_id(), [])]

    def all(self, *facts):
        return z3.And(*facts)

    def any(self, *facts):
        return z3.Or(*facts)

    def new(self, kind):
        self.fresh += 1
        return z3.Int(f"{kind}!{self.fresh}")

    def know(self, facts, about=None):
        facts = [z3.BoolVal(fact) if isinstance(fact, bool) else fact for fact in facts]
        self.facts += facts
        if about is not None:
            self.facts_about[about.get_id()] = facts

    def require_quotient(self, n, d, below):
        self.require(d > 0)
        self.require(n >= 0)
        if below is not None:
            self.require(n < below)

    def require(self, fact):
        """What Solidity's unchecked arithmetic takes for granted: no divisor is 0, no difference negative, and no product
        larger than a word."""
        raise NotImplementedError
