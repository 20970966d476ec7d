//! What must hold of a driver's answers: the conversation ends, whatever they are, and every input has one outcome.

use std::time::Instant;

use super::answer::Answer;
use super::{Driver, Job, LONGEST_OUTPUT, Loss, Next, SERVERS};
use crate::ids::{PackageId, UnitId};

/// Bytes as one answer, and as all that servers answer, one server after the other where one is given up.
pub(crate) fn answers(bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if let Some(Answer::ExpandMacro(Ok(tree))) = Answer::read(line) {
            for most in [0, 10, LONGEST_OUTPUT] {
                assert!(tree.render(most).len() <= most);
            }
        }
    }
    let mut job = Some(Job::new(PackageId::new("m", "1.0.0"), "m-1".into(), "/t/libm.so".into(), "/c".into()));
    let mut rest = bytes;
    let mut servers = 0;
    while let Some(next) = job.take() {
        servers += 1;
        assert!(servers <= SERVERS + 1, "servers without end");
        let mut driver = Driver::new(UnitId(7), next, Instant::now());
        while let Some((line, more)) = split_line(rest) {
            rest = more;
            match driver.take(line, Instant::now()) {
                Next::Wait | Next::Send(_) => assert!(driver.doing().is_some(), "it waits for nothing"),
                Next::Finish | Next::GiveUp => break,
            }
        }
        if rest.is_empty() {
            driver.lose(Loss::Died);
        }
        for finished in driver.finished() {
            assert!(finished.output.len() <= LONGEST_OUTPUT + 100, "{} bytes", finished.output.len());
        }
        job = driver.into_rest();
    }
}

/// The first line with its end, and what follows.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
    Some(bytes.split_at(end))
}
