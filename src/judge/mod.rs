//! Evidence and policy in, findings and a verdict out. Pure.
