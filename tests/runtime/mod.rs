//! The OCI runtime: what a user or an engine notices of each verb and each property.

mod create_start;
mod delete;
mod exec;
mod kill;
mod list;
mod pause;
mod ps;
mod run;
mod state;
