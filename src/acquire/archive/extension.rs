//! Extended headers (PAX records, GNU long names), read more strictly than any unpacker does.
//!
//! Two readers that disagree about an extended header see two different
//! archives, which is how contents are smuggled past a check. So a record that
//! changes an entry's size or kind is refused, not interpreted.

use super::refusal::Reason;

/// Extended headers may be this large; a name needs a hundredth of it.
pub(super) const EXTENSION_BYTES: u64 = 64 * 1024;

/// What the extended headers before an entry say about it.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Pax {
    path: Option<Vec<u8>>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none()
    }

    /// A `x` header.
    pub(super) fn pax(&mut self, data: &[u8]) -> Result<(), Reason> {
        if self.pax.is_some() {
            return Err(Reason::BadExtension { what: "two PAX headers for one entry" });
        }
        self.pax = Some(Pax { path: records(data)? });
        Ok(())
    }

    /// A `L` header.
    pub(super) fn long_name(&mut self, data: &[u8]) -> Result<(), Reason> {
        if self.long_name.is_some() {
            return Err(Reason::BadExtension { what: "two long names for one entry" });
        }
        let name = data.strip_suffix(b"\0").unwrap_or(data);
        self.long_name = Some(name.to_vec());
        Ok(())
    }

    /// The name that they give to the entry, if they give one.
    pub(super) fn take_name(&mut self) -> Result<Option<Vec<u8>>, Reason> {
        let long = self.long_name.take();
        match (self.pax.take().and_then(|pax| pax.path), long) {
            (Some(_), Some(_)) => Err(Reason::BadExtension { what: "two names for one entry" }),
            (pax, long) => Ok(pax.or(long)),
        }
    }
}

/// A `g` header: tolerated only if it changes nothing that matters.
pub(super) fn check_global(data: &[u8]) -> Result<(), Reason> {
    match records(data)? {
        Some(_) => Err(Reason::PaxOverride { key: "path".to_owned() }),
        None => Ok(()),
    }
}

/// Reads `LENGTH KEY=VALUE\n` records; gives the value of `path`.
fn records(mut data: &[u8]) -> Result<Option<Vec<u8>>, Reason> {
    const BAD: Reason = Reason::BadExtension { what: "a record that is not `LENGTH KEY=VALUE`" };
    let mut path = None;
    while !data.is_empty() {
        let digits = data.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length: usize = data
            .get(..digits)
            .and_then(|text| std::str::from_utf8(text).ok())
            .and_then(|text| text.parse().ok())
            .ok_or(BAD)?;
        let record = data.get(digits..length).ok_or(BAD)?;
        let record = record.strip_prefix(b" ").and_then(|record| record.strip_suffix(b"\n")).ok_or(BAD)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(BAD)?;
        let (key, value) = (record.get(..equals).ok_or(BAD)?, record.get(equals + 1..).ok_or(BAD)?);
        let key = std::str::from_utf8(key).map_err(|_| BAD)?;
        match key {
            "path" if path.is_some() => return Err(Reason::BadExtension { what: "two paths in one PAX header" }),
            "path" => path = Some(value.to_vec()),
            "size" | "linkpath" | "hdrcharset" => return Err(Reason::PaxOverride { key: key.to_owned() }),
            sparse if sparse.starts_with("GNU.sparse.") => return Err(Reason::PaxOverride { key: sparse.to_owned() }),
            // Times, owners, attributes: nothing of it is applied.
            _ => {}
        }
        data = data.get(length..).ok_or(BAD)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_record_is_read() {
        assert_eq!(records(b"10 path=a\n17 mtime=12345.678\n".get(..10).unwrap()), Ok(Some(b"a".to_vec())));
        assert_eq!(
            records(b"9 mtime=1\n".get(..).unwrap()),
            Err(Reason::BadExtension { what: "a record that is not `LENGTH KEY=VALUE`" })
        );
        assert_eq!(records(b"11 mtime=1\n"), Ok(None));
    }

    #[test]
    fn records_that_override_are_refused() {
        assert_eq!(records(b"10 size=0\n"), Err(Reason::PaxOverride { key: "size".to_owned() }));
        assert_eq!(
            records(b"22 GNU.sparse.major=1\n"),
            Err(Reason::PaxOverride { key: "GNU.sparse.major".to_owned() })
        );
        assert_eq!(check_global(b"10 path=a\n"), Err(Reason::PaxOverride { key: "path".to_owned() }));
    }

    #[test]
    fn a_record_whose_length_lies_is_refused() {
        for data in
            [b"99 path=a\n".as_slice(), b"0 path=a\n", b"path=a\n", b"10 path:a\n", b"18446744073709551616 a=b\n"]
        {
            assert!(matches!(records(data), Err(Reason::BadExtension { .. })), "{data:?}");
        }
    }

    #[test]
    fn a_name_given_twice_is_refused() {
        let mut pending = Pending::default();
        pending.pax(b"10 path=a\n").unwrap();
        pending.long_name(b"b\0").unwrap();
        assert!(!pending.is_empty());
        assert_eq!(pending.take_name(), Err(Reason::BadExtension { what: "two names for one entry" }));
    }
}
