//! The C ABI, tested from outside: the header against the sources, the symbols, and programs in C, C++ and Python.

pub mod header;
pub mod lab;
