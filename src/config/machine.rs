//! What the machine has, where a default depends on it.

/// What is assumed where the machine does not say.
const FALLBACK_BYTES: u64 = 2 << 30;

/// The memory of the machine, or of the container if that has less.
pub(super) fn memory_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| total_of(&text));
    let container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .find_map(|path| read(path)?.trim().parse::<u64>().ok());
    match (machine, container) {
        (Some(machine), Some(container)) => machine.min(container),
        (machine, container) => machine.or(container).unwrap_or(FALLBACK_BYTES),
    }
}

/// How many threads can run at a time.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found_among_other_lines() {
        assert_eq!(total_of("MemFree: 1 kB\nMemTotal:       24689044 kB\n"), Some(25_281_581_056));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
    }
}
