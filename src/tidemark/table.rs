//! Tables and sheets for people: columns that line up, sizes in their largest unit, times here.

use base::size::ByteSize;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use control::when;

/// A column's heading, and whether its cells are numbers.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    heading: &'static str,
    is_number: bool,
}

/// A column of words.
pub const fn words(heading: &'static str) -> Column {
    Column { heading, is_number: false }
}

/// A column of numbers, which line up at their last digit.
pub const fn numbers(heading: &'static str) -> Column {
    Column { heading, is_number: true }
}

/// A table, or this sentence where there are no rows.
pub fn table(columns: &[Column], rows: Vec<Vec<String>>, empty: &str) -> String {
    if rows.is_empty() {
        return empty.to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.heading));
    table.add_rows(rows);
    for (index, column) in columns.iter().enumerate() {
        if let Some(shape) = table.column_mut(index) {
            shape.set_padding((0, 2));
            if column.is_number {
                shape.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    trimmed(&table.to_string())
}

/// A sheet about one thing: a name and a value a line.
pub fn sheet(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = lines.iter().map(|(name, value)| format!("{name:width$}  {value}\n"));
    trimmed(&lines.collect::<String>())
}

fn trimmed(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Bytes in their largest unit.
pub fn size(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

/// A time here, and how long ago that is.
pub fn time(ms: u64, now_ms: u64) -> String {
    format!("{} ({})", when::local(ms), when::relative(ms, now_ms))
}

/// How far something is.
pub fn percent(done: u64, total: u64) -> String {
    match u128::from(done.min(total)) * 100 {
        _ if total == 0 => "0%".to_owned(),
        hundred => format!("{}%", hundred / u128::from(total)),
    }
}

/// Names with commas between, or a dash for none.
pub fn names<T: ToString>(names: &[T]) -> String {
    if names.is_empty() {
        return "-".to_owned();
    }
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Yes, or a dash, which is easier to overlook.
pub fn yes(is_so: bool) -> String {
    if is_so { "yes" } else { "-" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_at_their_end() {
        let rows = vec![vec!["mail".into(), "4G".into()], vec!["x".into(), "512M".into()]];
        let shown = table(&[words("NAME"), numbers("SIZE")], rows, "none");
        assert_eq!(shown, "NAME  SIZE\nmail    4G\nx     512M");
    }

    #[test]
    fn an_empty_table_says_so_in_words() {
        assert_eq!(table(&[words("NAME")], Vec::new(), "no volumes yet"), "no volumes yet");
    }

    #[test]
    fn a_sheet_lines_up_its_values() {
        let shown = sheet(&[("name", "mail".into()), ("is held", "-".into())]);
        assert_eq!(shown, "name     mail\nis held  -");
    }

    #[test]
    fn how_far_is_never_over_the_whole() {
        assert_eq!(percent(1, 3), "33%");
        assert_eq!(percent(9, 3), "100%");
        assert_eq!(percent(0, 0), "0%");
        assert_eq!(percent(u64::MAX, u64::MAX), "100%");
    }
}
