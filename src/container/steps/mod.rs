//! What is done on the way of a container, a file a step.

pub mod cgroups;
pub mod confine;
pub mod console;
pub mod created;
pub mod hooks;
pub mod inherited;
pub mod init;
pub mod namespaces;
pub mod network;
pub mod notify;
pub mod plan;
pub mod poll;
pub mod processes;
pub mod resctrl;
pub mod sd_notify;
pub mod systemd;
pub mod wait;
