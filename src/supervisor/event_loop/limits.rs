//! Carries out what follows from a limit that was hit.

use std::time::Instant;

use super::{EventLoop, Result};
use crate::evidence::line::{HitLimit, Line, Note, UnitKind, UnitOutcome, note};
use crate::sandbox::limits::Limit;
use crate::supervisor::SupervisorError;
use crate::supervisor::limits::{Act, Hit};

impl EventLoop<'_> {
    /// Looks at the clock and, from time to time, at what the units use.
    pub(super) fn look_at_limits(&mut self) -> Result<()> {
        if self.life.is_none() {
            return Ok(());
        }
        if Instant::now() >= self.deadline {
            return self.hit(Limit::Time, None, Act::Stop);
        }
        let looked = self.limits.look();
        let hits = looked.map_err(|source| SupervisorError::Watch { step: "look at what the units use", source })?;
        hits.into_iter().try_for_each(|hit| self.take_hit(hit))
    }

    pub(super) fn hit(&mut self, limit: Limit, unit: Option<u32>, act: Act) -> Result<()> {
        self.take_hit(Hit::new(limit, unit, act, self.spec.limits.of(limit)))
    }

    /// Told once for each unit and limit; what follows is done each time.
    fn take_hit(&mut self, hit: Hit) -> Result<()> {
        if self.limits.is_news(&hit) {
            let unit = hit.unit.and_then(|number| self.shims.get(&number)?.unit.as_ref());
            // The consumer is ours: whose macro ran in it is found out when all is judged.
            let package = unit.filter(|unit| unit.kind != UnitKind::CompileConsumer);
            let line = Note {
                code: note::LIMIT_HIT.to_owned(),
                package: package.and_then(|unit| unit.package.clone()),
                unit: unit.map(|unit| unit.id),
                text: hit.text,
                limit: Some(HitLimit { name: hit.limit.name().to_owned(), bound: hit.bound }),
            };
            self.write(&Line::Note(line))?;
        }
        match (hit.act, hit.unit) {
            (Act::Tell, _) => {}
            (Act::EndUnit, Some(unit)) => {
                self.limits.kill(unit);
            }
            (Act::EndUnit, None) | (Act::Stop, _) => self.stop(),
        }
        Ok(())
    }

    /// What came up while the calls of a unit were answered.
    pub(super) fn note_limits_of(&mut self, number: u32) -> Result<()> {
        if self.evidence.as_ref().is_some_and(crate::evidence::writer::EvidenceWriter::is_full) {
            self.hit(Limit::Evidence, Some(number), Act::Tell)?;
        }
        let Some(unit) = self.shims.get_mut(&number).and_then(|shim| shim.unit.as_mut()) else { return Ok(()) };
        let met = std::mem::take(&mut unit.met);
        if met.no_descriptor {
            self.hit(Limit::OpenFiles, Some(number), Act::Tell)?;
        }
        if met.no_room {
            self.hit(self.limits.full(), Some(number), Act::Tell)?;
        }
        Ok(())
    }

    /// How a unit ended, if a limit of the kernel's or we ended it.
    pub(super) fn ended_by_limit(
        &mut self,
        number: u32,
        outcome: UnitOutcome,
        code: Option<i32>,
    ) -> Result<(UnitOutcome, Option<i32>)> {
        if self.limits.end(number) {
            return Ok((UnitOutcome::Killed, None));
        }
        match code.filter(|_| outcome == UnitOutcome::Signalled) {
            Some(libc::SIGXFSZ) => self.hit(Limit::FileSize, Some(number), Act::Tell)?,
            Some(libc::SIGXCPU) => self.hit(Limit::Cpu, Some(number), Act::Tell)?,
            _ => {}
        }
        Ok((outcome, code))
    }
}
