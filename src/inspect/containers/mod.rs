//! Containers: their names, images and engines, from cgroup paths and what engines leave on disk. No daemon is asked.
//!
//! A process's cgroup path tells the engine and the id ([`cgroup`]). The rest is read where the engine keeps it: the
//! bundle below the shim's working directory, conmon's arguments, the state folders of runtimes ([`runtimes`]), and
//! the engines' own files ([`docker`], [`containerd`], [`podman`], [`lxc`]).

mod cgroup;
mod config;
mod container;
mod containerd;
mod docker;
mod find;
mod folders;
mod inventory;
mod isolation;
mod lxc;
mod owner;
mod podman;
mod runtimes;
mod usage;

pub use container::{Container, Engine, Exposure, Pod, State};
pub use find::{Group, find, find_to_enter, may_be_entered, near, of_process};
pub use inventory::Inventory;
pub use isolation::{Bonds, all_capabilities, exposures};
pub use runtimes::ROOTS;
pub use usage::{Hierarchies, Usage};
