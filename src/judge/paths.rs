//! Paths as bytes: an attacker chose them.

/// Makes a path absolute-looking and plain: no `//`, `.` or `..`. By text alone.
pub(crate) fn normalise(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    let mut plain = Vec::with_capacity(path.len());
    for part in parts {
        plain.push(b'/');
        plain.extend_from_slice(part);
    }
    if plain.is_empty() {
        plain.push(b'/');
    }
    plain
}

/// True if `path` is `folder` or lies below it. A folder of `/` or nothing contains nothing,
/// so that a broken layout allows nothing.
pub(crate) fn is_below(path: &[u8], folder: &[u8]) -> bool {
    if folder.len() < 2 {
        return false;
    }
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The part after the last `/`.
pub(crate) fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or(path)
}

/// True if the text contains the other one.
pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_detours() {
        for (path, plain) in
            [("/a/./b//c/", "/a/b/c"), ("/a/../../b", "/b"), ("/out/../../.ssh/id", "/.ssh/id"), ("/", "/"), ("", "/")]
        {
            assert_eq!(normalise(path.as_bytes()), plain.as_bytes(), "{path}");
        }
    }

    #[test]
    fn below_means_whole_names() {
        assert!(is_below(b"/a/b", b"/a/b") && is_below(b"/a/b/c", b"/a/b"));
        assert!(!is_below(b"/a/bc", b"/a/b") && !is_below(b"/a", b"/"));
    }
}
