//! System calls that nix and rustix lack. All `unsafe` code of the project is below this module, one file a subject,
//! each block with the invariant that makes it sound.
#![allow(unsafe_code)]
pub mod bpf;
