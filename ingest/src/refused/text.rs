//! Texts of clients, as they are recorded and logged.

/// Returns at most `max` characters of a text. Those that cannot be printed, such as line ends and the commands of terminals, are escaped.
pub(super) fn printable(text: &str, max: usize) -> String {
    let mut printable = String::new();
    for (number, character) in text.chars().enumerate() {
        if number == max {
            printable.push('…');
            break;
        }
        match character {
            '\'' | '"' | '\\' => printable.push(character),
            other => printable.extend(other.escape_debug()),
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_printed_is_escaped() {
        for (text, expected) in [
            ("target/manifest.json", "target/manifest.json"),
            ("C:\\x\\\"é\" 'ü'", "C:\\x\\\"é\" 'ü'"),
            ("a\nb\r\t\0", "a\\nb\\r\\t\\0"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("gpj.\u{202e}exe\u{7f}\u{9b}", "gpj.\\u{202e}exe\\u{7f}\\u{9b}"),
            ("\u{feff}\u{2028}", "\\u{feff}\\u{2028}"),
        ] {
            assert_eq!(printable(text, 100), expected);
        }
        assert_eq!(printable("éééé", 3), "ééé…");
        assert_eq!(printable("ééé", 3), "ééé");
    }
}
