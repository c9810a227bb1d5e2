//! Raw `fio` on a file: what the disk gives without any server.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::Outcome;
use crate::cell::{Cell, Pattern};
use crate::plan::Plan;

/// What `fio` counted.
#[derive(Debug)]
pub struct FioCount {
    /// Reads and writes a second.
    pub rate: f64,
    /// Reads and writes.
    pub requests: u64,
    /// Flushes.
    pub flushes: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Latency that half of the requests stay under, in microseconds.
    pub p50_us: f64,
    /// Latency that 99 of 100 stay under.
    pub p99_us: f64,
}

/// How much of a cell is run.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Where chance begins.
    pub seed: u64,
    /// After which time it ends.
    pub time: Duration,
    /// After how many requests it ends at the latest.
    pub requests_max: u64,
}

/// Fills a file with random bytes.
///
/// # Errors
/// Where `fio` is missing or fails.
pub fn fill(file: &Path, size: u64) -> Outcome<()> {
    let mut command = command(file, size);
    command.args(["--rw=write", "--bs=1M", "--iodepth=8", "--refill_buffers", "--end_fsync=1"]);
    finished(command).map(drop)
}

/// Runs a cell on a file, past the page cache.
///
/// # Errors
/// Where `fio` is missing or fails.
pub fn run(cell: &Cell, file: &Path, size: u64, load: &Load) -> Outcome<FioCount> {
    let mut command = command(file, size);
    let pattern = match cell.pattern {
        Pattern::RandomRead => "randread",
        Pattern::RandomWrite | Pattern::EachOnce => "randwrite",
        Pattern::Mixed => "randrw",
        Pattern::SequentialRead => "read",
        Pattern::SequentialWrite => "write",
    };
    command.arg(format!("--rw={pattern}")).arg(format!("--bs={}", cell.len));
    command.arg(format!("--iodepth={}", cell.depth)).arg(format!("--randseed={}", load.seed));
    command.arg(format!("--runtime={}", load.time.as_secs_f64())).arg("--rwmixread=70");
    if cell.flush_every > 0 {
        command.arg(format!("--fsync={}", cell.flush_every));
    }
    let once = Plan::new(*cell, size, load.seed).once();
    if once.is_none() {
        command.arg("--norandommap=1");
    }
    match once.unwrap_or(u64::MAX).min(load.requests_max) {
        u64::MAX => command.arg("--time_based=1"),
        count => command.arg(format!("--number_ios={count}")),
    };
    let said: Value = serde_json::from_str(&finished(command)?)?;
    let job = &said["jobs"][0];
    let (read, write) = (&job["read"], &job["write"]);
    let sum = |name: &str| read[name].as_u64().unwrap_or(0) + write[name].as_u64().unwrap_or(0);
    let run_ms = [read, write].map(|part| part["runtime"].as_u64().unwrap_or(0));
    let main = if write["total_ios"].as_u64() > read["total_ios"].as_u64() { write } else { read };
    let latency = |part: &str| main["clat_ns"]["percentile"][part].as_f64().unwrap_or(0.0) / 1e3;
    Ok(FioCount {
        rate: sum("total_ios") as f64 * 1e3 / run_ms[0].max(run_ms[1]).max(1) as f64,
        requests: sum("total_ios"),
        flushes: job["sync"]["total_ios"].as_u64().unwrap_or(0),
        bytes_written: write["io_bytes"].as_u64().unwrap_or(0),
        p50_us: latency("50.000000"),
        p99_us: latency("99.000000"),
    })
}

fn command(file: &Path, size: u64) -> Command {
    let mut command = Command::new("fio");
    // Its threads stay in this program's scheduling group only with `--thread`.
    command.args(["--name=raw", "--thread=1", "--output-format=json", "--ioengine=io_uring"]);
    command.args(["--direct=1", "--percentile_list=50:99"]);
    command.arg(format!("--filename={}", file.display())).arg(format!("--size={size}"));
    command
}

fn finished(mut command: Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("fio: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("fio: {}: {complaint}", output.status).into());
    }
    Ok(text[text.find('{').unwrap_or(0)..].to_owned())
}
