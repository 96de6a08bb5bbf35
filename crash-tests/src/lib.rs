//! The crash rig: kills a process after every single instruction of an operation.
