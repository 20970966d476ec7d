//! Operations: calls that are recorded argument by argument, most of them refused.

use super::{Caller, Decoded};
use crate::evidence::Bytes;
use crate::evidence::line::{ArgState, Object};
use crate::sandbox::table::Part;
use crate::supervisor::caller::{self, int, uint};

/// Bytes of a string that are kept.
const TEXT_CAP: usize = 256;

/// Reads all parts that can be read. One that cannot is missing, and the state says so; a null
/// pointer is no argument at all.
pub(super) fn decode(caller: Caller<'_>, parts: &[Part]) -> Decoded {
    let mut names = Vec::new();
    let (mut paths, mut processes, mut descriptors, mut texts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut state = ArgState::Exact;
    for part in parts {
        let read = match *part {
            Part::Name(register) => {
                names.extend(caller.names(register));
                continue;
            }
            Part::Process(at) => {
                processes.push(i64::from(int(caller.register(at))));
                continue;
            }
            Part::ProcessFd(at) => {
                processes.extend(caller.procfs.process_behind(caller.tid(), int(caller.register(at))));
                continue;
            }
            Part::Descriptor(at) => {
                let object = caller.procfs.descriptor(caller.tid(), int(caller.register(at)));
                descriptors.extend(object.map(|object| Bytes::from(object.as_path())));
                continue;
            }
            Part::Path(_, at) | Part::Text(at) | Part::Bytes(at, _) if caller.register(at) == 0 => continue,
            Part::Path(dir, at) => caller.path(dir, at).map(|path| paths.push(path)).is_ok(),
            Part::Text(at) => caller::read_string(caller.tid(), caller.register(at), TEXT_CAP)
                .map(|(text, _)| texts.push(Bytes(text)))
                .is_ok(),
            Part::Bytes(at, length) => {
                let length = usize::try_from(uint(caller.register(length))).unwrap_or(TEXT_CAP).min(TEXT_CAP);
                caller::read_memory(caller.tid(), caller.register(at), length)
                    .map(|bytes| texts.push(Bytes(bytes)))
                    .is_ok()
            }
        };
        state = match (read, state) {
            (false, _) | (_, ArgState::Unreadable) => ArgState::Unreadable,
            (true, _) => ArgState::Snapshot,
        };
    }
    Decoded::new(with_argument(caller, Object::Operation { names, paths, processes, descriptors, texts }), state)
}

/// `prctl(PR_SET_DUMPABLE, 0)` hides and `1` does not, so the value stands with the name.
fn with_argument(caller: Caller<'_>, mut object: Object) -> Object {
    if let Object::Operation { names, .. } = &mut object
        && let [name] = names.as_mut_slice()
        && name == "PR_SET_DUMPABLE"
    {
        *name = format!("{name} {}", caller.register(1));
    }
    object
}
