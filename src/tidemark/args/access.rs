//! What can be typed about who may come in, and what was done.

use std::path::PathBuf;

use base::name::Name;
use clap::Subcommand;
use control::Role;

/// Verbs for users.
#[derive(Subcommand, Debug)]
pub enum UserCommand {
    /// Make a user; the password is asked for at the terminal or read from a file
    Add {
        /// Their name
        name: Name,
        /// What they may do: viewer, helpdesk, operator or admin
        #[arg(long)]
        role: Role,
        /// Read the password from this file, which nobody else may read
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List users
    Ls,
    /// Change what a user may do, their password, or whether they may come in
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
    Set {
        /// Their name
        name: Name,
        /// What they may do: viewer, helpdesk, operator or admin
        #[arg(long, group = "change")]
        role: Option<Role>,
        /// Set another password, asked for at the terminal; ends their sessions
        #[arg(long, group = "change")]
        password: bool,
        /// Set another password, read from this file, which nobody else may read
        #[arg(long, value_name = "FILE", group = "change", conflicts_with = "password")]
        password_file: Option<PathBuf>,
        /// Keep them out; ends their sessions
        #[arg(long, group = "change", conflicts_with = "unlock")]
        lock: bool,
        /// Let them in again
        #[arg(long, group = "change")]
        unlock: bool,
    },
    /// Remove a user, with their sessions and tokens
    Rm {
        /// Their name
        name: Name,
    },
}

/// Verbs for tokens.
#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// Make a token for a program; it is shown this once
    Create {
        /// What it is for
        label: String,
        /// What it may do: viewer, helpdesk, operator or admin
        #[arg(long)]
        role: Role,
        /// After how many days it expires
        #[arg(long, default_value_t = 365)]
        days: u32,
    },
    /// List tokens, with when each was last used
    Ls,
    /// Remove a token, which opens nothing from then on
    Rm {
        /// Its number
        id: i64,
    },
}

/// Verbs for the audit log.
#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    /// What was done by whom, newest first
    Ls {
        /// How many entries
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Entries older than the one with this number
        #[arg(long)]
        before: Option<u64>,
    },
    /// Read the whole log and say whether anybody touched it; exit code 7 if so
    Verify,
}
