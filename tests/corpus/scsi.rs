//! Seeds of the SCSI device server: what well-behaved initiators send.

use super::Seed;

/// Commands without data: a name and the front of the CDB.
const PLAIN: &[(&str, &[u8])] = &[
    ("inquiry", &[0x12, 0, 0, 0, 96]),
    ("inquiry-names", &[0x12, 1, 0x83, 0, 255]),
    ("inquiry-limits", &[0x12, 1, 0xb0, 0, 64]),
    ("report-luns", &[0xa0, 0, 2, 0, 0, 0, 0, 0, 1, 0]),
    ("read-capacity", &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32]),
    ("lba-status", &[0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64]),
    ("mode-sense", &[0x5a, 0x10, 0x3f, 0, 0, 0, 0, 0, 255]),
    ("read-10", &[0x28, 0, 0, 0, 0, 8, 0, 0, 8]),
    ("read-16", &[0x88, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8]),
    ("verify", &[0x2f, 0, 0, 0, 0, 8, 0, 0, 8]),
    ("synchronize", &[0x35]),
    ("reserve", &[0x16]),
    ("release", &[0x17]),
    ("start-stop", &[0x1b, 0, 0, 0, 3]),
    ("prevent", &[0x1e, 0, 0, 0, 1]),
    ("block-erase", &[0x48, 2]),
    ("keys", &[0x5e, 0, 0, 0, 0, 0, 0, 1, 0]),
    ("full-status", &[0x5e, 3, 0, 0, 0, 0, 0, 1, 0]),
    ("copy-parameters", &[0x84, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
    ("port-groups", &[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 1, 0]),
    ("operation-codes", &[0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 16, 0]),
];

/// Seeds for commands and for parameter lists.
pub fn seeds() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = PLAIN
        .iter()
        .map(|(name, cdb)| {
            let stream = [ready(), command(cdb, &[])].concat();
            seed("scsi_cdb", name, stream)
        })
        .collect();
    for (name, cdb, data) in with_data() {
        seeds.push(seed("scsi_cdb", name, [ready(), command(&cdb, &data)].concat()));
    }
    for (name, what, list) in lists() {
        seeds.push(seed("scsi_parameters", name, [vec![what], list].concat()));
    }
    seeds
}

fn seed(target: &'static str, name: &str, bytes: Vec<u8>) -> Seed {
    Seed { target, name: name.to_owned(), bytes }
}

/// Takes the first unit attention.
fn ready() -> Vec<u8> {
    command(&[0], &[])
}

fn command(cdb: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(cdb);
    bytes.resize(17, 0);
    let eighths = data.len().div_ceil(64);
    bytes.push(u8::try_from(eighths).unwrap());
    bytes.extend_from_slice(data);
    bytes.resize(18 + eighths * 64, 0);
    bytes
}

fn with_data() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let block = vec![0x5a; 512];
    let register = vec![0x5f, 6, 0, 0, 0, 0, 0, 0, 24];
    let mut compare = vec![0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    compare.resize(16, 0);
    vec![
        ("write-10", vec![0x2a, 0, 0, 0, 0, 8, 0, 0, 1], block.clone()),
        ("write-and-verify", vec![0x2e, 2, 0, 0, 0, 8, 0, 0, 1], block.clone()),
        ("verify-data", vec![0x2f, 2, 0, 0, 0, 8, 0, 0, 1], block.clone()),
        ("write-same", vec![0x41, 0, 0, 0, 0, 8, 0, 0, 9], block.clone()),
        ("or-write", vec![0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1], block.clone()),
        ("compare-and-write", compare, [vec![0; 512], block].concat()),
        ("unmap", vec![0x42, 0, 0, 0, 0, 0, 0, 0, 24], unmap()),
        ("register", register, reserve_list()),
        ("mode-select", vec![0x15, 0x10, 0, 0, 16], control()),
        ("copy", vec![0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 76], copy()),
    ]
}

fn unmap() -> Vec<u8> {
    vec![0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 0]
}

fn reserve_list() -> Vec<u8> {
    let mut list = vec![0; 24];
    list[15] = 7;
    list
}

fn control() -> Vec<u8> {
    vec![0, 0, 0, 0, 0x0a, 10, 0x06, 0x10, 0, 0, 0, 0, 0, 0, 0, 0]
}

fn copy() -> Vec<u8> {
    let mut list = vec![1, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0];
    list.extend_from_slice(&[0xe4, 0, 0, 0, 1, 3, 0, 16, 0x60]);
    list.resize(16 + 23, 0);
    list.push(1);
    list.resize(16 + 29, 0);
    list.extend_from_slice(&[0, 2, 0]);
    list.extend_from_slice(&[2, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 8]);
    list.resize(16 + 32 + 28, 0);
    list
}

/// The TransportID of an initiator port.
fn transport_id() -> Vec<u8> {
    let mut id = b"\x45\0\0\x28iqn.2026-11.dev:z,i,0x010203040506".to_vec();
    id.resize(44, 0);
    id
}

fn lists() -> Vec<(&'static str, u8, Vec<u8>)> {
    let mut with_ports = reserve_list();
    with_ports[20] = 0x08;
    let mut moving = reserve_list();
    moving[23] = 44;
    let kept = [
        &b"TMPR\x01\0\x05\0\0\0\x03\0\0\x01\0"[..],
        &[7, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 1, 0, b'i', 1, 0, 1, 0, b't'],
    ];
    vec![
        ("unmap", 0, unmap()),
        ("copy", 1, copy()),
        ("overwrite", 2, [&[1, 0, 0, 4][..], b"zero"].concat()),
        ("register", 3, reserve_list()),
        ("register-ports", 3, [with_ports, vec![0, 0, 0, 44], transport_id()].concat()),
        ("move", 3, [moving, transport_id()].concat()),
        ("kept", 4, kept.concat()),
        ("mode-long", 5, [&[0; 8][..], &control()[4..]].concat()),
        ("mode-short", 6, control()),
    ]
}
