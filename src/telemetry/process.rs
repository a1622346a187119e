//! What the system knows of this process, under the names that every Prometheus client gives it.

use std::{fmt::Write as _, fs};

/// Kernel ticks per second: what Linux tells user space on every architecture.
const TICKS: f64 = 100.0;

/// Name, kind and help of each.
pub(super) const METRICS: &[(&str, &str, &str)] = &[
    ("process_cpu_seconds_total", "counter", "Processor time of the process, user and system."),
    ("process_open_fds", "gauge", "Open files and sockets."),
    ("process_max_fds", "gauge", "The most files and sockets that may be open."),
    ("process_resident_memory_bytes", "gauge", "Memory that is resident."),
    ("process_virtual_memory_bytes", "gauge", "Address space that is taken."),
    ("process_threads", "gauge", "Threads."),
    ("process_start_time_seconds", "gauge", "When the process started, since 1970."),
];

/// The metrics as text; those that the system does not tell are left out.
pub(super) fn render() -> String {
    let mut text = String::new();
    for ((name, kind, help), value) in METRICS.iter().zip(values()) {
        if let Some(value) = value {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    }
    text
}

/// In the order of [`METRICS`].
fn values() -> [Option<f64>; 7] {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may hold anything.
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| {
            rest.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect()
        })
        .unwrap_or_default();
    // proc(5) counts from 1, and the first here is its third.
    let field = |number: usize| fields.get(number - 3).copied();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let status = |name: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    };
    let booted = fs::read_to_string("/proc/stat").ok().and_then(|stat| {
        stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok()
    });
    [
        field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS),
        fs::read_dir("/proc/self/fd")
            .ok()
            .map(|files| f64::from(u32::try_from(files.count()).unwrap_or(0))),
        open_files_max(),
        status("VmRSS:").map(|kib| kib * 1024.0),
        status("VmSize:").map(|kib| kib * 1024.0),
        status("Threads:"),
        booted.zip(field(22)).map(|(booted, ticks)| booted + ticks / TICKS),
    ]
}

fn open_files_max() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_all_of_it() {
        let values = values().map(|value| value.expect("Linux tells it"));
        assert!(values.iter().all(|&value| value >= 0.0), "{values:?}");
        assert!(values[1] >= 3.0 && values[1] <= values[2], "{values:?}");
        assert!(values[3] <= values[4], "{values:?}");
        assert!(values[6] > 1.6e9, "{values:?}");
        assert!(render().contains("# TYPE process_cpu_seconds_total counter\n"));
    }
}
