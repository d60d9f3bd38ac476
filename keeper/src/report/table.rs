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
pub(super) fn table(columns: &[(&str, Side)], rows: &[Vec<String>]) -> String {
    let headings = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let mut widths = vec![0; columns.len()];
    for row in rows.iter().chain([&headings]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(columns).zip(&widths).map(|((cell, (_, side)), width)| match side {
            Side::Left => format!("{cell:<width$}", width = *width),
            Side::Right => format!("{cell:>width$}", width = *width),
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
        let rows = [["a", "1,234"], ["bärlauch", "5"]].map(|row| row.map(str::to_owned).to_vec());
        let text = table(&[("name", Side::Left), ("sum", Side::Right)], &rows);
        assert_eq!(text, "  name        sum\n  a         1,234\n  bärlauch      5\n");
    }
}
