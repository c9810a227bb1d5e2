//! What an initiator may send: CDBs with data, and parameter lists.

use std::sync::Arc;

use base::id::Id;
use disk::{Buffer, DiskError, MemDisk};

use crate::scsi::{
    Audience, Begun, Buffers, Command, DataIn, DataOut, Identity, InitiatorPort, LogicalUnit,
    Mapping, Nexus, NoKeeper, PortGroups, Response, Status, Target, TargetPort, TaskAttribute,
    TaskManagement, UnitSettings, Work, parameters,
};

/// More data than any command may ask for.
const DATA_OUT_LEN_MAX: u64 = 16 << 20;
/// Commands of one input: what they leave behind meets what follows.
const COMMANDS_MAX: usize = 32;

struct Fresh;

impl Buffers for Fresh {
    fn buffer(&mut self, sectors: u64) -> Result<Buffer, DiskError> {
        Buffer::sectors_to_fill(sectors)
    }
}

/// Two nexuses to one target with three units: one ordinary, one of large blocks that can be taken out, one
/// without a disk.
fn nexuses() -> [Arc<Nexus>; 2] {
    let groups = PortGroups::new(vec![]);
    let target = Target::new("iqn.2026-11.dev.tidemark:t".to_owned(), groups);
    for (lun, logical_block_len) in [(0, 512), (1, 4096), (2, 512)] {
        let settings = UnitSettings {
            identity: Identity { id: Id(u128::from(lun) + 1), product: "volume".to_owned() },
            logical_block_len,
            is_removable: lun == 1,
        };
        let disk = (lun < 2).then(|| Arc::new(MemDisk::new(2048)) as disk::AnyDisk);
        let unit = LogicalUnit::new(settings, disk, Arc::new(NoKeeper));
        target.map(lun, Mapping { unit, is_read_only: false, audience: Audience::All });
    }
    [1, 2].map(|number| {
        let name = format!("iqn.2026-11.dev.tidemark:i{number}");
        let port = TargetPort::of(target.name(), u16::from(number));
        target.join(InitiatorPort { name, isid: [number; 6] }, None, port)
    })
}

/// Parameter lists and kept reservations: the first byte chooses what the rest is read as.
pub fn parameters(bytes: &[u8]) {
    let [nexus, _] = nexuses();
    parameters::read_any(&nexus, bytes);
}

/// Commands, one after the other. Of each: a byte that chooses the nexus, the unit and the attribute, 16 bytes
/// of CDB, a byte that says how much data follows, in eighths of sectors, and the data. Attributes of no
/// meaning are task management functions.
pub fn cdb(bytes: &[u8]) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return;
    };
    let nexuses = nexuses();
    let mut rest = bytes;
    for _ in 0..COMMANDS_MAX {
        let [choice, cdb @ ..] = rest else { break };
        let Some((cdb, after)) = cdb.split_at_checked(16) else { break };
        let [eighths, after @ ..] = after else { break };
        let (data, after) = after.split_at(after.len().min(usize::from(*eighths) * 64));
        rest = after;
        let nexus = &nexuses[usize::from(choice & 1)];
        let lun = u64::from(choice >> 1 & 3) << 48;
        let attribute = match choice >> 3 & 7 {
            0..=2 => TaskAttribute::Simple,
            3 => TaskAttribute::Ordered,
            4 => TaskAttribute::HeadOfQueue,
            5 => TaskAttribute::Aca,
            6 => {
                runtime.block_on(nexus.manage(TaskManagement::LunReset, lun));
                continue;
            }
            _ => {
                runtime.block_on(nexus.manage(TaskManagement::ClearTaskSet, lun));
                continue;
            }
        };
        match nexus.begin(lun, cdb, attribute) {
            Begun::Ended(response) => check(&response, 0),
            Begun::Ready(command) => runtime.block_on(run(command, data)),
        }
    }
}

/// # Panics
/// Where a command asks for too much, or answers with more than it said.
async fn run(command: Command, data: &[u8]) {
    let (wanted, allowed) = (command.data_out_len(), command.data_in_len());
    assert!(wanted <= DATA_OUT_LEN_MAX);
    let offered = data.len() as u64;
    let len = offered.min(wanted);
    let Some(mut came) = usize::try_from(len).ok().and_then(|len| data.get(..len)).map(Vec::from)
    else {
        return;
    };
    came.resize(came.len().next_multiple_of(512), 0);
    let Ok(buffer) = Buffer::copy_of(&came) else { return };
    let pieces = if came.is_empty() { vec![] } else { vec![buffer.freeze()] };
    let response = match command.start(DataOut { pieces, len, offered }, &mut Fresh) {
        Work::Ended(response) => response,
        Work::Task(task) => task.await,
        Work::Disk { disk, op, finish } => {
            let (reply, answer) = disk::Reply::one();
            disk.submit(vec![disk::Request { op, reply }]);
            finish.response(answer.await.unwrap_or(Err(DiskError::Closed)))
        }
    };
    check(&response, allowed);
}

fn check(response: &Response, allowed: u64) {
    assert!(response.data.len() as u64 <= allowed, "more data than was announced");
    assert_eq!(response.status == Status::CheckCondition, !response.sense.is_empty());
    if response.status != Status::Good {
        assert!(matches!(response.data, DataIn::None));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_may_be_sent_as_commands(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            super::cdb(&bytes);
        }

        #[test]
        fn known_commands_with_any_fields_are_survived(
            commands in proptest::collection::vec(
                (any::<u8>(), 0usize..70, proptest::collection::vec(any::<u8>(), 15), 0u8..20),
                1..6,
            ),
        ) {
            let codes = [
                0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x16, 0x17, 0x1a, 0x1b, 0x1d, 0x1e, 0x25, 0x28, 0x2a,
                0x2e, 0x2f, 0x34, 0x35, 0x37, 0x41, 0x42, 0x48, 0x4d, 0x55, 0x56, 0x57, 0x5a, 0x5e, 0x5f,
                0x83, 0x84, 0x88, 0x89, 0x8a, 0x8b, 0x8e, 0x8f, 0x90, 0x91, 0x93, 0x9c, 0x9e, 0xa0, 0xa3,
                0xa8, 0xaa, 0xae, 0xaf, 0xb7,
            ];
            let mut bytes = Vec::new();
            for (choice, code, fields, eighths) in commands {
                bytes.push(choice & 0x27);
                bytes.push(codes[code % codes.len()]);
                bytes.extend(fields.iter().map(|byte| byte & 0x1b));
                bytes.push(eighths);
                bytes.resize(bytes.len() + usize::from(eighths) * 64, 0x11);
            }
            super::cdb(&bytes);
        }

        #[test]
        fn any_bytes_may_be_sent_as_parameters(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            super::parameters(&bytes);
        }
    }
}
