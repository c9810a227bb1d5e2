//! The same loads through libiscsi: a small C program, compiled where it is needed.
//!
//! It gets the requests on its standard input and gives every answer on its standard output. Checksums and
//! many sessions are left to the bench's own initiator.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::client::Limit;
use crate::initiator::Portal;
use crate::plan::{Kind, Plan, Request, Requests};
use crate::tally::Tally;
use crate::{Outcome, house};

const SOURCE: &str = include_str!("libiscsi.c");
/// Requests that are made beforehand at most; after the last one comes the first again.
const REQUESTS_MAX: u64 = 1 << 20;
const RECORD_LEN: usize = 16;
const END: u32 = 3;

/// The program, compiled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Libiscsi(PathBuf);

impl Libiscsi {
    /// Compiles it into a folder.
    ///
    /// # Errors
    /// Where there is no compiler or no libiscsi.
    pub fn compiled(folder: &Path) -> Outcome<Self> {
        let (source, program) = (folder.join("libiscsi.c"), folder.join("libiscsi-load"));
        std::fs::write(&source, SOURCE)?;
        let mut command = Command::new("cc");
        command.args(["-O2", "-o"]).arg(&program).arg(&source).arg("-liscsi");
        house::said(command)
            .map_err(|error| format!("needs a C compiler and libiscsi-dev: {error}"))?;
        Ok(Self(program))
    }

    /// Runs a load and tells how it went.
    ///
    /// # Errors
    /// Where the target answers with an error, or not at all.
    pub async fn run(
        &self,
        portal: &Portal,
        plan: &mut Plan,
        depth: usize,
        limit: Limit,
    ) -> Outcome<Tally> {
        let count = limit.requests.min(REQUESTS_MAX);
        let requests: Vec<u8> = (0..count).flat_map(|_| record(&plan.next())).collect();
        let mut command = tokio::process::Command::new(&self.0);
        command.arg(format!("iscsi://{}/{}/{}", portal.address, portal.target, portal.lun));
        command.arg(depth.to_string()).arg(limit.time.as_secs_f64().to_string());
        command.arg(limit.requests.to_string()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut input = child.stdin.take().ok_or("a program without an input")?;
        tokio::io::AsyncWriteExt::write_all(&mut input, &requests).await?;
        drop(input);
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(format!("libiscsi: {}: {}", output.status, complaint.trim()).into());
        }
        counted(&output.stdout)
    }
}

fn record(request: &Request) -> [u8; RECORD_LEN] {
    let kind: u32 = match request.kind {
        Kind::Read => 0,
        Kind::Write => 1,
        Kind::Flush => 2,
    };
    let mut record = [0; RECORD_LEN];
    record[..8].copy_from_slice(&request.offset.to_ne_bytes());
    record[8..12].copy_from_slice(&request.len.to_ne_bytes());
    record[12..].copy_from_slice(&kind.to_ne_bytes());
    record
}

fn counted(answers: &[u8]) -> Outcome<Tally> {
    let mut tally = Tally::default();
    for record in answers.chunks(RECORD_LEN) {
        let field = |at: usize| Outcome::Ok(u32::from_ne_bytes(record[at..at + 4].try_into()?));
        if record.len() < RECORD_LEN {
            return Err("an answer that is cut off".into());
        }
        let [kind, len, at_us, latency_us] = [field(0)?, field(4)?, field(8)?, field(12)?];
        let [at, latency] = [at_us, latency_us].map(|us| Duration::from_micros(us.into()));
        let kind = match kind {
            0 => Kind::Read,
            1 => Kind::Write,
            2 => Kind::Flush,
            END => {
                tally.elapsed = at;
                tally.issued = tally.requests;
                return Ok(tally);
            }
            _ => return Err("an answer to no request".into()),
        };
        tally.count(&Request { kind, offset: 0, len }, at, latency);
    }
    Err("the answers have no end".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(records: &[[u32; 4]]) -> Vec<u8> {
        records.iter().flatten().flat_map(|field| field.to_ne_bytes()).collect()
    }

    #[test]
    fn every_answer_is_counted_and_an_end_must_be_there() {
        let mut records =
            vec![[0, 4096, 10, 5], [1, 4096, 20, 15], [2, 0, 30, 25], [END, 0, 1_000_000, 0]];
        let tally = counted(&answers(&records)).unwrap();
        assert_eq!((tally.requests, tally.flushes, tally.bytes_written), (2, 1, 4096));
        assert_eq!(tally.rate(), 2.0);
        records.pop();
        assert!(counted(&answers(&records)).is_err());
        assert!(counted(&answers(&[[9, 0, 0, 0]])).is_err());
    }

    #[test]
    fn a_request_is_written_as_the_program_reads_it() {
        let request = Request { kind: Kind::Write, offset: 1 << 40, len: 4096 };
        let record = record(&request);
        assert_eq!(record[..8], (1_u64 << 40).to_ne_bytes());
        assert_eq!(record[8..], [4096_u32.to_ne_bytes(), 1_u32.to_ne_bytes()].concat());
    }
}
