//! What can be typed about targets, LUNs, initiators, accounts and portals.

use std::path::PathBuf;

use base::name::Name;
use clap::{Args, Subcommand, ValueEnum};
use control::status::{AccessState, Auth, ChapUser, DiskRef, Initiator, IscsiName, Viewer};

/// Verbs for targets.
#[derive(Subcommand, Debug)]
pub enum TargetCommand {
    /// Make a target; it lets nobody in until `initiator allow`
    Create {
        /// Its name
        name: Name,
        /// Its iSCSI name; without one, iqn.2026-11.dev.tidemark:NAME
        #[arg(long)]
        iqn: Option<IscsiName>,
        /// What people call it
        #[arg(long, default_value = "")]
        alias: String,
        /// How initiators show who they are
        #[arg(long, default_value = "none")]
        auth: AuthArg,
        /// Whether CHAP with MD5 will do, which is all that some initiators know
        #[arg(long, default_value = "off")]
        chap_md5: Switch,
    },
    /// List targets
    Ls,
    /// Show one target
    Show {
        /// The target
        name: Name,
    },
    /// Change a target
    Set(TargetSet),
    /// Remove a target; its disks stay
    Rm {
        /// The target
        name: Name,
        /// End its sessions
        #[arg(long)]
        force: bool,
    },
}

/// `target set`
#[derive(Args, Debug)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("target setting").required(true).multiple(true))]
pub struct TargetSet {
    /// The target
    pub name: Name,
    /// What people call it
    #[arg(long, group = "target setting")]
    pub alias: Option<String>,
    /// How initiators show who they are
    #[arg(long, group = "target setting")]
    pub auth: Option<AuthArg>,
    /// Whether CHAP with MD5 will do
    #[arg(long, group = "target setting")]
    pub chap_md5: Option<Switch>,
}

/// Verbs for LUNs.
#[derive(Subcommand, Debug)]
pub enum LunCommand {
    /// Put a disk under a LUN of a target
    Map {
        /// The target
        target: Name,
        /// VOLUME, VOLUME@MARK or view/VIEW
        disk: DiskRef,
        /// Its number, 0 to 16383; without one, the lowest that is free
        #[arg(long)]
        lun: Option<u16>,
        /// Take no changes; marks never do
        #[arg(long)]
        read_only: bool,
        /// Look like a disk whose medium can be taken out
        #[arg(long)]
        removable: bool,
        /// Bytes of a logical block: 512 or 4096
        #[arg(long, default_value = "512", value_parser = block_size)]
        block_size: u32,
        /// Show it to this initiator only, or to CHAP user chap:USER; may be given several times
        #[arg(long, value_name = "INITIATOR")]
        only: Vec<Viewer>,
    },
    /// Change a LUN, while it is in use
    Set(LunSet),
    /// Take a disk away from under a LUN; the disk stays
    Unmap {
        /// The target
        target: Name,
        /// The LUN
        lun: u16,
        /// Even while sessions see it
        #[arg(long)]
        force: bool,
    },
    /// List LUNs
    Ls {
        /// The target; without one, all
        target: Option<Name>,
    },
}

/// `lun set`
#[derive(Args, Debug)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("LUN setting").required(true).multiple(true))]
pub struct LunSet {
    /// The target
    pub target: Name,
    /// The LUN
    pub lun: u16,
    /// Whether it takes no changes
    #[arg(long, group = "LUN setting")]
    pub read_only: Option<Switch>,
    /// Show it to this initiator only, or to CHAP user chap:USER; may be given several times
    #[arg(long, value_name = "INITIATOR", group = "LUN setting")]
    pub only: Vec<Viewer>,
    /// Show it to everyone who is let in
    #[arg(long, conflicts_with = "only", group = "LUN setting")]
    pub everyone: bool,
}

/// Verbs for initiators.
#[derive(Subcommand, Debug)]
pub enum InitiatorCommand {
    /// Let an initiator in
    Allow {
        /// The target
        target: Name,
        /// Its iSCSI name, or any
        #[arg(value_name = "IQN|any")]
        initiator: Initiator,
    },
    /// Let an initiator in no more, and end its sessions
    Deny {
        /// The target
        target: Name,
        /// Its iSCSI name, or any
        #[arg(value_name = "IQN|any")]
        initiator: Initiator,
    },
    /// List who is let in
    Ls {
        /// The target; without one, all
        target: Option<Name>,
    },
}

/// Of which target an account is: `TARGET USER`, or `--discovery USER`.
#[derive(Args, Debug)]
pub struct ChapOf {
    /// The target and the user; the user alone with --discovery
    #[arg(required = true, num_args = 1..=2, value_names = ["TARGET", "USER"])]
    pub names: Vec<String>,
    /// The account is for discovery
    #[arg(long)]
    pub discovery: bool,
}

/// Verbs for CHAP accounts.
#[derive(Subcommand, Debug)]
pub enum ChapCommand {
    /// Set the secret of a user, asked for at the terminal or read from a file
    Set {
        /// Whose
        #[command(flatten)]
        of: ChapOf,
        /// Read the secret from this file, which nobody else may read
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// It is the target's own name and secret, for initiators that ask who it is
        #[arg(long)]
        mutual: bool,
    },
    /// Remove a user, and end its sessions
    Rm {
        /// Whose
        #[command(flatten)]
        of: ChapOf,
    },
    /// List users; secrets are never shown
    Ls {
        /// The target
        #[arg(required_unless_present = "discovery", conflicts_with = "discovery")]
        target: Option<Name>,
        /// Users for discovery
        #[arg(long)]
        discovery: bool,
    },
}

/// Verbs for portals.
#[derive(Subcommand, Debug)]
pub enum PortalCommand {
    /// List portals, their groups and states
    Ls,
    /// Set the access state of a port group
    Set {
        /// The port group
        group: u16,
        /// Its state, which multipath initiators follow
        #[arg(value_name = "STATE")]
        access: StateArg,
    },
}

/// How initiators show who they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum AuthArg {
    /// By their name alone
    None,
    /// By CHAP
    Chap,
}

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Switch {
    /// It is so
    On,
    /// It is not
    Off,
}

/// The access state of a port group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum StateArg {
    /// The best way
    Optimized,
    /// A way that works
    NonOptimized,
    /// A way that waits to be needed
    Standby,
    /// No way now
    Unavailable,
    /// Gone
    Offline,
    /// Changing
    Transitioning,
}

impl From<AuthArg> for Auth {
    fn from(arg: AuthArg) -> Self {
        match arg {
            AuthArg::None => Self::None,
            AuthArg::Chap => Self::Chap,
        }
    }
}

impl From<Switch> for bool {
    fn from(arg: Switch) -> Self {
        arg == Switch::On
    }
}

impl From<StateArg> for AccessState {
    fn from(arg: StateArg) -> Self {
        match arg {
            StateArg::Optimized => Self::Optimized,
            StateArg::NonOptimized => Self::NonOptimized,
            StateArg::Standby => Self::Standby,
            StateArg::Unavailable => Self::Unavailable,
            StateArg::Offline => Self::Offline,
            StateArg::Transitioning => Self::Transitioning,
        }
    }
}

impl ChapOf {
    /// The target, none for discovery, and the user.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn resolve(&self) -> Result<(Option<Name>, ChapUser), String> {
        let user = |text: &str| text.parse::<ChapUser>().map_err(|error| error.to_string());
        match (self.discovery, self.names.as_slice()) {
            (true, [name]) => Ok((None, user(name)?)),
            (false, [target, name]) => {
                let target = target.parse().map_err(|error| format!("{error}"))?;
                Ok((Some(target), user(name)?))
            }
            (true, _) => Err("with --discovery, name the user alone".into()),
            (false, _) => Err("name the target and the user, or the user and --discovery".into()),
        }
    }
}

fn block_size(text: &str) -> Result<u32, String> {
    match text {
        "512" => Ok(512),
        "4096" => Ok(4096),
        other => Err(format!("{other:?} is no block size: it is 512 or 4096")),
    }
}
