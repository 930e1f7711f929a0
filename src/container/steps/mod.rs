//! What is done on the way of a container, a file a step.

pub mod cgroups;
pub mod console;
pub mod hooks;
pub mod init;
pub mod network;
pub mod notify;
pub mod processes;
pub mod sd_notify;
pub mod systemd;
pub mod wait;
