//! Mount options, mounting through file descriptors, and the root of a container.
