//! Nothing: twenty macro libraries are what is driven.
