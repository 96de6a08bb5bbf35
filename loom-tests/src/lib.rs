//! Loom models of the shipped algorithms. See `tests/`.
