//! Mutation operators: small changes of the kind that programmers make by mistake.

use std::{collections::HashSet, fmt, ops::Range};

use serde::{Deserialize, Serialize};

use super::{
    declarations::{declares, split},
    tokens::{Kind, Token, tokens_of},
};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// `<` becomes `<=`, `==` becomes `!=`.
    Comparison,
    /// `+` becomes `-`, `&&` becomes `||`.
    Arithmetic,
    /// `min` becomes `max`.
    Extremum,
    /// Rounding down becomes rounding up, a saturating difference a wrapping one.
    Rounding,
    /// A condition is negated.
    Condition,
    /// A statement is deleted; also a check that reverts.
    Deletion,
    /// A number is increased by 1.
    Number,
}

/// A source with one fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutant {
    /// Path of the file, from the root of the repository.
    pub file: String,
    /// The line on which the fault begins.
    pub line: usize,
    /// The column in which it begins, in bytes.
    pub column: usize,
    /// The kind of the fault.
    pub operator: Operator,
    /// The original text.
    pub original: String,
    /// The text that replaces it.
    pub replacement: String,
    /// Position of the original text, in bytes.
    #[serde(skip)]
    pub range: Range<usize>,
    /// The syntactic place of the fault.
    #[serde(skip)]
    pub place: Place,
}

/// The smallest piece of code around a fault that can exist in several versions, with its position in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    /// A statement, including its semicolon.
    Statement(Range<usize>),
    /// A statement that declares variables with values: `uint256 x = …;`
    Declaration(Range<usize>),
    /// A condition, without its parentheses.
    Condition(Range<usize>),
    /// Code that can exist in one version only: the value of a constant, the first and last part of a loop's head.
    #[default]
    Single,
}

impl Place {
    /// Returns the position of the beginning, in bytes.
    #[must_use]
    pub fn start(&self) -> usize {
        match self {
            Self::Statement(range) | Self::Declaration(range) | Self::Condition(range) => range.start,
            Self::Single => 0,
        }
    }
}

impl Mutant {
    /// Returns whether the other is the same fault at the same place, though one of them may have been read from a file,
    /// which has no positions in bytes.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let key = |mutant: &Self| (mutant.line, mutant.column, mutant.operator);
        key(self) == key(other)
            && (&self.file, &self.original, &self.replacement) == (&other.file, &other.original, &other.replacement)
    }

    /// Returns the part `within` of the source, with the fault.
    #[must_use]
    pub fn applied_to(&self, source: &str, within: Range<usize>) -> String {
        [&source[within.start..self.range.start], &self.replacement, &source[self.range.end..within.end]].concat()
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let original = self.original.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "{}:{} `{original}` → `{}`", self.file, self.line, self.replacement)
    }
}

/// Returns every mutant of these sources (paths and texts), in order.
#[must_use]
pub fn mutants_of(sources: &[(String, String)]) -> Vec<Mutant> {
    let declared: HashSet<&str> = sources.iter().flat_map(|(_, text)| functions_in(text)).collect();
    let mut mutants = Vec::new();
    for (file, source) in sources {
        let tokens = tokens_of(source);
        let mut found = Faults { source, declared: &declared, tokens: &tokens, faults: Vec::new() };
        found.collect();
        mutants.extend(found.faults.into_iter().map(|fault| Mutant {
            file: file.clone(),
            line: source[..fault.range.start].matches('\n').count() + 1,
            column: fault.range.start - source[..fault.range.start].rfind('\n').map_or(0, |newline| newline + 1) + 1,
            operator: fault.operator,
            original: source[fault.range.clone()].to_owned(),
            replacement: fault.replacement,
            range: fault.range,
            place: fault.place,
        }));
    }
    mutants
}

fn functions_in(source: &str) -> Vec<&str> {
    tokens_of(source).windows(2).filter(|pair| pair[0].text == "function").map(|pair| pair[1].text).collect()
}

struct Fault {
    operator: Operator,
    range: Range<usize>,
    replacement: String,
    place: Place,
}

struct Faults<'a> {
    source: &'a str,
    /// Names of declared functions, to find the counterpart that rounds the other way.
    declared: &'a HashSet<&'a str>,
    tokens: &'a [Token<'a>],
    faults: Vec<Fault>,
}

impl Faults<'_> {
    /// Collects the faults in function bodies and in values of constants.
    fn collect(&mut self) {
        // One entry for each open brace: whether it contains statements.
        let mut braces: Vec<bool> = Vec::new();
        let mut header = false;
        let mut must_return = false;
        let mut constant = false;
        let mut i = 0;
        while i < self.tokens.len() {
            let in_code = braces.last().copied().unwrap_or(false);
            match self.tokens[i].text {
                "function" | "constructor" | "modifier" => (header, must_return) = (true, self.must_return(i)),
                "constant" => constant = true,
                "{" => braces.push(std::mem::take(&mut header) || (in_code && self.opens_block(i))),
                "}" => {
                    braces.pop();
                }
                ";" => (header, constant) = (false, false),
                _ if in_code => {
                    i = self.walk_statement(i, must_return);
                    continue;
                }
                _ if constant => self.change(i, &Place::Single),
                _ => {}
            }
            i += 1;
        }
    }

    /// Returns whether the function at `i` does not compile without its `return`: it returns a reference to calldata.
    fn must_return(&self, i: usize) -> bool {
        let header = self.tokens[i..].iter().map(|token| token.text).take_while(|text| !matches!(*text, "{" | ";"));
        header.skip_while(|text| *text != "returns").any(|text| text == "calldata")
    }

    /// Collects the faults of the statement, or of the head of a compound one, that begins at `start`, and returns the
    /// index after it.
    fn walk_statement(&mut self, start: usize, must_return: bool) -> usize {
        if matches!(self.tokens[start].text, "else" | "unchecked") {
            return start + 1;
        }
        if self.tokens[start].text == "if" {
            let Some(end) = self.closing(start + 1) else { return start + 1 };
            let condition = self.tokens[start + 1].range.end..self.tokens[end].range.start;
            self.negate(start + 2..end, &condition);
            let place = Place::Condition(condition);
            (start + 2..end).for_each(|i| self.change(i, &place));
            return end + 1;
        }
        if self.tokens[start].text == "for" {
            return self.walk_loop_head(start);
        }
        let (end, simple) = self.end_of_statement(start);
        let range = self.tokens[start].range.start..self.tokens[end].range.end;
        let statement = &self.tokens[start..end];
        let place = match (simple, declares(statement)) {
            (false, _) => Place::Single,
            (true, false) => Place::Statement(range.clone()),
            (true, true) if split(&self.source[range.clone()]).is_some() => Place::Declaration(range.clone()),
            (true, true) => Place::Single,
        };
        if matches!(place, Place::Statement(_)) && !(must_return && self.tokens[start].text == "return") {
            self.add(Operator::Deletion, range, "", &place);
        }
        (start..end).for_each(|i| self.change(i, &place));
        end + usize::from(simple)
    }

    /// Collects the faults in the head of the `for` loop that begins at `start`, and returns the index after it.
    fn walk_loop_head(&mut self, start: usize) -> usize {
        let Some(end) = self.closing(start + 1) else { return start + 1 };
        let parts: Vec<usize> = (start..end).filter(|&i| self.tokens[i].text == ";").collect();
        for i in start + 2..end {
            let place = match parts[..] {
                [first, second] if (first..second).contains(&i) => {
                    Place::Condition(self.tokens[first + 1].range.start..self.tokens[second - 1].range.end)
                }
                _ => Place::Single,
            };
            self.change(i, &place);
        }
        end + 1
    }

    /// Returns the index of the semicolon that ends the statement from `start`, or of the brace that begins its block,
    /// and whether it is the former.
    fn end_of_statement(&self, start: usize) -> (usize, bool) {
        let mut depth = 0_usize;
        for i in start..self.tokens.len() {
            match self.tokens[i].text {
                "{" if depth == 0 && self.opens_block(i) => return (i, false),
                ";" if depth == 0 => return (i, true),
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        (self.tokens.len() - 1, false)
    }

    /// Returns whether the brace at `i`, inside a function, begins a block rather than named arguments or call options.
    fn opens_block(&self, i: usize) -> bool {
        matches!(self.before(i), ")" | "else" | "unchecked" | "{" | "}" | ";" | "do" | "try" | "catch")
    }

    fn before(&self, i: usize) -> &str {
        i.checked_sub(1).map_or("", |i| self.tokens[i].text)
    }

    fn after(&self, i: usize) -> &str {
        self.tokens.get(i + 1).map_or("", |token| token.text)
    }

    fn add(&mut self, operator: Operator, range: Range<usize>, replacement: impl Into<String>, place: &Place) {
        self.faults.push(Fault { operator, range, replacement: replacement.into(), place: place.clone() });
    }

    /// Collects the faults that begin at a token.
    fn change(&mut self, i: usize, place: &Place) {
        let token = &self.tokens[i];
        let range = token.range.clone();
        match token.kind {
            Kind::Number => self.add(Operator::Number, range, successor(token.text), place),
            Kind::Word if self.after(i) == "(" => {
                if let Some((operator, other)) = self.other_function(token.text) {
                    self.add(operator, range, other, place);
                }
            }
            Kind::Sign => {
                if let Some(other) = comparison(token.text) {
                    self.add(Operator::Comparison, range, other, place);
                } else if let Some(other) = arithmetic(token.text).filter(|_| self.is_binary(i)) {
                    self.add(Operator::Arithmetic, range, other, place);
                }
            }
            Kind::Word | Kind::Text => {}
        }
    }

    fn is_binary(&self, i: usize) -> bool {
        let Some(before) = i.checked_sub(1).map(|i| &self.tokens[i]) else { return false };
        match before.kind {
            Kind::Number => true,
            Kind::Word => before.text != "return",
            Kind::Sign => matches!(before.text, ")" | "]"),
            Kind::Text => false,
        }
    }

    fn other_function(&self, name: &str) -> Option<(Operator, String)> {
        match name {
            "min" => return Some((Operator::Extremum, "max".to_owned())),
            "max" => return Some((Operator::Extremum, "min".to_owned())),
            "divUp" => return Some((Operator::Rounding, "rawDiv".to_owned())),
            "fullMulDiv" => return Some((Operator::Rounding, "fullMulDivUp".to_owned())),
            "zeroFloorSub" => return Some((Operator::Rounding, "rawSub".to_owned())),
            _ => {}
        }
        let other = match (name.strip_suffix("Down"), name.strip_suffix("Up")) {
            (Some(stem), _) => format!("{stem}Up"),
            (_, Some(stem)) => format!("{stem}Down"),
            _ => return None,
        };
        self.declared.contains(other.as_str()).then_some((Operator::Rounding, other))
    }

    /// Adds the negation of a condition: `if (a)` becomes `if (!(a))`. It is left out where it would equal the
    /// replacement of a single `==` or `!=`.
    fn negate(&mut self, tokens: Range<usize>, condition: &Range<usize>) {
        let has = |signs: &[&str]| self.tokens[tokens.clone()].iter().any(|token| signs.contains(&token.text));
        if has(&["==", "!="]) && !has(&["&&", "||"]) {
            return;
        }
        let replacement = format!("!({})", &self.source[condition.clone()]);
        self.add(Operator::Condition, condition.clone(), replacement, &Place::Condition(condition.clone()));
    }

    /// Returns the index of the parenthesis that closes the one at `i`.
    fn closing(&self, i: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (j, token) in self.tokens.iter().enumerate().skip(i) {
            match token.text {
                "(" => depth += 1,
                ")" if depth == 1 => return Some(j),
                ")" => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }
}

fn successor(number: &str) -> String {
    match number {
        "0" => "1".to_owned(),
        "1" => "2".to_owned(),
        _ => format!("({number} + 1)"),
    }
}

fn comparison(sign: &str) -> Option<&'static str> {
    Some(match sign {
        "<" => "<=",
        "<=" => "<",
        ">" => ">=",
        ">=" => ">",
        "==" => "!=",
        "!=" => "==",
        _ => return None,
    })
}

fn arithmetic(sign: &str) -> Option<&'static str> {
    Some(match sign {
        "+" => "-",
        "-" => "+",
        "*" => "/",
        "/" | "%" => "*",
        "<<" => ">>",
        ">>" => "<<",
        "|" => "&",
        "&" => "|",
        "&&" => "||",
        "||" => "&&",
        "+=" => "-=",
        "-=" => "+=",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the original and the replacement of each mutant of a function body.
    fn changes(body: &str) -> Vec<(String, String)> {
        let source = format!("import {{A}} from \"x\";\ncontract C {{\n function f() external {{\n{body}\n }}\n}}\n");
        let declared = "library L { function toUp() internal {} function toDown() internal {} }".to_owned();
        let mutants = mutants_of(&[("C.sol".to_owned(), source.clone()), ("L.sol".to_owned(), declared)]);
        for mutant in &mutants {
            assert_eq!(
                (mutant.line, source.lines().nth(3).map(|line| &line[mutant.column - 1..])),
                (4, source[mutant.range.start..].lines().next())
            );
            assert_eq!(source[mutant.range.clone()], mutant.original);
        }
        mutants.into_iter().map(|mutant| (mutant.original, mutant.replacement)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn operators_numbers_and_functions_are_replaced() {
        assert_eq!(
            changes("uint256 x = a.toUp(b) + 10 * M.min(c, -d);"),
            pairs(&[("toUp", "toDown"), ("+", "-"), ("10", "(10 + 1)"), ("*", "/"), ("min", "max")])
        );
    }

    #[test]
    fn checks_and_statements_are_deleted() {
        assert_eq!(
            changes("if (a < b) revert E(a);"),
            pairs(&[("a < b", "!(a < b)"), ("<", "<="), ("revert E(a);", "")])
        );
        assert_eq!(changes("if (a) b = c; else d = e;"), pairs(&[("a", "!(a)"), ("b = c;", ""), ("d = e;", "")]));
        assert_eq!(changes("m.x += y; emit D();"), pairs(&[("m.x += y;", ""), ("+=", "-="), ("emit D();", "")]));
    }

    #[test]
    fn declarations_that_later_code_needs_are_kept() {
        assert_eq!(changes("(Id id, S storage s) = f(p); L.T memory t = g(); uint256 u; T v = h({a: b});"), []);
    }

    #[test]
    fn a_single_equality_is_negated_once() {
        assert_eq!(changes("if (a == b) { f(); }"), pairs(&[("==", "!="), ("f();", "")]));
    }

    #[test]
    fn a_reference_to_calldata_is_returned_in_any_case() {
        let source = "library L { function f(bytes calldata a) returns (bytes calldata) { g(); return a; } }";
        let mutants = mutants_of(&[("L.sol".to_owned(), source.to_owned())]);
        assert_eq!(mutants.iter().map(|mutant| mutant.original.as_str()).collect::<Vec<_>>(), ["g();"]);
    }

    #[test]
    fn only_function_bodies_and_constants_are_mutated() {
        let source = "uint256 constant A = 5;\nstruct S { uint256[7] x; }\ncontract C { uint256[8] y; }";
        let mutants = mutants_of(&[("C.sol".to_owned(), source.to_owned())]);
        assert_eq!(mutants.len(), 1);
        assert_eq!(mutants[0].original, "5");
    }
}
