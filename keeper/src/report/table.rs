//! Columns of text as wide as what is in them.

/// On which side of its column a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Lines of columns under headings, indented by two, without blanks at their ends.
pub(super) fn table<const N: usize>(columns: [(&str, Side); N], rows: &[[String; N]]) -> String {
    let headings = columns.map(|(heading, _)| heading.to_owned());
    let mut widths = [0; N];
    for row in rows.iter().chain([&headings]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(columns).zip(widths).map(|((cell, (_, side)), width)| match side {
            Side::Left => format!("{cell:<width$}"),
            Side::Right => format!("{cell:>width$}"),
        });
        format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().fold(line(&headings), |text, row| text + &line(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["a".to_owned(), "1,234".to_owned()], ["bärlauch".to_owned(), "5".to_owned()]];
        let text = table([("name", Side::Left), ("sum", Side::Right)], &rows);
        assert_eq!(text, "  name        sum\n  a         1,234\n  bärlauch      5\n");
    }
}
