//! Tables of text whose columns are as wide as their content.

/// Alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// To the left, for words.
    Left,
    /// To the right, for numbers.
    Right,
}

/// Formats rows under headings, indented by two spaces and without trailing spaces.
pub(super) fn table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let headings = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let mut widths = vec![0; columns.len()];
    for row in rows.iter().chain([&headings]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(columns).zip(&widths).map(|((cell, (_, align)), width)| match align {
            Align::Left => format!("{cell:<width$}", width = *width),
            Align::Right => format!("{cell:>width$}", width = *width),
        });
        format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().fold(line(&headings), |text, row| text + &line(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_content() {
        let rows = [["a", "1,234"], ["bärlauch", "5"]].map(|row| row.map(str::to_owned).to_vec());
        let text = table(&[("name", Align::Left), ("sum", Align::Right)], &rows);
        assert_eq!(text, "  name        sum\n  a         1,234\n  bärlauch      5\n");
    }
}
