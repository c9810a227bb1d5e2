//! Seeds of the NBD door: what well-behaved clients send, after the two bytes that choose the terms.

use super::Seed;

const OPTIONS: &[(&str, u32)] = &[
    ("export-name", 1),
    ("abort", 2),
    ("list", 3),
    ("starttls", 5),
    ("info", 6),
    ("go", 7),
    ("structured-reply", 8),
    ("list-meta-context", 9),
    ("set-meta-context", 10),
    ("extended-headers", 11),
];
const COMMANDS: u16 = 8;

/// Seeds for negotiation and requests.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, option) in OPTIONS {
        let stream = [hello(), self::option(*option, &data_of(*option))].concat();
        seeds.push(seed("nbd_negotiation", name, (0, 255), &stream));
    }
    let whole = [
        hello(),
        option(8, &[]),
        option(11, &[]),
        option(10, &data_of(10)),
        option(7, &data_of(7)),
    ];
    seeds.push(seed("nbd_negotiation", "everything", (1, 20), &whole.concat()));
    let compact: Vec<u8> = (0..COMMANDS).flat_map(compact_request).collect();
    let extended: Vec<u8> = (0..COMMANDS).flat_map(extended_request).collect();
    for rule in [0, 2, 6, 8] {
        seeds.push(seed("nbd_requests", &format!("compact-{rule}"), (rule, 13), &compact));
        seeds.push(seed("nbd_requests", &format!("extended-{rule}"), (rule | 1, 255), &extended));
    }
    seeds
}

fn seed(target: &'static str, name: &str, (rule, step): (u8, u8), stream: &[u8]) -> Seed {
    Seed { target, name: name.to_owned(), bytes: [&[rule, step], stream].concat() }
}

/// The client's flags: fixed newstyle, no zeroes.
fn hello() -> Vec<u8> {
    vec![0, 0, 0, 3]
}

fn option(number: u32, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    [b"IHAVEOPT".as_slice(), &number.to_be_bytes(), &len.to_be_bytes(), data].concat()
}

/// Data that fits an option, about the export `v`.
fn data_of(option: u32) -> Vec<u8> {
    let text =
        |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    match option {
        1 => b"v".to_vec(),
        6 | 7 => [text("v"), vec![0, 3, 0, 1, 0, 2, 0, 3]].concat(),
        9 | 10 => {
            [text("v"), vec![0, 0, 0, 2], text("base:allocation"), text("tidemark:")].concat()
        }
        _ => Vec::new(),
    }
}

fn compact_request(command: u16) -> Vec<u8> {
    let mut request = [0x2560_9513u32.to_be_bytes(), [0; 4], [7; 4], [7; 4]].concat();
    request[6..8].copy_from_slice(&command.to_be_bytes());
    request.extend_from_slice(&4096u64.to_be_bytes());
    request.extend_from_slice(&600u32.to_be_bytes());
    request.resize(request.len() + payload_of(command), 0x5a);
    request
}

fn extended_request(command: u16) -> Vec<u8> {
    let mut request = [0x21e4_1c71u32.to_be_bytes(), [0; 4], [7; 4], [7; 4]].concat();
    let flags = u16::from(command == 1) << 5;
    request[4..6].copy_from_slice(&flags.to_be_bytes());
    request[6..8].copy_from_slice(&command.to_be_bytes());
    request.extend_from_slice(&4096u64.to_be_bytes());
    request.extend_from_slice(&600u64.to_be_bytes());
    request.resize(request.len() + payload_of(command), 0x5a);
    request
}

/// Only a write carries data.
fn payload_of(command: u16) -> usize {
    if command == 1 { 600 } else { 0 }
}
