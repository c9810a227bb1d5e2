//! What the tests share: a disk that counts, a place to work in, and commands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::nbd_server;
use base::units::{BLOCK_LEN, SECTOR_LEN};
use disk::{AnyDisk, Disk, DiskError, Done, Durability, Geometry, Op, Request};
use kernel_stubs::Kind;
use kernel_stubs::attach;
use kernel_stubs::{
    AttachOptions, AttachRecord, Attacher, Attachment, Availability, loop_device, mount_table,
};

const SECTORS_PER_BLOCK: usize = BLOCK_LEN / SECTOR_LEN;

/// A sparse disk in memory that counts what it is asked, and can be told to fail, or to answer nothing.
pub struct CountingDisk {
    blocks: Mutex<BTreeMap<u64, Box<[u8]>>>,
    sectors: AtomicU64,
    is_read_only: bool,
    pub is_failing: AtomicBool,
    pub is_stalled: AtomicBool,
    stalled: Mutex<Vec<Request>>,
    pub reads: AtomicU64,
    pub writes: AtomicU64,
    pub flushes: AtomicU64,
    pub discarded_bytes: AtomicU64,
    pub changes: AtomicU64,
}

impl CountingDisk {
    pub fn new(len: u64) -> Arc<Self> {
        Arc::new(Self::with(len, BTreeMap::new(), false))
    }

    /// A read-only disk with the same content.
    pub fn frozen(&self) -> Arc<Self> {
        let len = self.sectors.load(Ordering::Relaxed) * SECTOR_LEN as u64;
        Arc::new(Self::with(len, self.lock().clone(), true))
    }

    /// A disk of its own with the same content.
    pub fn copied(&self) -> Arc<Self> {
        Arc::new(Self { is_read_only: false, ..Arc::into_inner(self.frozen()).unwrap() })
    }

    fn with(len: u64, blocks: BTreeMap<u64, Box<[u8]>>, is_read_only: bool) -> Self {
        Self {
            blocks: Mutex::new(blocks),
            sectors: AtomicU64::new(len / SECTOR_LEN as u64),
            is_read_only,
            is_failing: AtomicBool::new(false),
            is_stalled: AtomicBool::new(false),
            stalled: Mutex::new(Vec::new()),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            discarded_bytes: AtomicU64::new(0),
            changes: AtomicU64::new(0),
        }
    }

    pub fn grow(&self, len: u64) {
        self.sectors.store(len / SECTOR_LEN as u64, Ordering::SeqCst);
    }

    /// Answers what was held back, and everything from now on.
    pub fn go_on(&self) {
        self.is_stalled.store(false, Ordering::SeqCst);
        let held_back = std::mem::take(&mut *self.stalled.lock().unwrap());
        self.submit(held_back);
    }

    pub fn put(&self, start: u64, bytes: &[u8]) {
        self.write(start, bytes);
    }

    pub fn allocated(&self) -> u64 {
        (self.lock().len() * BLOCK_LEN) as u64
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Box<[u8]>>> {
        self.blocks.lock().unwrap()
    }

    fn read(&self, start: u64, buffer: &mut [u8]) {
        let blocks = self.lock();
        for (sector, into) in (start..).zip(buffer.chunks_exact_mut(SECTOR_LEN)) {
            match blocks.get(&(sector / SECTORS_PER_BLOCK as u64)) {
                Some(block) => into.copy_from_slice(&block[within(sector)..][..SECTOR_LEN]),
                None => into.fill(0),
            }
        }
    }

    fn write(&self, start: u64, bytes: &[u8]) {
        let mut blocks = self.lock();
        for (sector, from) in (start..).zip(bytes.chunks_exact(SECTOR_LEN)) {
            let block = blocks
                .entry(sector / SECTORS_PER_BLOCK as u64)
                .or_insert_with(|| vec![0; BLOCK_LEN].into_boxed_slice());
            block[within(sector)..][..SECTOR_LEN].copy_from_slice(from);
        }
    }

    fn carry_out(&self, op: Op) -> Result<Done, DiskError> {
        let capacity = self.geometry().sectors;
        if let Some(extent) = op.extent()
            && !extent.fits(capacity)
        {
            return Err(DiskError::OutOfBounds { extent, capacity });
        }
        if op.is_change() {
            self.changes.fetch_add(1, Ordering::SeqCst);
            if self.is_read_only {
                return Err(DiskError::ReadOnly);
            }
        }
        if self.is_failing.load(Ordering::SeqCst) {
            return Err(DiskError::Io { what: "carry out".into(), errno: 5 });
        }
        match op {
            Op::Read { start, mut buffer } => {
                self.reads.fetch_add(1, Ordering::SeqCst);
                self.read(start, &mut buffer);
                Ok(Done::Read(buffer))
            }
            Op::Write { mut start, data, durability } => {
                if durability == Durability::Stable {
                    self.flushes.fetch_add(1, Ordering::SeqCst);
                }
                self.writes.fetch_add(1, Ordering::SeqCst);
                for payload in data {
                    self.write(start, &payload);
                    start += payload.sectors();
                }
                Ok(Done::Written)
            }
            Op::Discard { extent, .. } => {
                self.discarded_bytes.fetch_add(extent.bytes(), Ordering::SeqCst);
                // As the contract allows, content stays where a block is not filled.
                let (first, end) = (extent.start.div_ceil(8), extent.end() / 8);
                self.lock().retain(|block, _| *block < first || *block >= end);
                Ok(Done::Discarded)
            }
            Op::WriteZeroes { extent, .. } => {
                let len = usize::try_from(extent.bytes()).unwrap();
                self.write(extent.start, &vec![0; len]);
                Ok(Done::Zeroed)
            }
            Op::Flush => {
                self.flushes.fetch_add(1, Ordering::SeqCst);
                Ok(Done::Flushed)
            }
            Op::Map { .. } => Ok(Done::Mapped(Vec::new())),
        }
    }
}

fn within(sector: u64) -> usize {
    usize::try_from(sector).unwrap() % SECTORS_PER_BLOCK * SECTOR_LEN
}

impl Disk for CountingDisk {
    fn geometry(&self) -> Geometry {
        Geometry {
            sectors: self.sectors.load(Ordering::SeqCst),
            physical_block_len: 4096,
            atomic_write_len: 512,
            is_read_only: self.is_read_only,
        }
    }

    fn submit(&self, batch: Vec<Request>) {
        if self.is_stalled.load(Ordering::SeqCst) {
            return self.stalled.lock().unwrap().extend(batch);
        }
        for Request { op, reply } in batch {
            reply.send(self.carry_out(op));
        }
    }
}

/// A directory to work in, with an attacher that works.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub attacher: Arc<dyn Attacher>,
}

/// All ways to attach to a kernel, with FUSE mounts below `dir`.
pub fn attachers(dir: &Path) -> [Arc<dyn Attacher>; 2] {
    attach::all(Arc::new(nbd_server::serve), dir.join("run"))
}

impl Place {
    /// A place for each way that this host has, and a loud line for each that it has not.
    pub fn all() -> Vec<Self> {
        let mut places = Vec::new();
        for index in 0..2 {
            let dir = tempfile::tempdir().unwrap();
            let attacher = Arc::clone(&attachers(dir.path())[index]);
            match attacher.availability() {
                Availability::Yes => places.push(Self { dir, attacher }),
                Availability::No(why) => missing(&format!("{:?}", attacher.kind()), &why),
            }
        }
        places
    }

    pub fn record(&self, name: &str) -> PathBuf {
        self.dir.path().join("records").join(format!("{name}.json"))
    }

    pub fn options(&self, name: &str, is_read_only: bool) -> AttachOptions {
        let record = self.record(name);
        AttachOptions { name: name.parse().unwrap(), is_read_only, record }
    }

    pub async fn attach(&self, name: &str, disk: &Arc<CountingDisk>) -> Attachment {
        let disk: AnyDisk = disk.clone();
        self.attacher.attach(disk, self.options(name, false)).await.unwrap()
    }

    pub fn mount_point(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A test that fails must not leave devices behind; one that ends well has none left.
impl Drop for Place {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.dir.path().join("records")).into_iter().flatten() {
            let Ok(record) = AttachRecord::load(&entry.unwrap().path()) else { continue };
            for device in record.device.iter().filter(|device| is_there(device, &record.token)) {
                let of_it = mount_table::of_device(device).unwrap_or_default();
                for dir in of_it {
                    let _ = Command::new("umount").arg("-l").arg(dir).status();
                }
                let [program, flag] = match record.kind {
                    Kind::KernelNbd => ["nbd-client", "-d"],
                    _ => ["losetup", "-d"],
                };
                let _ = Command::new(program).arg(flag).arg(device).status();
            }
            if let Some(dir) = record.fuse_dir {
                let _ = Command::new("umount").arg("-l").arg(dir).status();
            }
        }
    }
}

/// Whether a device is there with this token.
pub fn is_there(device: &Path, token: &str) -> bool {
    let name = device.file_name().unwrap();
    let backend = std::fs::read_to_string(Path::new("/sys/block").join(name).join("backend"));
    loop_device::is_backed_by(device, token) || backend.is_ok_and(|text| text.trim() == token)
}

/// Runs a shell command in a process of its own and gives what it printed.
pub async fn sh(command: &str) -> String {
    let command = command.to_owned();
    let done = tokio::task::spawn_blocking(move || {
        let out = Command::new("sh").arg("-ec").arg(&command).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let complained = String::from_utf8_lossy(&out.stderr).into_owned();
        (out.status.success(), format!("{said}{complained}"), command)
    });
    let (is_success, said, command) = done.await.unwrap();
    assert!(is_success, "{command}: {said}");
    said
}

/// Whether a program is there; says loudly what is not tested where it is not.
pub fn has(program: &str) -> bool {
    let found = Command::new("sh").arg("-c").arg(format!("command -v {program}")).output();
    let is_there = found.is_ok_and(|out| out.status.success());
    if !is_there {
        missing(program, "it is not installed");
    }
    is_there
}

/// Fails where `TIDEMARK_REQUIRE_ATTACH` names what is missing, and else says so.
fn missing(what: &str, why: &str) {
    let required = std::env::var("TIDEMARK_REQUIRE_ATTACH").unwrap_or_default();
    assert!(!required.split(',').any(|one| one == what), "{what}: {why}");
    eprintln!("SKIPPED, NOTHING WAS TESTED WITH {what}: {why}");
}

pub fn is_mounted(dir: &Path) -> bool {
    kernel_stubs::mount_table::on(dir).unwrap().is_some()
}

/// Waits, not for long, until `is_so`.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not happen");
}
