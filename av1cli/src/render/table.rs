//! Tables of plain text.

use crate::text::one_line;

/// Two spaces tell columns apart without a frame.
const GAP: &str = "  ";

/// Rows of cells in aligned columns.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without a heading.
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// A table with a heading.
    pub(crate) fn with_heading<const N: usize>(heading: [&str; N]) -> Self {
        let mut table = Self::new();
        table.row(&heading.map(str::to_uppercase));
        table
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: &[String]) {
        // Escaped first: a control character has no width that could be reckoned with.
        self.rows
            .push(cells.iter().map(|cell| one_line(cell)).collect());
    }

    /// The lines. Widths are counted in characters, so free text (which may hold wide
    /// ones) belongs into the last column, which is not padded.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<_> = (0..columns)
            .map(|column| {
                self.rows
                    .iter()
                    .map(|row| width(row, column))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        self.rows.iter().map(move |row| {
            let cells: Vec<_> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            cells.join(GAP).trim_end().to_owned()
        })
    }
}

fn width(row: &[String], column: usize) -> usize {
    row.get(column).map_or(0, |cell| cell.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 3]) -> [String; 3] {
        cells.map(str::to_owned)
    }

    #[test]
    fn columns_stand_under_each_other() {
        let mut table = Table::with_heading(["#", "codec", "title"]);
        table.row(&row(["0", "h264 (High)", ""]));
        table.row(&row(["10", "aac", "漢字"]));
        let lines: Vec<_> = table.lines().collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        #   CODEC        TITLE
        0   h264 (High)
        10  aac          漢字
        ");
    }

    #[test]
    fn a_hostile_cell_keeps_its_row() {
        let mut table = Table::new();
        table.row(&row(["a\nb", "\u{1b}[2J", "c"]));
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines, ["a\\nb  \\u{1b}[2J  c"]);
    }
}
