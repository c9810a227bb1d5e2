//! tgt, the peer over iSCSI: its daemon, with the file as one logical unit and nothing at all as another.
//!
//! The file's backing store is `rdwr`, as Debian has it: through the page cache, writes are answered before
//! they are durable, and SYNCHRONIZE CACHE is an `fdatasync`. Its `aio` is left out: that answers
//! SYNCHRONIZE CACHE without flushing.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, house};

/// The name of its target.
pub const TARGET: &str = "iqn.2026-11.dev.tidemark.bench:peer";
/// The logical unit that is the file.
pub const FILE_LUN: u8 = 1;
/// The logical unit that keeps nothing.
pub const NULL_LUN: u8 = 2;

/// Where a daemon of tgt listens.
#[derive(Clone, Copy, Debug)]
pub struct Tgt {
    /// For initiators.
    pub address: SocketAddr,
}

impl Tgt {
    /// One that listens where nobody does yet.
    ///
    /// # Errors
    /// Where tgt is not installed, or there is no free port.
    pub fn new() -> Outcome<Self> {
        let mut version = Command::new("tgtd");
        version.arg("--version");
        house::said(version).map_err(|error| format!("needs the package tgt: {error}"))?;
        // tgt cannot be asked where it listens, so it is told a port that was free a moment ago.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Self { address })
    }

    /// What tells daemons apart: a number of fifteen bits.
    fn control(self) -> String {
        (self.address.port() / 2).to_string()
    }

    /// Where it takes orders.
    pub fn socket(self) -> PathBuf {
        PathBuf::from(format!("/var/run/tgtd/socket.{}", self.control()))
    }

    /// How to start it.
    pub fn daemon(self) -> Command {
        let mut command = Command::new("tgtd");
        command.args(["-f", "-C", &self.control(), "--iscsi"]);
        command.arg(format!("portal={}", self.address));
        command
    }

    /// Makes its logical units, once it takes orders.
    ///
    /// # Errors
    /// Where it refuses.
    pub fn serve(self, file: &Path) -> Outcome<()> {
        let (file, lun, null) = (file.display().to_string(), FILE_LUN, NULL_LUN);
        let unit = |lun: u8, kind: &str, path: &str| {
            let what =
                format!("--op new --mode logicalunit --tid 1 --lun {lun} --bstype {kind} -b");
            self.order(&what, path)
        };
        self.order("--op new --mode target --tid 1 -T", TARGET)?;
        for digest in ["HeaderDigest", "DataDigest"] {
            let what = format!("--op update --mode target --tid 1 -n {digest} -v");
            self.order(&what, "CRC32C,None")?;
        }
        unit(lun, "rdwr", &file)?;
        unit(null, "null", "/dev/null")?;
        self.order("--op bind --mode target --tid 1 -I", "ALL")
    }

    fn order(self, what: &str, argument: &str) -> Outcome<()> {
        let mut command = Command::new("tgtadm");
        command.args(["-C", &self.control(), "--lld", "iscsi"]);
        command.args(what.split(' ')).arg(argument);
        house::said(command).map(drop)
    }

    /// Removes what a daemon that was killed left behind.
    pub fn forget(self) {
        for end in ["", ".lock"] {
            // It may never have been there.
            let _ = std::fs::remove_file(format!("{}{end}", self.socket().display()));
        }
    }
}
