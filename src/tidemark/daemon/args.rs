//! What `tidemarkd` takes.

use std::path::PathBuf;
use std::str::FromStr;

use base::size::ByteSize;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use control::config::{BadAddress, BadPortal, ListenAddress, Overrides, PortalAddress};
use control::inventory::ForgottenPool;

use super::demo::{Demo, LOG_LEVEL};
use crate::failure::EXIT_CODES;

/// Volumes whose every past moment can be looked at: the appliance
#[derive(Parser, Debug)]
#[command(name = "tidemarkd", version, after_help = EXIT_CODES)]
pub(super) struct DaemonArgs {
    /// State directory; made at the first start
    #[arg(long, env = "TIDEMARK_STATE", default_value = "./tidemark-data", value_name = "DIR")]
    pub state: PathBuf,
    /// Where the NBD door listens: HOST:PORT (port 0 takes a free one), unix:PATH, or none; may be
    /// given several times. Without it, what the configuration says, or 127.0.0.1:10809
    #[arg(long, value_name = "ADDRESS")]
    pub nbd: Vec<NbdArg>,
    /// Where the iSCSI door listens: HOST:PORT or HOST:PORT,GROUP (port 0 takes a free one; without a group,
    /// group 1), or none; may be given several times. Without it, what the configuration says, or
    /// 127.0.0.1:3260
    #[arg(long, value_name = "ADDRESS")]
    pub iscsi: Vec<IscsiArg>,
    /// Where the console and the API listen over HTTPS: HOST:PORT (port 0 takes a free one), or none; may be given
    /// several times. Without it, what the configuration says, or 127.0.0.1:8443
    #[arg(long, value_name = "ADDRESS")]
    pub api: Vec<String>,
    /// Size of a new pool's journal
    #[arg(long, value_name = "SIZE")]
    pub journal_size: Option<ByteSize>,
    /// Give up a pool that is gone or another one, with all its volumes: the daemon names it where it does not start
    /// for that reason. It begins with the pool that is there, or with a new one
    #[arg(long, value_name = "ID")]
    pub forget_pool: Option<ForgottenPool>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as info,store=debug
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// How it is logged
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Make and export a first volume if there is none, and print what to type next
    #[arg(long)]
    pub quickstart: bool,
    /// Show a throw-away appliance with a month of history and some load: on free ports of 127.0.0.1, with people to
    /// sign in as; removed at the end unless --state names where it stays
    #[arg(long, conflicts_with_all = ["nbd", "iscsi", "api", "quickstart", "journal_size", "forget_pool"])]
    pub demo: bool,
    /// The state directory where the command line names it, and not the environment.
    #[arg(skip)]
    pub named_state: Option<PathBuf>,
    /// Read the configuration, say what is wrong with it, and end
    #[arg(long)]
    pub check_config: bool,
}

/// How the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Text,
    /// For programs: an object a line
    Json,
}

/// An address, or none at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NbdArg {
    Nowhere,
    At(ListenAddress),
}

impl FromStr for NbdArg {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        match text {
            "none" => Ok(Self::Nowhere),
            _ => text.parse().map(Self::At),
        }
    }
}

/// A portal, or none at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum IscsiArg {
    Nowhere,
    At(PortalAddress),
}

impl FromStr for IscsiArg {
    type Err = BadPortal;

    fn from_str(text: &str) -> Result<Self, BadPortal> {
        match text {
            "none" => Ok(Self::Nowhere),
            _ => text.parse().map(Self::At),
        }
    }
}

impl DaemonArgs {
    /// What the program was called with. Ends it where that makes no sense.
    pub(super) fn from_command_line() -> Self {
        let matches = Self::command().get_matches();
        let mut args = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let is_named = matches.value_source("state") == Some(ValueSource::CommandLine);
        args.named_state = is_named.then(|| args.state.clone());
        args
    }

    /// What is laid over the configuration file.
    pub(super) fn overrides(&self) -> Overrides {
        if self.demo {
            let level = self.log.clone().or_else(|| Some(LOG_LEVEL.into()));
            return Overrides { log_level: level, ..Demo::overrides() };
        }
        let addresses = self.nbd.iter().filter_map(|arg| match arg {
            NbdArg::Nowhere => None,
            NbdArg::At(address) => Some(address.clone()),
        });
        let given = (!self.nbd.is_empty()).then(|| addresses.collect());
        let portals = self.iscsi.iter().filter_map(|arg| match arg {
            IscsiArg::Nowhere => None,
            IscsiArg::At(portal) => Some(portal.clone()),
        });
        Overrides {
            name: None,
            listen: given,
            iscsi_listen: (!self.iscsi.is_empty()).then(|| portals.collect()),
            api_listen: (!self.api.is_empty())
                .then(|| self.api.iter().filter(|at| *at != "none").cloned().collect()),
            is_quickstart: self.quickstart,
            journal_size: self.journal_size,
            forgotten_pool: self.forget_pool,
            log_level: self.log.clone(),
            is_port_flexible: self.quickstart && self.nbd.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<DaemonArgs, clap::Error> {
        DaemonArgs::try_parse_from(std::iter::once("tidemarkd").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        DaemonArgs::command().debug_assert();
    }

    #[test]
    fn addresses_may_be_given_several_times_or_refused_altogether() {
        let args = parse("--state /x --nbd 127.0.0.1:0 --nbd unix:/run/x").unwrap();
        assert_eq!(args.overrides().listen.unwrap().len(), 2);
        assert_eq!(parse("--nbd none").unwrap().overrides().listen, Some(Vec::new()));
        assert_eq!(parse("").unwrap().overrides().listen, None);
        let args = parse("--iscsi 127.0.0.1:0 --iscsi 127.0.0.1:0,2").unwrap();
        let portals = args.overrides().iscsi_listen.unwrap();
        assert_eq!(portals.iter().map(|portal| portal.group).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(parse("--iscsi none").unwrap().overrides().iscsi_listen, Some(Vec::new()));
        assert!(parse("--nbd 10809").unwrap_err().to_string().contains("HOST:PORT"));
    }

    #[test]
    fn a_demo_listens_on_free_ports_of_the_loopback_and_nowhere_else() {
        let overrides = parse("--demo").unwrap().overrides();
        let nbd = overrides.listen.unwrap().into_iter().map(|at| at.to_string());
        let iscsi = overrides.iscsi_listen.unwrap().into_iter().map(|portal| portal.address);
        let all: Vec<_> = nbd.chain(iscsi).chain(overrides.api_listen.unwrap()).collect();
        assert_eq!(all, vec!["127.0.0.1:0"; 4]);
        assert!(parse("--demo --api 0.0.0.0:443").is_err());
        assert!(parse("--demo --quickstart").is_err());
    }

    #[test]
    fn the_help_names_the_default_address() {
        let help = DaemonArgs::command().render_long_help().to_string();
        let default = format!("127.0.0.1:{}", control::config::NBD_PORT);
        assert!(help.contains(&default), "{help}");
    }
}
