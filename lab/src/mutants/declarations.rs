//! Statements that declare variables, and how they are split into declarations and an assignment.

use super::tokens::{Kind, Token, tokens_of};

/// A statement that declares variables, in two parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// The declarations: `uint256 x;`
    pub(super) declarations: String,
    /// The assignment of their values: `x = …;`
    pub(super) assignment: String,
}

/// Returns whether a statement declares variables, so that later code needs it.
pub(super) fn declares(statement: &[Token<'_>]) -> bool {
    const NO_TYPES: [&str; 4] = ["return", "emit", "revert", "delete"];
    // `Type name`, `Type memory name` or `Library.Type name`, at the beginning or in a tuple on the left.
    let tuple = statement[0].text == "(";
    let left = statement.iter().take_while(|token| token.text != "=");
    let words: Vec<_> = left.map(|token| (token.kind, token.text)).collect();
    let pairs = words.windows(2).take(if tuple { usize::MAX } else { 4 });
    pairs.into_iter().any(|pair| match pair {
        [(Kind::Word, first), (Kind::Word, _)] => !NO_TYPES.contains(first),
        _ => false,
    })
}

/// Splits `T a = v;` into `T a;` and `a = v;`, and `(T a, , U b) = v;` into `T a; U b;` and `(a, , b) = v;`. Returns none
/// for a statement that does not declare variables with values.
pub(super) fn split(statement: &str) -> Option<Split> {
    let tokens = tokens_of(statement);
    let equals = tokens.iter().position(|token| token.text == "=")?;
    let (left, value) = tokens.split_at(equals);
    let (tuple, variables) = match left {
        [open, variables @ .., close] if open.text == "(" && close.text == ")" => (true, variables),
        variables => (false, variables),
    };
    let mut declarations = Vec::new();
    let mut names = Vec::new();
    for variable in variables.split(|token| token.text == ",") {
        let Some((name, kind)) = variable.split_last() else {
            names.push("");
            continue;
        };
        let last_of_kind = kind.last()?;
        if name.kind != Kind::Word || (last_of_kind.kind != Kind::Word && last_of_kind.text != "]") {
            return None;
        }
        declarations.push(format!("{};", joined(variable)));
        names.push(name.text);
    }
    let names = if tuple { format!("({})", names.join(", ")) } else { names.concat() };
    Some(Split { declarations: declarations.join(" "), assignment: format!("{names} {}", joined(value)) })
}

fn joined(tokens: &[Token<'_>]) -> String {
    tokens.iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(statement: &str) -> Option<(String, String)> {
        split(statement).map(|split| (split.declarations, split.assignment))
    }

    fn pair(a: &str, b: &str) -> Option<(String, String)> {
        Some((a.to_owned(), b.to_owned()))
    }

    #[test]
    fn declarations_with_values_are_split() {
        assert_eq!(parts("uint256 x = a + 1;"), pair("uint256 x;", "x = a + 1 ;"));
        assert_eq!(parts("L.T memory t = g();"), pair("L . T memory t;", "t = g ( ) ;"));
        assert_eq!(parts("T[] memory t = g();"), pair("T [ ] memory t;", "t = g ( ) ;"));
        assert_eq!(
            parts("(uint256 a,, U memory b) = f(x, y);"),
            pair("uint256 a; U memory b;", "(a, , b) = f ( x , y ) ;")
        );
    }

    #[test]
    fn other_statements_are_not() {
        for statement in ["a.b = c;", "a[i] = c;", "(a, b) = f();", "uint256 u;", "x += y;", "return a == b;"] {
            assert_eq!(parts(statement), None, "{statement}");
        }
    }
}
