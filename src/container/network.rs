//! Network devices of the host that the configuration moves into the container.

use oci_spec::runtime::Spec;
use rustix::process::Pid;

use crate::error::{Error, Result};

/// Moves the devices of `linux.netDevices` into the network namespace of `pid`.
///
/// # Errors
/// When a device is not there or cannot be moved.
pub fn move_devices(spec: &Spec, _pid: Pid) -> Result<()> {
    match spec.linux().as_ref().and_then(|linux| linux.net_devices().as_ref()) {
        Some(devices) if !devices.is_empty() => {
            Err(Error::unsupported("linux.netDevices is not supported by this version"))
        }
        _ => Ok(()),
    }
}
