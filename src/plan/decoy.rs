//! Fake credentials and the home that they lie in.
