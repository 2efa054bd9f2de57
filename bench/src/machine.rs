//! The machine on which the benchmarks run.

use std::fs::read_to_string;

/// Describes the machine: processor, cores, memory, system.
pub(crate) fn describe() -> String {
    let field = |file: &str, name: &str| -> String {
        let text = read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':')
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let processor = field("/proc/cpuinfo", "model name");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory: u64 = field("/proc/meminfo", "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or_default();
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "Measured on {cores} cores of {processor}, {} GiB of memory, Linux {}.\n",
        memory >> 20,
        kernel.trim()
    )
}
