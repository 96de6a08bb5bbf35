//! Negative controls: algorithms with a known flaw, which the rig must find. If it does not, the rig is broken.

pub mod birth;
pub mod cells;
pub mod eventcount;
pub mod hidden;
pub mod locks;
pub mod ring;
pub mod vyukov;
