//! The unpacked stream of an archive: inflated once for both walks where it is small.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;

/// Bytes of one archive that are held. Several are unpacked at a time.
const HELD: usize = 8 << 20;

/// The stream of a small archive that is one gzip member and nothing else. Of any other it is for the walk to tell what is
/// wrong, or to go through it without holding it.
pub(super) fn inflate(packed: &[u8]) -> Option<Vec<u8>> {
    // The last word of a member (`ISIZE`, RFC 1952) is a hint only: whoever made it may lie.
    let (_, size) = packed.split_last_chunk()?;
    let size = usize::try_from(u32::from_le_bytes(*size)).ok().filter(|size| *size <= HELD)?;
    let mut bytes = Vec::with_capacity(size);
    let mut decoder = GzDecoder::new(packed);
    decoder.by_ref().take(u64::try_from(size).ok()?).read_to_end(&mut bytes).ok()?;
    // The member ends here, which is when its checksum is compared.
    let is_over = decoder.read(&mut [0]).ok()? == 0;
    (is_over && decoder.get_ref().is_empty()).then_some(bytes)
}

/// Where a walk reads the stream from.
pub(super) enum Inflating<'a> {
    /// Anew.
    Packed(GzDecoder<&'a [u8]>),
    /// From what [`inflate`] gave.
    Held(&'a [u8]),
}

impl<'a> Inflating<'a> {
    pub(super) fn new(packed: &'a [u8], held: Option<&'a [u8]>) -> Self {
        held.map_or_else(|| Self::Packed(GzDecoder::new(packed)), Self::Held)
    }

    /// True if nothing follows in the archive.
    pub(super) fn is_used_up(&self) -> bool {
        match self {
            Self::Packed(decoder) => decoder.get_ref().is_empty(),
            Self::Held(left) => left.is_empty(),
        }
    }
}

impl Read for Inflating<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Packed(decoder) => decoder.read(buffer),
            Self::Held(left) => left.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn only_a_small_stream_without_a_flaw_is_held() {
        let good = packed(b"the stream");
        assert_eq!(inflate(&good).as_deref(), Some(&b"the stream"[..]));
        assert_eq!(inflate(&packed(&vec![7; HELD])).map(|bytes| bytes.len()), Some(HELD));
        assert!(inflate(&packed(&vec![7; HELD + 1])).is_none(), "too large");
        let flawed = |flaw: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            flaw(&mut bytes);
            inflate(&bytes)
        };
        assert!(flawed(&|bytes| bytes.extend(packed(b"more"))).is_none(), "a second member");
        assert!(flawed(&|bytes| bytes.extend(*b"\0\0\0\0")).is_none(), "something behind it");
        assert!(flawed(&|bytes| bytes.truncate(bytes.len() - 1)).is_none(), "cut off");
        let last = |at: usize| move |bytes: &mut Vec<u8>| *bytes.iter_mut().nth_back(at).unwrap() ^= 1;
        assert!(flawed(&last(0)).is_none() && flawed(&last(3)).is_none(), "another length than it says");
        assert!(flawed(&last(4)).is_none(), "another checksum than it says");
    }
}
