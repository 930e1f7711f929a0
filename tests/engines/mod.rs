//! Container engines that start containers through us.

mod containerd;
