//! The contenders: servers that are started, marked and stopped here, and the bare disk beside them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Outcome;
use crate::client::{Client, Limit};
use crate::fio;
use crate::plan::Plan;
use crate::tgt::Tgt;
use crate::{cell, house};

/// Who stands in a row of the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// The file alone, without a server: `fio`, or this program where that cannot.
    Raw,
    /// A server with no disk behind it: what the protocol and the client allow.
    Null,
    /// Tidemark, a thin volume.
    Tidemark,
    /// nbdkit with its file plugin: through the page cache.
    NbdkitFile,
    /// qemu-nbd on the raw file, past the page cache.
    QemuNbd,
    /// qemu-nbd on a qcow2 overlay, which is how qemu marks from outside.
    Qcow2,
    /// tgt, over iSCSI only.
    Tgt,
}

impl Who {
    /// Everyone over NBD, in the order of a round: the floor and the ceiling right beside Tidemark.
    pub const ALL: [Self; 6] =
        [Self::Raw, Self::Null, Self::Tidemark, Self::NbdkitFile, Self::QemuNbd, Self::Qcow2];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Null => "null (nbdkit)",
            Self::Tidemark => "tidemark",
            Self::NbdkitFile => "nbdkit file †",
            Self::QemuNbd => "qemu-nbd raw",
            Self::Qcow2 => "qemu-nbd qcow2 overlay",
            Self::Tgt => "tgt",
        }
    }

    /// Whether it takes part in a cell over NBD: the peers without marks leave out the cells after one, while raw
    /// and null run them as if nothing had happened, since they are what the others are held against.
    pub fn runs(self, cell: &cell::Cell) -> bool {
        match self {
            Self::Raw | Self::Tidemark => true,
            Self::Null => cell.flush_every != 32,
            Self::NbdkitFile | Self::QemuNbd => !cell.is_marked,
            Self::Qcow2 => cell.is_marked,
            Self::Tgt => false,
        }
    }
}

/// Where contenders keep what they serve.
#[derive(Clone, Debug)]
pub struct Site {
    /// A folder on the disk to be measured.
    pub dir: PathBuf,
    /// The folder of Tidemark's programs.
    pub programs: PathBuf,
    /// Bytes of the volume.
    pub size: u64,
    /// Doors of Tidemark beside that for NBD, as its command line has them.
    pub doors: &'static [&'static str],
}

impl Site {
    /// The file that raw, nbdkit and qemu work on.
    pub fn file(&self) -> PathBuf {
        self.dir.join("base.img")
    }

    fn overlay(&self) -> PathBuf {
        self.dir.join("overlay.qcow2")
    }

    /// The state folder of Tidemark.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Runs Tidemark's command line; gives what it said.
    ///
    /// # Errors
    /// Where it fails.
    pub fn tidemark(&self, arguments: &[&str]) -> Outcome<String> {
        let mut command = Command::new(self.programs.join("tidemark"));
        command.arg("--state").arg(self.state()).args(arguments);
        house::said(command)
    }
}

/// A server that runs. Killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Who it is.
    pub who: Who,
    child: Option<Child>,
    socket: PathBuf,
    marks: u64,
    tgt: Option<Tgt>,
}

/// The name of Tidemark's volume.
pub const VOLUME: &str = "bench";
/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

impl Server {
    /// Starts a contender; Tidemark makes and fills its volume where that is not there yet.
    ///
    /// # Errors
    /// Where its program is missing or does not come up.
    pub async fn start(who: Who, site: &Site) -> Outcome<Self> {
        let server = Self::bare(who, site).await?;
        if who == Who::Tidemark && !site.tidemark(&["volume", "ls"])?.contains(VOLUME) {
            let size = site.size.to_string();
            site.tidemark(&["volume", "create", VOLUME, "--size", &size])?;
            server.fill().await?;
        }
        Ok(server)
    }

    /// Starts a contender as it is: Tidemark without a volume.
    ///
    /// # Errors
    /// Where its program is missing or does not come up.
    pub async fn bare(who: Who, site: &Site) -> Outcome<Self> {
        let tgt = if who == Who::Tgt { Some(Tgt::new()?) } else { None };
        let socket = tgt.map_or_else(|| site.dir.join(format!("{who:?}.sock")), Tgt::socket);
        let mut server = Self { who, child: None, socket, marks: 0, tgt };
        server.spawn(site).await?;
        Ok(server)
    }

    /// Starts its program, and waits until it listens.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn spawn(&mut self, site: &Site) -> Outcome<()> {
        let Some(mut command) = self.command(site)? else { return Ok(()) };
        let log = fs::File::create(self.log(site))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Whatever is left over of an earlier start would look like a server.
        let _ = fs::remove_file(&self.socket);
        let program = command.get_program().to_owned();
        let spawned = command.spawn();
        self.child = Some(spawned.map_err(|error| format!("{}: {error}", program.display()))?);
        for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
            if tokio::net::UnixStream::connect(&self.socket).await.is_ok() {
                return self.tgt.map_or(Ok(()), |tgt| tgt.serve(&site.file()));
            }
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                return Err(format!("{} did not start: {status}", self.who.name()).into());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("{} did not start in time", self.who.name()).into())
    }

    fn log(&self, site: &Site) -> PathBuf {
        site.dir.join(format!("{:?}.log", self.who))
    }

    /// Where it listens for iSCSI.
    ///
    /// # Errors
    /// Where it does not.
    pub fn iscsi(&self, site: &Site) -> Outcome<SocketAddr> {
        if let Some(tgt) = self.tgt {
            return Ok(tgt.address);
        }
        let said = fs::read_to_string(self.log(site))?;
        let address = said.lines().find_map(|line| line.split_once(" iscsi ")?.1.split(',').next());
        let address = address.ok_or_else(|| format!("{} has no door for iSCSI", self.who.name()));
        Ok(address?.trim().parse()?)
    }

    fn command(&self, site: &Site) -> Outcome<Option<Command>> {
        let qemu = |format: &str, file: &Path| {
            let mut command = Command::new("qemu-nbd");
            command.args(["--aio=io_uring", "--cache=none", "-t", "-e", "8", "-f", format, "-k"]);
            command.arg(&self.socket).arg(file);
            command
        };
        let nbdkit = |plugin: &str, argument: String| {
            let mut command = Command::new("nbdkit");
            command.arg("-f").arg("-U").arg(&self.socket).arg(plugin).arg(argument);
            command
        };
        Ok(Some(match self.who {
            Who::Raw => return Ok(None),
            Who::Null => nbdkit("null", site.size.to_string()),
            Who::NbdkitFile => nbdkit("file", site.file().display().to_string()),
            Who::QemuNbd => qemu("raw", &site.file()),
            Who::Qcow2 => {
                let mut create = Command::new("qemu-img");
                create.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
                house::said({
                    create.arg(site.file()).arg(site.overlay());
                    create
                })?;
                qemu("qcow2", &site.overlay())
            }
            Who::Tidemark => {
                let mut command = Command::new(site.programs.join("tidemarkd"));
                command.arg("--state").arg(site.state()).args(["--log", "warn", "--nbd"]);
                command.arg(format!("unix:{}", self.socket.display())).args(site.doors);
                command
            }
            Who::Tgt => match self.tgt {
                Some(tgt) => tgt.daemon(),
                None => return Ok(None),
            },
        }))
    }

    async fn fill(&self) -> Outcome<()> {
        let cell = cell::named("swrite")?;
        let mut client = self.connect().await?;
        let mut plan = Plan::new(*cell, client.size, 1);
        let requests = client.size / u64::from(cell.len);
        let limit = Limit::time(PATIENCE * 10).requests(requests);
        client.run(&mut plan, cell.depth, limit).await?;
        client.disconnect().await
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its process, where it has one.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Connects to what it serves.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn connect(&self) -> Outcome<Client> {
        let export = if self.who == Who::Tidemark { VOLUME } else { "" };
        self.connect_to(export).await
    }

    /// Connects to one of its exports.
    ///
    /// # Errors
    /// Where it has none of that name.
    pub async fn connect_to(&self, export: &str) -> Outcome<Client> {
        Client::connect(&self.socket, export).await
    }

    /// Takes a fresh mark, and drops the former one. Nothing happens where marks are unknown.
    ///
    /// # Errors
    /// Where the contender refuses.
    pub async fn mark(&mut self, site: &Site) -> Outcome<()> {
        match self.who {
            Who::Tidemark => {
                self.marks += 1;
                let mark = format!("bench-{}", self.marks);
                site.tidemark(&["mark", "take", VOLUME, "--name", &mark])?;
            }
            Who::Qcow2 => {
                self.stop().await?;
                self.spawn(site).await?;
            }
            Who::Raw | Who::Null | Who::NbdkitFile | Who::QemuNbd | Who::Tgt => {}
        }
        Ok(())
    }

    /// Drops the marks that were taken.
    ///
    /// # Errors
    /// Where Tidemark refuses.
    pub fn unmark(&mut self, site: &Site) -> Outcome<()> {
        while self.marks > 0 {
            site.tidemark(&["mark", "rm", &format!("{VOLUME}@bench-{}", self.marks)])?;
            self.marks -= 1;
        }
        Ok(())
    }

    /// Brings what lies in the page cache to the disk, and out of the cache.
    ///
    /// # Errors
    /// Where the file cannot be synced.
    pub fn sync(&self, site: &Site) -> Outcome<()> {
        if matches!(self.who, Who::NbdkitFile | Who::Tgt) {
            let mut command = Command::new("dd");
            command.args(["oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"]);
            command.arg("if=/dev/null").arg(format!("of={}", site.file().display()));
            house::said(command)?;
        }
        Ok(())
    }

    /// Kills it, as nobody should.
    ///
    /// # Errors
    /// Where it is gone already.
    pub fn kill(&mut self) -> Outcome<()> {
        let mut child = self.child.take().ok_or("there is nothing to kill")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Stops it as a service manager does.
    ///
    /// # Errors
    /// Where it does not end in time; it is killed then.
    pub async fn stop(&mut self) -> Outcome<()> {
        if let Some(tgt) = self.tgt {
            // It has nothing to lose, and does not end when a service manager tells it to.
            self.kill()?;
            tgt.forget();
            return Ok(());
        }
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
        for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        child.kill()?;
        child.wait()?;
        Err(format!("{} did not stop in time", self.who.name()).into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended long ago.
            let _ = child.kill();
            let _ = child.wait();
            self.tgt.into_iter().for_each(Tgt::forget);
        }
    }
}

/// Makes the file that the peers work on.
///
/// # Errors
/// Where it cannot be filled.
pub fn prepare(site: &Site) -> Outcome<()> {
    fio::fill(&site.file(), site.size)
}
