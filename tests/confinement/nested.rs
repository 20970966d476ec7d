//! Under a listener that somebody else has put around the whole run: a filter tree has one, so ours could not be.

use std::process::Command;

use crate::attack::outside;
use crate::support::sandboxed::{PROGRAM, Subject};

#[test]
fn under_a_listener_of_somebody_elses_nothing_is_built() {
    let subject = Subject::new("nested").build_script("fn main() { tell(\"ran\", 0); }");
    // The control: the same way in, with a filter that has no listener.
    for (name, code) in [("UNDER/filter", 0), ("UNDER/listener", 4)] {
        let mut command = Command::new(outside());
        command.args([name, PROGRAM]);
        subject.arguments(&mut command);
        let output = command.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{name}: {said}");
        let named =
            said.contains("the layer seccomp does not hold") && said.contains("cannot install the unit's filter");
        assert_eq!(named, code == 4, "{name}: {said}");
    }
}
