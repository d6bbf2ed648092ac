//! How much memory this process took.
//!
//! In: what the system says of the process. Out: bytes. Must not know: what took them.

/// The most memory that this process held at once, in bytes, files that it maps among it; nothing where the system does not
/// tell (it is read from Linux' `/proc`, see proc_pid_status(5)).
pub(crate) fn peak() -> Option<u64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::{peak, peak_of};

    #[test]
    fn the_peak_is_read() {
        assert_eq!(peak_of("Name:\tfrit\nVmPeak:\t  900 kB\nVmHWM:\t  12 kB\n"), Some(12 << 10));
        assert_eq!(peak_of("Name:\tfrit\n"), None);
        assert_eq!(peak().is_some(), cfg!(target_os = "linux"));
    }
}
