//! Metrics of the process by Prometheus' standard names, read from `/proc` at each scrape. Elsewhere than on Linux there
//! are none.

use std::{fs, path::Path};

use super::view::{Metric, counter, gauge, number, optional};

/// Unit of CPU times and of the start in `/proc/self/stat`: Linux shows them in hundredths of a second on every
/// architecture that this program runs on.
const TICKS_A_SECOND: f64 = 100.0;
/// Field of `/proc/self/stat` after the name, which may contain spaces, with the time in user mode.
const USER: usize = 11;
/// Field of `/proc/self/stat` after the name with the time in the kernel.
const KERNEL: usize = 12;
/// Field of `/proc/self/stat` after the name with the start of the process, counted from the start of the machine.
const START: usize = 19;

/// Returns the metrics of this process; those that the system does not state have no sample.
pub(super) fn metrics() -> Vec<Metric> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<_> = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let field = |index: usize| Some(number(fields.get(index)?.parse().ok()?) / TICKS_A_SECOND);
    let cpu = field(USER).zip(field(KERNEL)).map(|(user, kernel)| user + kernel);
    let start = field(START).zip(booted_at()).map(|(since_boot, boot)| boot + since_boot);
    vec![
        counter("process_cpu_seconds", "Total user and system CPU time spent in seconds", optional(cpu)),
        gauge("process_resident_memory_bytes", "Resident memory size in bytes", optional(kilobytes(&status, "VmRSS:"))),
        gauge("process_virtual_memory_bytes", "Virtual memory size in bytes", optional(kilobytes(&status, "VmSize:"))),
        gauge("process_open_fds", "Number of open file descriptors", optional(open_files())),
        gauge("process_max_fds", "Maximum number of open file descriptors", optional(max_files())),
        gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds", optional(start)),
    ]
}

/// Reads a line such as `VmRSS:   1234 kB`, in bytes.
fn kilobytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(number(line.split_whitespace().next()?.parse().ok()?) * 1_024.0)
}

fn booted_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(number(line.trim().parse().ok()?))
}

fn open_files() -> Option<f64> {
    // Reading the folder has one open itself.
    let files = fs::read_dir(Path::new("/proc/self/fd")).ok()?.count();
    Some(number(u64::try_from(files.saturating_sub(1)).ok()?))
}

fn max_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    Some(number(line.split_whitespace().next()?.parse().ok()?))
}
