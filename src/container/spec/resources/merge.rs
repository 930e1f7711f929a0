//! What an update makes of the resources of a container.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice, LinuxWeightDevice};

/// Takes an update over into the resources of a container, as `runc update` does: what the update leaves out stays, but
/// lists of processors and nodes, burst, idle, the limit of tasks and `unified` are then no longer set by later updates.
/// Devices do not change.
pub fn merge(resources: &mut LinuxResources, update: &LinuxResources) {
    if let Some(update) = update.block_io() {
        merge_block_io(resources.block_io_mut().get_or_insert_default(), update);
    }
    let none = LinuxCpu::default();
    merge_cpu(resources.cpu_mut().get_or_insert_default(), update.cpu().as_ref().unwrap_or(&none));
    let memory = resources.memory_mut().get_or_insert_default();
    memory.set_check_before_update(Some(false));
    if let Some(update) = update.memory() {
        merge_memory(memory, update);
    }
    resources.set_pids(*update.pids());
    resources.set_unified(update.unified().clone());
    // runc passes over these; to take them is what the caller meant.
    if update.hugepage_limits().is_some() {
        resources.set_hugepage_limits(update.hugepage_limits().clone());
    }
    if update.network().is_some() {
        resources.set_network(update.network().clone());
    }
    if update.rdma().is_some() {
        resources.set_rdma(update.rdma().clone());
    }
}

/// Raises the limit of memory and swap together with that of memory, where an `update` gives only the latter, a higher one:
/// there is as much swap as `before`. On v2 the two are limited apart; v1's kernel refuses it.
pub fn keep_swap(resources: &mut LinuxResources, before: &LinuxResources, update: &LinuxResources) {
    let of = |resources: &LinuxResources, which: fn(&LinuxMemory) -> Option<i64>| {
        resources.memory().as_ref().and_then(which).filter(|value| *value > 0)
    };
    let Some(limit) = of(update, LinuxMemory::limit) else { return };
    if update.memory().as_ref().is_some_and(|memory| memory.swap().is_some()) {
        return;
    }
    if let (Some(both), Some(memory)) = (of(before, LinuxMemory::swap), resources.memory_mut())
        && limit > both
    {
        let swap = both - of(before, LinuxMemory::limit).unwrap_or(both);
        memory.set_swap(Some(limit.saturating_add(swap)));
    }
}

fn merge_memory(memory: &mut LinuxMemory, update: &LinuxMemory) {
    if let Some(limit) = update.limit() {
        memory.set_limit(Some(limit));
        if limit == -1 && update.swap().is_none() {
            // An old limit of swap makes no sense without one of memory.
            memory.set_swap(None);
        }
    }
    if update.swap().is_some() {
        memory.set_swap(update.swap());
    }
    if update.reservation().is_some() {
        memory.set_reservation(update.reservation());
    }
    if update.kernel_tcp().is_some() {
        memory.set_kernel_tcp(update.kernel_tcp());
    }
    if update.check_before_update().is_some() {
        memory.set_check_before_update(update.check_before_update());
    }
}

fn merge_cpu(cpu: &mut LinuxCpu, update: &LinuxCpu) {
    // Period and quota are a pair. When one is given the other stays; when neither is, none is set again.
    let period = update.period().filter(|period| *period != 0);
    let quota = update.quota().filter(|quota| *quota != 0);
    if period.is_some() || quota.is_none() {
        cpu.set_period(period);
    }
    if quota.is_some() || period.is_none() {
        cpu.set_quota(quota);
    }
    if update.shares().is_some() {
        cpu.set_shares(update.shares());
    } else if update.idle().is_some() {
        // The weight of an idle cgroup cannot be set.
        cpu.set_shares(Some(0));
    }
    if update.realtime_period().is_some() {
        cpu.set_realtime_period(update.realtime_period());
    }
    if update.realtime_runtime().is_some() {
        cpu.set_realtime_runtime(update.realtime_runtime());
    }
    cpu.set_burst(update.burst());
    cpu.set_idle(update.idle());
    cpu.set_cpus(update.cpus().clone());
    cpu.set_mems(update.mems().clone());
}

fn merge_block_io(io: &mut LinuxBlockIo, update: &LinuxBlockIo) {
    fn upsert<T: Copy>(
        list: &Option<Vec<T>>,
        update: &Option<Vec<T>>,
        key: impl Fn(&T) -> (i64, i64),
    ) -> Option<Vec<T>> {
        let mut list = list.clone();
        for device in update.iter().flatten() {
            let list = list.get_or_insert_default();
            // Of a device that is there twice the last one counts, as it is the last to be written.
            match list.iter_mut().rfind(|old| key(old) == key(device)) {
                Some(old) => *old = *device,
                None => list.push(*device),
            }
        }
        list
    }
    if update.weight().is_some() {
        io.set_weight(update.weight());
    }
    if update.leaf_weight().is_some() {
        io.set_leaf_weight(update.leaf_weight());
    }
    let weight = |device: &LinuxWeightDevice| (device.major(), device.minor());
    let rate = |device: &LinuxThrottleDevice| (device.major(), device.minor());
    io.set_weight_device(upsert(io.weight_device(), update.weight_device(), weight));
    io.set_throttle_read_bps_device(upsert(io.throttle_read_bps_device(), update.throttle_read_bps_device(), rate));
    io.set_throttle_write_bps_device(upsert(io.throttle_write_bps_device(), update.throttle_write_bps_device(), rate));
    io.set_throttle_read_iops_device(upsert(io.throttle_read_iops_device(), update.throttle_read_iops_device(), rate));
    io.set_throttle_write_iops_device(upsert(
        io.throttle_write_iops_device(),
        update.throttle_write_iops_device(),
        rate,
    ));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(resources: Value) -> LinuxResources {
        serde_json::from_value(resources).unwrap()
    }

    fn merged(before: Value, update: Value) -> Value {
        let mut resources = parse(before);
        merge(&mut resources, &parse(update));
        serde_json::to_value(resources).unwrap()
    }

    #[test]
    fn an_update_keeps_what_it_leaves_out() {
        let before = json!({"memory": {"limit": 1, "swap": 2}, "cpu": {"shares": 3}, "blockIO": {"weight": 4}});
        let after = merged(before, json!({"memory": {"limit": 5}}));
        assert_eq!(after["memory"], json!({"limit": 5, "swap": 2, "checkBeforeUpdate": false}));
        assert_eq!((&after["cpu"]["shares"], &after["blockIO"]["weight"]), (&json!(3), &json!(4)));
    }

    #[test]
    fn quota_and_period_are_updated_one_by_one() {
        let before = json!({"cpu": {"quota": 1, "period": 2}});
        assert_eq!(merged(before.clone(), json!({"cpu": {"quota": 3}}))["cpu"], json!({"quota": 3, "period": 2}));
        assert_eq!(merged(before.clone(), json!({"cpu": {"period": 3}}))["cpu"], json!({"quota": 1, "period": 3}));
        assert_eq!(merged(before, json!({}))["cpu"], json!({}));
    }

    #[test]
    fn unlimited_memory_drops_the_limit_of_swap() {
        let after = merged(json!({"memory": {"limit": 1, "swap": 2}}), json!({"memory": {"limit": -1}}));
        assert_eq!(after["memory"].get("swap"), None);
    }

    #[test]
    fn more_memory_leaves_as_much_swap_as_there_was() {
        let memory = |before: Value, update: Value| {
            let (before, update) = (parse(json!({"memory": before})), parse(json!({"memory": update})));
            let mut merged = before.clone();
            merge(&mut merged, &update);
            keep_swap(&mut merged, &before, &update);
            let memory = merged.memory().unwrap();
            (memory.limit(), memory.swap())
        };
        let before = json!({"limit": 100, "swap": 150});
        assert_eq!(memory(before.clone(), json!({"limit": 200})), (Some(200), Some(250)));
        assert_eq!(memory(before.clone(), json!({"limit": 120})), (Some(120), Some(150)));
        assert_eq!(memory(before, json!({"limit": 200, "swap": 210})), (Some(200), Some(210)));
        assert_eq!(memory(json!({"limit": 100, "swap": -1}), json!({"limit": 200})), (Some(200), Some(-1)));
    }

    #[test]
    fn of_a_device_that_is_there_twice_the_last_is_updated() {
        let twice = json!({"blockIO": {"throttleReadBpsDevice": [
            {"major": 8, "minor": 0, "rate": 1}, {"major": 8, "minor": 0, "rate": 2}]}});
        let update = json!({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 3}]}});
        let after = merged(twice, update);
        assert_eq!(after["blockIO"]["throttleReadBpsDevice"][1]["rate"], json!(3));
    }

    #[test]
    fn an_idle_container_loses_its_shares() {
        assert_eq!(merged(json!({"cpu": {"shares": 512}}), json!({"cpu": {"idle": 1}}))["cpu"]["shares"], json!(0));
    }

    #[test]
    fn a_device_is_updated_in_its_place() {
        let before = json!({"blockIO": {"throttleReadBpsDevice": [
            {"major": 8, "minor": 0, "rate": 1}, {"major": 8, "minor": 16, "rate": 2}]}});
        let update = json!({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 3}]}});
        let after = merged(before, update);
        assert_eq!(
            after["blockIO"]["throttleReadBpsDevice"],
            json!([{"major": 8, "minor": 0, "rate": 3}, {"major": 8, "minor": 16, "rate": 2}])
        );
    }
}
