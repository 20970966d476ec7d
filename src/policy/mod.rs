//! What is expected of a unit, and why.
