//! The command lines beside the runtime: which applet a name starts, unshare, nsenter.

mod completion;
mod dispatch;
mod filters;
mod hints;
mod ns_inspect;
mod nsenter;
mod own_options;
mod scripts;
mod unshare;
