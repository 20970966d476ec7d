//! Tells a judgement to people and to programs.
