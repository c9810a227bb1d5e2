//! The kernel's own counters: what a server, this program and the disk have done so far.

use std::fs;
use std::ops::Sub;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Outcome;
use crate::house::now;

/// One reading of all counters. Subtracting an earlier one gives what happened between.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// When it was taken.
    pub at: Duration,
    /// Processor time of the server, all threads, in microseconds.
    pub server_cpu_us: u64,
    /// Processor time of this program.
    pub client_cpu_us: u64,
    /// Processor time of the whole machine.
    pub machine_cpu_us: u64,
    /// Bytes that the server sent towards storage.
    pub server_bytes_written: u64,
    /// Bytes that the server fetched from storage.
    pub server_bytes_read: u64,
    /// Write requests that the disk completed.
    pub disk_writes: u64,
    /// Bytes that they wrote.
    pub disk_bytes_written: u64,
    /// Flushes that the disk completed.
    pub disk_flushes: u64,
}

impl Sub for Reading {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        let since = |now: u64, then: u64| now.saturating_sub(then);
        Self {
            at: self.at.saturating_sub(earlier.at),
            server_cpu_us: since(self.server_cpu_us, earlier.server_cpu_us),
            client_cpu_us: since(self.client_cpu_us, earlier.client_cpu_us),
            machine_cpu_us: since(self.machine_cpu_us, earlier.machine_cpu_us),
            server_bytes_written: since(self.server_bytes_written, earlier.server_bytes_written),
            server_bytes_read: since(self.server_bytes_read, earlier.server_bytes_read),
            disk_writes: since(self.disk_writes, earlier.disk_writes),
            disk_bytes_written: since(self.disk_bytes_written, earlier.disk_bytes_written),
            disk_flushes: since(self.disk_flushes, earlier.disk_flushes),
        }
    }
}

/// Where the counters are read.
#[derive(Clone, Debug)]
pub struct Counters {
    disk: Option<PathBuf>,
    tick_us: u64,
}

impl Counters {
    /// The counters of the disk on which `dir` lies. Where that is no plain disk, its counters stay zero.
    ///
    /// # Errors
    /// Where the machine does not tell how long its ticks are.
    pub fn of(dir: &Path) -> Outcome<Self> {
        use std::os::unix::fs::MetadataExt;
        let device = fs::metadata(dir)?.dev();
        let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
        let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
        let hertz = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.unwrap_or(100);
        let tick_us = 1_000_000 / u64::try_from(hertz)?.max(1);
        Ok(Self { disk: stat.exists().then_some(stat), tick_us })
    }

    /// Whether the disk's counters can be read at all.
    pub fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Reads all counters; those of a server only where there is one.
    ///
    /// # Errors
    /// Where the server is gone.
    pub fn read(&self, server: Option<u32>) -> Outcome<Reading> {
        let mut reading = Reading {
            at: now(),
            client_cpu_us: self.process_cpu_us("self")?,
            machine_cpu_us: self.machine_cpu_us()?,
            ..Reading::default()
        };
        if let Some(pid) = server {
            let pid = pid.to_string();
            reading.server_cpu_us = self.process_cpu_us(&pid)?;
            let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
            reading.server_bytes_written =
                named(&io, "write_bytes:").saturating_sub(named(&io, "cancelled_write_bytes:"));
            reading.server_bytes_read = named(&io, "read_bytes:");
        }
        if let Some(disk) = &self.disk {
            let stat = numbers(&fs::read_to_string(disk)?);
            let field = |index: usize| stat.get(index).copied().unwrap_or(0);
            reading.disk_writes = field(4);
            reading.disk_bytes_written = field(6) * 512;
            reading.disk_flushes = field(15);
        }
        Ok(reading)
    }

    /// User and system time of a process, and of the children that it has waited for.
    fn process_cpu_us(&self, pid: &str) -> Outcome<u64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |index: usize| fields.get(index).and_then(|text| text.parse().ok());
        let ticks = (11..15).map(|index| field(index).unwrap_or(0)).sum::<u64>();
        Ok(ticks * self.tick_us)
    }

    fn machine_cpu_us(&self) -> Outcome<u64> {
        let stat = fs::read_to_string("/proc/stat")?;
        let fields = numbers(stat.lines().next().unwrap_or_default());
        // User, nice, system, then idle and waiting, which are no work, then interrupts.
        let busy = [0, 1, 2, 5, 6].iter().map(|&index| fields.get(index).copied().unwrap_or(0));
        Ok(busy.sum::<u64>() * self.tick_us)
    }
}

/// Bytes of memory that a process has in use, by the kernel's count.
///
/// # Errors
/// Where it is gone.
pub fn resident_bytes(pid: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let text = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(numbers(text).first().copied().unwrap_or(0) * 1024)
}

fn numbers(line: &str) -> Vec<u64> {
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn named(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_this_program_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let counters = Counters::of(dir.path()).unwrap();
        let pid = Some(std::process::id());
        let before = counters.read(pid).unwrap();
        let mut sum = 0_u64;
        let mut rounds = 0;
        loop {
            sum = (0..10_000_000_u64).fold(sum, |sum, n| sum ^ n.wrapping_mul(sum | 1));
            rounds += 1;
            let spent = counters.read(pid).unwrap() - before;
            if spent.server_cpu_us >= 50_000 {
                assert!(spent.client_cpu_us >= 50_000, "{spent:?}");
                assert!(spent.machine_cpu_us >= 40_000, "{spent:?}");
                break;
            }
            assert!(rounds < 1000, "{spent:?} {sum}");
        }
    }

    #[test]
    fn memory_that_is_used_is_resident() {
        let pid = std::process::id();
        let before = resident_bytes(pid).unwrap();
        let held = std::hint::black_box(vec![1_u8; 128 << 20]);
        assert!(resident_bytes(pid).unwrap() >= before + (64 << 20), "{before}");
        assert_eq!(held.len(), 128 << 20);
    }

    #[test]
    fn a_named_number_is_found_by_its_whole_name() {
        let io = "rchar: 5\nwrite_bytes: 12\ncancelled_write_bytes: 3\n";
        assert_eq!(named(io, "write_bytes:"), 12);
        assert_eq!(named(io, "cancelled_write_bytes:"), 3);
        assert_eq!(named(io, "bytes:"), 0);
    }
}
