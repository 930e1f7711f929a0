//! What the runtime is told to do, a file a verb.

pub mod checkpoint;
pub mod create;
pub mod delete;
pub mod events;
pub mod exec;
pub mod kill;
pub mod list;
pub mod pause;
pub mod restore;
pub mod run;
pub mod start;
pub mod update;
