//! Seccomp filters compiled from names and rules, without libseccomp.
