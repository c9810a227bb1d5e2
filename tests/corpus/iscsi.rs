//! Seeds of the iSCSI door: logins and sessions as well-behaved initiators have them.

use super::Seed;

const NONE: u32 = u32::MAX;

/// Seeds for PDUs, logins and sessions.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let plain =
        "InitiatorName=iqn.2026-11.org.example:i\0TargetName=iqn.2026-11.dev.tidemark:open\0";
    let offers = "HeaderDigest=CRC32C,None\0DataDigest=None\0MaxRecvDataSegmentLength=262144\0\
        InitialR2T=No\0ImmediateData=Yes\0MaxBurstLength=1048576\0FirstBurstLength=262144\0\
        MaxOutstandingR2T=4\0ErrorRecoveryLevel=2\0MaxConnections=1\0DefaultTime2Wait=0\0\
        TaskReporting=RFC3720\0iSCSIProtocolLevel=1\0OFMarker=No\0X-a.b=1\0";
    let discovery = "InitiatorName=iqn.2026-11.org.example:i\0SessionType=Discovery\0";
    let closed = "InitiatorName=iqn.2026-11.org.example:i\0TargetName=iqn.2026-11.dev.tidemark:closed\0\
        AuthMethod=CHAP,None\0";
    let chap = [
        login(0x81, closed),
        login(0x00, "CHAP_A=5,7,8\0"),
        login(0x81, "CHAP_N=mail\0CHAP_R=0x00112233\0CHAP_I=4\0CHAP_C=0bAQIDBA==\0"),
    ];
    let stages = [login(0x81, &format!("{plain}AuthMethod=None\0")), login(0x87, offers)];
    for (name, stream) in [
        ("one-request", login(0x87, &format!("{plain}{offers}"))),
        ("stages", stages.concat()),
        ("discovery", login(0x87, discovery)),
        ("in-parts", [login(0x44, plain), login(0x87, offers)].concat()),
        ("chap", chap.concat()),
    ] {
        seeds.push(Seed { target: "iscsi_login", name: name.to_owned(), bytes: stream });
    }
    let whole = session();
    for rule in [0, 2, 6, 16] {
        seeds.push(seed("iscsi_session", &format!("everything-{rule}"), (rule, 255), &whole));
    }
    seeds.push(seed("iscsi_pdu", "everything", (0, 255), &whole));
    seeds.push(seed("iscsi_pdu", "slowly", (0, 7), &whole));
    seeds
}

fn seed(target: &'static str, name: &str, (rule, step): (u8, u8), stream: &[u8]) -> Seed {
    Seed { target, name: name.to_owned(), bytes: [&[rule, step], stream].concat() }
}

/// A request of a login with these flags.
fn login(flags: u8, text: &str) -> Vec<u8> {
    pdu(0x43, flags, &[], text.as_bytes())
}

/// A PDU with these words from the initiator task tag on.
fn pdu(opcode: u8, flags: u8, words: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 48];
    (bytes[0], bytes[1]) = (opcode, flags);
    bytes[5..8].copy_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes()[1..]);
    for (number, word) in words.iter().enumerate() {
        bytes[16 + 4 * number..20 + 4 * number].copy_from_slice(&word.to_be_bytes());
    }
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A session with one of everything: the numbers are those that the entry point expects.
fn session() -> Vec<u8> {
    let data = [0x5a; 1024];
    [
        pdu(0x01, 0x80, &[1, 0, 0, 0], &[]),
        pdu(0x01, 0xa1, &[2, 1024, 1, 0, 0x2a00_0000, 0x0100_0002, 0], &data),
        pdu(0x01, 0xa1, &[3, 1024, 2, 0, 0x2a00_0000, 0x0100_0002, 0], &[]),
        pdu(0x05, 0x80, &[3, 1, 0, 0, 0, 0, 0], &data),
        pdu(0x01, 0xc1, &[4, 1024, 3, 0, 0x2800_0000, 0x0100_0002, 0], &[]),
        pdu(0x40, 0x80, &[5, NONE, 4], b"ping"),
        pdu(0x42, 0x81, &[6, 3, 4, 0, 2], &[]),
        pdu(0x42, 0x85, &[7, NONE, 4], &[]),
        pdu(0x44, 0x80, &[8, NONE, 4], b"SendTargets=\0"),
        pdu(0x06, 0x80, &[9, 0, 4], &[]),
    ]
    .concat()
}
