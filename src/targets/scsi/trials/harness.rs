//! A target, two nexuses, and a hand that sends CDBs.

use std::sync::{Arc, Mutex};

use base::id::Id;
use disk::{AnyDisk, Buffer, DiskError, MemDisk, Reply, Request};

use crate::scsi::{
    AccessState, Audience, Begun, Buffers, Command, DataIn, DataOut, Identity, InitiatorPort,
    Keeper, Kept, LogicalUnit, Mapping, Nexus, NoKeeper, PortGroups, Response, Status, Target,
    TargetPort, TaskAttribute, UnitSettings, Work,
};

pub const SECTORS: u64 = 16 << 10;

pub struct Fresh;

impl Buffers for Fresh {
    fn buffer(&mut self, sectors: u64) -> Result<Buffer, DiskError> {
        Buffer::sectors_to_fill(sectors)
    }
}

/// A keeper in memory.
#[derive(Default)]
pub struct Memory {
    pub kept: Mutex<Option<Vec<u8>>>,
    pub fails: Mutex<bool>,
}

impl Keeper for Memory {
    fn can_keep(&self) -> bool {
        true
    }

    fn kept(&self) -> Option<Vec<u8>> {
        self.kept.lock().unwrap().clone()
    }

    fn keep(&self, bytes: Option<Vec<u8>>) -> Kept {
        let fails = *self.fails.lock().unwrap();
        if !fails {
            *self.kept.lock().unwrap() = bytes;
        }
        Box::pin(
            async move { if fails { Err(DiskError::NoSpace("a note".into())) } else { Ok(()) } },
        )
    }
}

pub struct Bench {
    pub disk: Arc<MemDisk>,
    pub unit: Arc<LogicalUnit>,
    pub target: Arc<Target>,
    pub groups: Arc<PortGroups>,
    pub a: Arc<Nexus>,
    pub b: Arc<Nexus>,
}

pub fn settings(logical_block_len: u32) -> UnitSettings {
    let identity =
        Identity { id: Id(0x1234_5678_9abc_def0 << 64 | 7), product: "volume".to_owned() };
    UnitSettings { identity, logical_block_len, is_removable: false }
}

pub fn bench() -> Bench {
    bench_of(settings(512), Arc::new(NoKeeper))
}

pub fn bench_of(settings: UnitSettings, keeper: Arc<dyn Keeper>) -> Bench {
    let disk = Arc::new(MemDisk::new(SECTORS));
    let any: AnyDisk = Arc::clone(&disk) as AnyDisk;
    let unit = LogicalUnit::new(settings, Some(any), keeper);
    let groups = PortGroups::new(vec![(1, AccessState::Optimized), (2, AccessState::Optimized)]);
    let target = Target::new("iqn.2026-11.dev.tidemark:t".to_owned(), Arc::clone(&groups));
    target.map(0, mapping(&unit));
    let (a, b) = (join(&target, "a", 1), join(&target, "b", 2));
    let bench = Bench { disk, unit, target, groups, a, b };
    for nexus in [&bench.a, &bench.b] {
        let told = begin(nexus, &[0; 6]).unwrap_err();
        assert_eq!(told_by(&told), (6, 0x29, 0));
    }
    bench
}

pub fn mapping(unit: &Arc<LogicalUnit>) -> Mapping {
    Mapping { unit: Arc::clone(unit), is_read_only: false, audience: Audience::All }
}

pub fn join(target: &Arc<Target>, name: &str, group: u16) -> Arc<Nexus> {
    let initiator = InitiatorPort { name: format!("iqn.2026-11.test:{name}"), isid: [9; 6] };
    target.join(initiator, None, TargetPort::of(target.name(), group))
}

pub fn begin_at(nexus: &Nexus, lun: u64, cdb: &[u8]) -> Result<Command, Response> {
    match nexus.begin(lun << 48, cdb, TaskAttribute::Simple) {
        Begun::Ready(command) => Ok(command),
        Begun::Ended(response) => Err(response),
    }
}

pub fn begin(nexus: &Nexus, cdb: &[u8]) -> Result<Command, Response> {
    begin_at(nexus, 0, cdb)
}

pub fn data_out(data: &[u8], wanted: u64) -> DataOut {
    let offered = data.len() as u64;
    let len = offered.min(wanted);
    let mut came = data[..usize::try_from(len).unwrap()].to_vec();
    came.resize(came.len().next_multiple_of(512), 0);
    let pieces = came.chunks(1024).map(|piece| Buffer::copy_of(piece).unwrap().freeze()).collect();
    DataOut { pieces, len, offered }
}

pub async fn finish(work: Work) -> Response {
    match work {
        Work::Ended(response) => response,
        Work::Task(task) => task.await,
        Work::Disk { disk, op, finish } => {
            let (reply, answer) = Reply::one();
            disk.submit(vec![Request { op, reply }]);
            finish.response(answer.await.unwrap_or(Err(DiskError::Closed)))
        }
    }
}

pub async fn send_at(nexus: &Nexus, lun: u64, cdb: &[u8], data: &[u8]) -> Response {
    match begin_at(nexus, lun, cdb) {
        Ok(command) => {
            let data = data_out(data, command.data_out_len());
            finish(command.start(data, &mut Fresh)).await
        }
        Err(response) => response,
    }
}

/// Sends a command with data, to LUN 0.
pub async fn send(nexus: &Nexus, cdb: &[u8], data: &[u8]) -> Response {
    send_at(nexus, 0, cdb, data).await
}

/// The same, where it must be done; what it answers.
pub async fn good(nexus: &Nexus, cdb: &[u8], data: &[u8]) -> Vec<u8> {
    let response = send(nexus, cdb, data).await;
    assert_eq!(response.status, Status::Good, "{cdb:02x?}: {:02x?}", response.sense);
    bytes(response)
}

pub fn bytes(response: Response) -> Vec<u8> {
    match response.data {
        DataIn::None => Vec::new(),
        DataIn::Bytes(bytes) => bytes,
        DataIn::Buffer { buffer, len } => buffer[..len].to_vec(),
    }
}

/// Sense key, additional sense code and qualifier, of fixed sense data.
pub fn told_by(response: &Response) -> (u8, u8, u8) {
    assert_eq!(response.status, Status::CheckCondition, "{response:?}");
    (response.sense[2], response.sense[12], response.sense[13])
}

/// The same, where a command must be refused.
pub async fn refused(nexus: &Nexus, cdb: &[u8], data: &[u8]) -> (u8, u8, u8) {
    told_by(&send(nexus, cdb, data).await)
}

pub async fn conflicts(nexus: &Nexus, cdb: &[u8], data: &[u8]) -> bool {
    send(nexus, cdb, data).await.status == Status::ReservationConflict
}

pub fn information(response: &Response) -> u32 {
    assert_eq!(response.sense[0] & 0x80, 0x80, "information is valid");
    u32::from_be_bytes(response.sense[3..7].try_into().unwrap())
}

/// A CDB of 16 bytes with an address and a count.
pub fn cdb16(code: u8, flags: u8, lba: u64, count: u32) -> Vec<u8> {
    let mut cdb = vec![code, flags];
    cdb.extend_from_slice(&lba.to_be_bytes());
    cdb.extend_from_slice(&count.to_be_bytes());
    cdb.extend_from_slice(&[0, 0]);
    cdb
}

/// A CDB of 10 bytes with an address and a count.
pub fn cdb10(code: u8, flags: u8, lba: u32, count: u16) -> Vec<u8> {
    let mut cdb = vec![code, flags];
    cdb.extend_from_slice(&lba.to_be_bytes());
    cdb.push(0);
    cdb.extend_from_slice(&count.to_be_bytes());
    cdb.push(0);
    cdb
}

pub const READY: [u8; 6] = [0; 6];
