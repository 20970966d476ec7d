//! The generated project that uses the subject.
