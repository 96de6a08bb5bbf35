//! Shared-memory IPC that survives `kill -9`.

// The layers, lowest first; a module imports only from those above it in this list (tests/layers.rs).
#[doc(hidden)]
pub mod layout;
#[doc(hidden)]
pub mod primitive;
#[doc(hidden)]
pub mod raw;
#[doc(hidden)]
pub mod sys;
