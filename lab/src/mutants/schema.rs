//! Many mutants in one source: each place with faults has all its versions as alternatives, and a number selects the
//! one in effect. Dozens of mutants then cost one compilation.
//!
//! The number is the block's `prevrandao`, which a test run sets and nothing else reads; with 0 there is no fault.

use std::ops::Range;

use super::{
    declarations::split,
    operators::{Mutant, Place},
    tokens::tokens_of,
};

/// A source with several mutants in it.
#[derive(Debug)]
pub(super) struct Schema {
    /// The source.
    pub(super) text: String,
    /// Lines with the number of the mutant on each: a compiler error on such a line is about that mutant.
    pub(super) lines: Vec<(usize, usize)>,
}

/// Writes a source with the numbered mutants as alternatives. `pure` functions become `view`, because they read the
/// number.
pub(super) fn schema_of(source: &str, mutants: &[(usize, &Mutant)]) -> Schema {
    let mut schema = Writer { text: String::with_capacity(2 * source.len()), lines: Vec::new() };
    let mut done = 0;
    for together in mutants.chunk_by(|(_, a), (_, b)| a.place == b.place) {
        let Some(place) = range_of(&together[0].1.place) else { continue };
        schema.text.push_str(&source[done..place.start]);
        schema.versions(source, &place, together);
        done = place.end;
    }
    schema.text.push_str(&source[done..]);
    Schema { text: without_pure(&schema.text), lines: schema.lines }
}

fn range_of(place: &Place) -> Option<Range<usize>> {
    match place {
        Place::Statement(range) | Place::Declaration(range) | Place::Condition(range) => Some(range.clone()),
        Place::Single => None,
    }
}

/// Returns the source with `view` instead of `pure`.
pub(super) fn without_pure(source: &str) -> String {
    let mut text = source.to_owned();
    for token in tokens_of(source).iter().rev().filter(|token| token.text == "pure") {
        text.replace_range(token.range.clone(), "view");
    }
    text
}

struct Writer {
    text: String,
    lines: Vec<(usize, usize)>,
}

impl Writer {
    fn versions(&mut self, source: &str, place: &Range<usize>, mutants: &[(usize, &Mutant)]) {
        let original = flat(&source[place.clone()]);
        let versions =
            mutants.iter().map(|(number, mutant)| (*number, flat(&mutant.applied_to(source, place.clone()))));
        if let Place::Condition(_) = mutants[0].1.place {
            for (number, version) in versions {
                self.text.push_str(&format!("block.prevrandao == {number} ? ("));
                self.line(number, &version);
                self.text.push_str(") : ");
            }
            self.text.push_str(&format!("({original})"));
            return;
        }
        let declaration = split(&original).filter(|_| matches!(mutants[0].1.place, Place::Declaration(_)));
        if let Some(split) = &declaration {
            self.text.push_str(&format!("{} ", split.declarations));
        }
        let assignment = |version: String| match &declaration {
            Some(_) => split(&version).map_or(version, |split| split.assignment),
            None => version,
        };
        for (number, version) in versions {
            self.text.push_str(&format!("if (block.prevrandao == {number}) {{"));
            self.line(number, &assignment(version));
            self.text.push_str("} else ");
        }
        self.text.push_str(&format!("{{ {} }}", assignment(original)));
    }

    /// Writes a version on a line of its own.
    fn line(&mut self, number: usize, version: &str) {
        self.text.push('\n');
        self.lines.push((self.text.matches('\n').count() + 1, number));
        self.text.push_str(version);
        self.text.push('\n');
    }
}

/// Returns code on one line, without comments.
fn flat(code: &str) -> String {
    tokens_of(code).iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{super::operators::mutants_of, *};

    fn schema(body: &str, wanted: &[&str]) -> Schema {
        let source = format!("contract C {{ function f() pure {{ {body} }} }}");
        let mutants = mutants_of(&[("C.sol".to_owned(), source.clone())]);
        let chosen: Vec<&Mutant> = mutants.iter().filter(|m| wanted.contains(&m.original.as_str())).collect();
        let numbered: Vec<(usize, &Mutant)> = chosen.into_iter().enumerate().map(|(i, m)| (i + 1, m)).collect();
        schema_of(&source, &numbered)
    }

    #[test]
    fn versions_of_a_statement_are_alternatives() {
        let schema = schema("x = a + b // c\n * d;", &["+", "*"]);
        assert_eq!(
            schema.text,
            "contract C { function f() view { if (block.prevrandao == 1) {\nx = a - b * d ;\n} else if \
             (block.prevrandao == 2) {\nx = a + b / d ;\n} else { x = a + b * d ; } } }"
        );
        assert_eq!(schema.lines, [(2, 1), (4, 2)]);
    }

    #[test]
    fn a_declared_variable_is_visible_after_the_alternatives() {
        let schema = schema("uint256 x = a + b;", &["+"]);
        assert!(schema.text.contains("uint256 x; if (block.prevrandao == 1) {\nx = a - b ;\n} else { x = a + b ; }"));
    }

    #[test]
    fn the_condition_of_a_loop_has_versions_but_not_the_rest_of_its_head() {
        let schema = schema("for (uint256 i = 1; i < n; i += 2) f();", &["<"]);
        assert!(
            schema.text.contains("for (uint256 i = 1; block.prevrandao == 1 ? (\ni <= n\n) : (i < n); i += 2) f();"),
            "{}",
            schema.text
        );
    }

    #[test]
    fn versions_of_a_condition_are_alternatives_in_place() {
        let schema = schema("if (a < b) return; else c();", &["<", "return;"]);
        assert!(schema.text.contains(
            "if (block.prevrandao == 1 ? (\na <= b\n) : (a < b)) if (block.prevrandao == 2) {\n\n} else { return ; } \
             else c();"
        ));
    }
}
