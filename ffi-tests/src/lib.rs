//! C, C++ and Python programs against the C ABI. See `tests/`.
