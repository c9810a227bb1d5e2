//! Seeds of the start of a disk: what makes each kind known.

use super::Seed;

/// A file system's name, and what lies where.
type Marks<'a> = (&'a str, &'a [(usize, &'a [u8])]);

const KINDS: &[Marks<'_>] = &[
    ("ext4", &[(1024, &[1, 0, 0, 0, 1]), (1080, &[0x53, 0xef]), (1116, &[4, 0, 0, 0, 0x42])]),
    ("xfs", &[(0, b"XFSB\0\0\x10\0"), (32, &[9; 16])]),
    ("btrfs", &[(65536 + 0x30, &[0, 0, 1]), (65536 + 0x40, b"_BHRfS_M"), (65536 + 0x88, &[1])]),
    ("luks", &[(0, b"LUKS\xba\xbe")]),
    ("mbr", &[(446, &[0x80, 0, 0, 0, 0x83]), (454, &[8, 0, 0, 0, 64]), (510, &[0x55, 0xaa])]),
    (
        "gpt",
        &[
            (512, b"EFI PART\0\0\x01\0\x5c"),
            (512 + 24, &[1]),
            (512 + 72, &[2]),
            (512 + 80, &[4, 0, 0, 0, 128]),
        ],
    ),
];

/// Seeds for the one entry point.
pub fn seeds() -> Vec<Seed> {
    let seed = |(name, marks): &Marks<'_>| {
        let len = marks.iter().map(|(at, bytes)| at + bytes.len()).max().unwrap().max(2048);
        let mut head = vec![0; len];
        for (at, bytes) in *marks {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        let sectors = (1u32 << 20).to_le_bytes();
        Seed {
            target: "file_system",
            name: (*name).to_owned(),
            bytes: [&sectors, head.as_slice()].concat(),
        }
    };
    KINDS.iter().map(seed).collect()
}
