//! Negative controls: algorithms with a known flaw, which the rig must find. If it does not, the rig is broken.

pub mod bare;
pub mod batch;
pub mod birth;
pub mod cells;
pub mod counted;
pub mod doors;
pub mod event;
pub mod eventcount;
pub mod hidden;
pub mod lane;
pub mod locks;
pub mod long;
pub mod once;
pub mod recovery;
pub mod ring;
pub mod spsc;
pub mod vyukov;
