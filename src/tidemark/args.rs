//! What can be typed: `tidemark [--state DIR] [--json] NOUN VERB ...`.

pub mod access;
pub mod alert;
pub mod capacity;
pub mod iscsi;
pub mod policy;

use std::path::PathBuf;

use base::name::{MarkRef, Name};
use base::size::ByteSize;
use base::span::Span;
use clap::{Args, Parser, Subcommand, ValueEnum};
use control::status::{DiskRef, Grade, MarksFullPolicy, StoreFullPolicy, SyncPolicy};

use crate::failure::EXIT_CODES;

/// Volumes whose every past moment can be looked at: the command line of a running appliance
#[derive(Parser, Debug)]
#[command(name = "tidemark", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// State directory of the daemon
    #[arg(
        long,
        global = true,
        env = "TIDEMARK_STATE",
        default_value = "./tidemark-data",
        value_name = "DIR"
    )]
    pub state: PathBuf,
    /// Print JSON with stable field names; lists are arrays
    #[arg(long, global = true)]
    pub json: bool,
    /// Do not ask before something is lost
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The nouns, and the verbs that need none.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// How the appliance is, and what needs a look
    Status,
    /// Volumes: live virtual disks
    #[command(subcommand)]
    Volume(VolumeCommand),
    /// Marks: points in time of a volume (snapshots)
    #[command(subcommand)]
    Mark(MarkCommand),
    /// Views: read-write disks made from marks
    #[command(subcommand)]
    View(ViewCommand),
    /// Groups: volumes that are marked at one instant
    #[command(subcommand)]
    Group(GroupCommand),
    /// Policies: when marks are taken, and which of them stay
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Capacity: what is taken, when it will be full, and what grows by itself
    #[command(subcommand)]
    Capacity(capacity::CapacityCommand),
    /// What clients did in the last seconds, and how long they waited
    Traffic {
        /// The volume; without one, all disks together
        volume: Option<Name>,
    },
    /// Make a volume what it was at a mark; what is there now gets a mark of its own first
    Rollback {
        /// The mark, as VOLUME@MARK
        mark: MarkRef,
        /// Return when the contents are copied, not when they are readable
        #[arg(long)]
        wait: bool,
    },
    /// Undo the last rollback of a volume
    Undo {
        /// The volume
        volume: Name,
        /// Return when the contents are copied, not when they are readable
        #[arg(long)]
        wait: bool,
    },
    /// Read a whole volume and its marks and compare them with their checksums
    Scrub {
        /// The volume
        volume: Name,
        /// Return at once; `job ls` shows how far it is
        #[arg(long)]
        no_wait: bool,
    },
    /// Make a block device of a volume, view or mark on the daemon's host, and mount it if asked to
    Attach(AttachArgs),
    /// Unmount and take away what `attach` made
    Detach {
        /// VOLUME, VIEW or VOLUME@MARK
        what: DiskRef,
    },
    /// What is attached to the daemon's host
    #[command(subcommand)]
    Attachment(AttachmentCommand),
    /// What NBD clients may open
    #[command(subcommand)]
    Export(ExportCommand),
    /// iSCSI targets: what initiators log in to
    #[command(subcommand)]
    Target(iscsi::TargetCommand),
    /// LUNs: disks under numbers of a target
    #[command(subcommand)]
    Lun(iscsi::LunCommand),
    /// Who may log in to a target
    #[command(subcommand)]
    Initiator(iscsi::InitiatorCommand),
    /// CHAP users and their secrets
    #[command(subcommand)]
    Chap(iscsi::ChapCommand),
    /// Where iSCSI listens, and the access states of port groups
    #[command(subcommand)]
    Portal(iscsi::PortalCommand),
    /// Clients that are connected
    #[command(subcommand)]
    Session(SessionCommand),
    /// Follow what changes, a line each, until the daemon ends
    Events,
    /// Work that takes long
    #[command(subcommand)]
    Job(JobCommand),
    /// Alerts: what a person must know, and by which ways they are told
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// Users: people who may come in over HTTPS
    #[command(subcommand)]
    User(access::UserCommand),
    /// Tokens: programs that may come in over HTTPS
    #[command(subcommand)]
    Token(access::TokenCommand),
    /// The audit log: what was done by whom
    #[command(subcommand)]
    Audit(access::AuditCommand),
    /// Who you are to the appliance, and what you may do
    Whoami,
    /// Read the on-disk structures of a pool whose daemon is stopped
    Inspect {
        /// State directory, or a pool's own directory; without one, that of --state
        path: Option<PathBuf>,
    },
    /// Look at what the daemon needs of this machine
    Doctor,
    /// The API, for programs
    #[command(subcommand)]
    Api(ApiCommand),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The smallest size of a volume that the command line takes for meant.
const VOLUME_SIZE_LEAST: ByteSize = ByteSize(1 << 20);

/// Verbs for volumes.
#[derive(Subcommand, Debug)]
pub enum VolumeCommand {
    /// Make a thin volume
    Create {
        /// Its name
        name: Name,
        /// Its size, such as 512M, 10G or 1.5T
        #[arg(long, short, value_parser = volume_size)]
        size: ByteSize,
    },
    /// Take an existing disk or image as a volume, in place
    Adopt {
        /// Its name
        name: Name,
        /// The disk or image
        path: PathBuf,
    },
    /// List disks of the daemon's host that could be adopted, or look at one
    Candidates {
        /// The disk or image
        path: Option<PathBuf>,
    },
    /// Bring an adopted disk up to date and let it go
    Release {
        /// The volume
        name: Name,
        /// End the sessions that have it open
        #[arg(long)]
        force: bool,
    },
    /// Make a volume larger, while it is in use
    Grow {
        /// The volume
        name: Name,
        /// Its new size
        #[arg(long, short, value_parser = volume_size)]
        size: ByteSize,
    },
    /// List volumes
    Ls,
    /// Show one volume
    Show {
        /// The volume
        name: Name,
    },
    /// Remove a volume with all its marks
    Rm {
        /// The volume
        name: Name,
        /// End the sessions that have it open
        #[arg(long)]
        force: bool,
    },
    /// Change a volume's settings
    Set(VolumeSet),
}

/// `volume set`
#[derive(Args, Debug)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("setting").required(true).multiple(true))]
pub struct VolumeSet {
    /// The volume
    pub name: Name,
    /// What an answered write survives
    #[arg(long, group = "setting")]
    pub sync: Option<SyncArg>,
    /// What happens at the 257th mark
    #[arg(long, group = "setting")]
    pub when_marks_full: Option<MarksFullArg>,
    /// What happens when there is no room left to preserve old blocks
    #[arg(long, group = "setting")]
    pub when_store_full: Option<StoreFullArg>,
}

/// Verbs for marks.
#[derive(Subcommand, Debug)]
pub enum MarkCommand {
    /// Take a mark; of several volumes at one instant
    Take {
        /// Volumes or views
        #[arg(required = true, value_delimiter = ',', value_name = "VOLUME[,VOLUME...]")]
        volumes: Vec<Name>,
        /// Its name; without one, the moment in UTC
        #[arg(long, short)]
        name: Option<Name>,
        /// How consistent you have made the volumes
        #[arg(long, default_value = "crash")]
        grade: GradeArg,
    },
    /// List a volume's marks
    Ls {
        /// The volume or view
        volume: Name,
    },
    /// Show one mark
    Show {
        /// The mark, as VOLUME@MARK
        mark: MarkRef,
    },
    /// Remove marks, wherever they are in the chain
    Rm {
        /// The marks, as VOLUME@MARK
        #[arg(required = true)]
        marks: Vec<MarkRef>,
        /// End the sessions that have them open
        #[arg(long)]
        force: bool,
        /// Remove nothing; show how much space that would give back, and what keeps them from going
        #[arg(long, conflicts_with = "force")]
        dry_run: bool,
    },
    /// Keep a mark from being thinned and removed, until it is released or for some time
    Hold {
        /// The mark, as VOLUME@MARK
        mark: MarkRef,
        /// For how long, such as 90s, 12h, 30d, 4w or 1y
        #[arg(long = "for", value_name = "SPAN", conflicts_with = "until")]
        span: Option<Span>,
        /// Until when, as 2027-03-01 or 2027-03-01T02:30
        #[arg(long, value_name = "MOMENT")]
        until: Option<String>,
    },
    /// Lock a mark for some time: nobody can remove it before, nor take the lock back
    Lock {
        /// The mark, as VOLUME@MARK
        mark: MarkRef,
        /// For how long from now, such as 12h, 30d, 4w or 1y
        #[arg(long = "for", value_name = "SPAN")]
        span: Span,
    },
    /// Let a held mark go again
    Release {
        /// The mark, as VOLUME@MARK
        mark: MarkRef,
    },
    /// Give a mark another name
    Rename {
        /// The mark, as VOLUME@MARK
        mark: MarkRef,
        /// Its new name
        to: Name,
    },
}

/// Verbs for views.
#[derive(Subcommand, Debug)]
pub enum ViewCommand {
    /// Make a read-write disk from a mark, at once
    Create {
        /// Its name
        #[arg(value_parser = view_name)]
        view: Name,
        /// The mark, as VOLUME@MARK
        of: MarkRef,
    },
    /// List views
    Ls,
    /// Show one view
    Show {
        /// The view
        #[arg(value_parser = view_name)]
        view: Name,
    },
    /// Drop a view and what was written to it
    Rm {
        /// The view
        #[arg(value_parser = view_name)]
        view: Name,
        /// End the sessions that have it open
        #[arg(long)]
        force: bool,
    },
    /// Make a view an independent volume, while it is in use
    Promote {
        /// The view
        #[arg(value_parser = view_name)]
        view: Name,
        /// Return when it is independent
        #[arg(long)]
        wait: bool,
    },
}

/// Verbs for groups.
#[derive(Subcommand, Debug)]
pub enum GroupCommand {
    /// Name a set of volumes
    Create {
        /// Its name
        name: Name,
        /// Its members
        #[arg(required = true, value_delimiter = ',', value_name = "VOLUME[,VOLUME...]")]
        volumes: Vec<Name>,
    },
    /// List groups
    Ls,
    /// Forget a group; its volumes and marks stay
    Rm {
        /// The group
        name: Name,
    },
    /// Take a mark of every member at one instant
    Mark {
        /// The group
        group: Name,
        /// The mark's name; without one, the moment in UTC
        #[arg(long, short)]
        name: Option<Name>,
        /// How consistent you have made the volumes
        #[arg(long, default_value = "crash")]
        grade: GradeArg,
    },
}

/// `attach`
#[derive(Args, Debug)]
pub struct AttachArgs {
    /// VOLUME, VIEW or VOLUME@MARK
    pub what: DiskRef,
    /// Mount its file system there; the directory is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub mount: Option<PathBuf>,
    /// Take no changes; marks never do
    #[arg(long)]
    pub read_only: bool,
    /// Mount this partition, counted from 1
    #[arg(long, value_name = "NUMBER", requires = "mount")]
    pub partition: Option<u32>,
}

/// Verbs for attachments.
#[derive(Subcommand, Debug)]
pub enum AttachmentCommand {
    /// List attachments
    Ls,
}

/// Verbs for the API.
#[derive(Subcommand, Debug)]
pub enum ApiCommand {
    /// Print its OpenAPI document; needs no daemon
    Openapi,
}

/// Verbs for exports.
#[derive(Subcommand, Debug)]
pub enum ExportCommand {
    /// List exports
    Ls,
}

/// Verbs for sessions.
#[derive(Subcommand, Debug)]
pub enum SessionCommand {
    /// List sessions
    Ls,
    /// End a session
    Kill {
        /// Its number
        id: u64,
    },
}

/// Verbs for jobs.
#[derive(Subcommand, Debug)]
pub enum JobCommand {
    /// List jobs
    Ls,
    /// Show one job and what came of it
    Show {
        /// Its number
        id: u64,
    },
    /// Tell a job to stop
    Cancel {
        /// Its number
        id: u64,
    },
}

/// How consistent a mark is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum GradeArg {
    /// As after a loss of power
    Crash,
    /// The file system is frozen
    Filesystem,
    /// The application is quiesced
    Application,
}

/// What an answered write survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum SyncArg {
    /// The end of the process; a flush makes it survive the loss of power
    Volatile,
    /// The loss of power
    Always,
}

/// What happens at the 257th mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum MarksFullArg {
    /// It is refused
    Refuse,
    /// The oldest mark that may go goes
    Thin,
}

/// What happens when there is no room left to preserve old blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum StoreFullArg {
    /// The oldest mark that may go goes; writes go on
    DropOldest,
    /// No mark goes; writes stall and are then refused
    ProtectMarks,
}

impl From<GradeArg> for Grade {
    fn from(arg: GradeArg) -> Self {
        match arg {
            GradeArg::Crash => Self::Crash,
            GradeArg::Filesystem => Self::Filesystem,
            GradeArg::Application => Self::Application,
        }
    }
}

impl From<SyncArg> for SyncPolicy {
    fn from(arg: SyncArg) -> Self {
        match arg {
            SyncArg::Volatile => Self::Volatile,
            SyncArg::Always => Self::Always,
        }
    }
}

impl From<MarksFullArg> for MarksFullPolicy {
    fn from(arg: MarksFullArg) -> Self {
        match arg {
            MarksFullArg::Refuse => Self::Refuse,
            MarksFullArg::Thin => Self::Thin,
        }
    }
}

impl From<StoreFullArg> for StoreFullPolicy {
    fn from(arg: StoreFullArg) -> Self {
        match arg {
            StoreFullArg::DropOldest => Self::DropOldest,
            StoreFullArg::ProtectMarks => Self::ProtectMarks,
        }
    }
}

/// A view's name, also as its export is called.
fn view_name(text: &str) -> Result<Name, base::name::BadName> {
    text.strip_prefix("view/").unwrap_or(text).parse()
}

/// A size that a volume may be meant to have: what forgets the unit is refused.
fn volume_size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|error: base::size::BadSize| error.to_string())?;
    if size < VOLUME_SIZE_LEAST {
        let least = VOLUME_SIZE_LEAST;
        return Err(format!("{size} is less than {least}; a size has a unit, such as 512M or 10G"));
    }
    Ok(size)
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
