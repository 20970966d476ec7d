//! Breaks text into lines of the terminal.

/// Breaks a text between words; lines after the first are indented. Longer words are broken as well.
pub(in crate::report) fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    let leading = text.chars().take_while(|&c| c == ' ').count();
    out.extend(std::iter::repeat_n(' ', leading));
    column += leading;
    let mut is_first = true;
    for word in text.trim_start().split(' ') {
        let needed = visible(word);
        if !is_first {
            if column + 1 + needed > width && column > indent {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
        }
        is_first = false;
        if column + needed <= width || word.contains('\x1b') {
            out.push_str(word);
            column += needed;
            continue;
        }
        for c in word.chars() {
            if column >= width {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            }
            out.push(c);
            column += 1;
        }
    }
    out
}

/// The columns of a word without our own colours. Escaped text has no escape characters.
fn visible(word: &str) -> usize {
    let mut columns = 0;
    let mut is_escape = false;
    for c in word.chars() {
        match c {
            '\x1b' => is_escape = true,
            'm' if is_escape => is_escape = false,
            _ if is_escape => {}
            _ => columns += 1,
        }
    }
    columns
}
