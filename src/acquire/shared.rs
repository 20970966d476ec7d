//! A text that many machines share, by its address and its digest: downloaded once, then taken from the cache.

use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::config::CargoConfig;
use super::error::AcquireError;
use super::http::Client;
use super::reputation::{bounds, keep};
use super::settings::AcquireSettings;
use crate::ids::Sha256Digest;

/// More than any such text has.
const BYTES: u64 = 1024 * 1024;

/// The text at an address. Only bytes of this digest count, wherever they come from.
///
/// # Errors
/// When it cannot be had, or is another one; both digests are named then.
pub fn shared_text(settings: &AcquireSettings, address: &str, digest: Sha256Digest) -> Result<String, AcquireError> {
    let usage = |message: String| AcquireError::Usage { message, hint: None };
    let folder = settings.cache_dir.join("shared");
    let path = folder.join(digest.hex());
    let is_it = |bytes: &[u8]| Sha256Digest(Sha256::digest(bytes).into()) == digest;
    let kept = super::registry::read_bounded(&path, BYTES).ok().flatten().filter(|bytes| is_it(bytes));
    let bytes = if let Some(bytes) = kept {
        bytes
    } else {
        let config = CargoConfig::of_cargo(&settings.cargo_home, &settings.environment)?;
        if settings.offline || config.offline() {
            return Err(AcquireError::OfflineMissing { missing: vec![address.to_owned()] });
        }
        let limits = bounds(&settings.limits);
        let until = Instant::now() + limits.transfer;
        let bytes = Client::new(&config.transport()?, &limits, until, address)?.get(address, None, BYTES)?;
        if !is_it(&bytes) {
            let found = Sha256Digest(Sha256::digest(&bytes).into());
            return Err(usage(format!("its digest is {found}, and {digest} was demanded")));
        }
        // Without a place to keep it, it is asked for each time.
        let _ = keep(&folder, &path, &bytes);
        bytes
    };
    String::from_utf8(bytes).map_err(|_| usage("it is not UTF-8".to_owned()))
}
