//! containerd's shim: one small process a pod that serves the Task service for its containers and runs the runtime's verbs.
//!
//! ```text
//!            containerd                     one thread, one epoll: nothing in it waits for anything else
//!   requests │    ▲ answers   ▲ events
//!   ┌────────▼────┴───────────┴───────┐
//!   │ server   connections, signals,  │── fork ──► worker: one verb of the runtime, in a process of its own
//!   │          relays, OOM watches    │◄─ result ─ which dies with the shim, and can fail as hard as it likes
//!   │ pod      containers, processes  │                 │
//!   └────────▲────────────────────────┘              creates
//!            │ SIGCHLD: the shim is the subreaper        ▼
//!            └───────────────────────────────── the container's processes, the shim's children once the worker ends
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `bootstrap` | `start` and `delete`: what containerd runs the program for |
//! | `address` | where the shim of a pod listens |
//! | `frame`, `message`, `event`, `metrics` | what goes over the wire: pure |
//! | `options` | what the engine's configuration asks for |
//! | `server` | the loop, and who is connected |
//! | `task` | the methods of the service |
//! | `outcome` | what follows from a worker's end, and from that of a container's process |
//! | `pod` | containers and processes as the shim knows them |
//! | `worker`, `job` | a forked process, and what is done in one |
//! | `logger` | a program that takes a container's output |
//! | `stream`, `relay` | where a process's streams go, and copying where that cannot be without |
//! | `rootfs` | the mounts that a container's root consists of |
//! | `publisher` | events on their way to containerd |

mod address;
pub mod bootstrap;
mod connection;
mod event;
pub mod frame;
mod job;
mod logger;
pub mod message;
mod metrics;
mod options;
mod outcome;
mod pending;
mod pod;
mod poll;
mod publisher;
mod relay;
mod rootfs;
mod server;
mod stream;
mod task;
mod worker;

pub use server::{Config, serve};
