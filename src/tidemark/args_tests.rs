//! What can be typed, and what cannot.

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("tidemark").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_calls_that_others_rely_on_are_understood() {
    for line in [
        "--state /x volume create mail --size 4G",
        "--state /x volume adopt mail /srv/mail.img",
        "--state /x volume release mail",
        "--state /x mark take mail,logs --name monday",
        "--state /x mark take mail --name monday",
        "--state /x mark rm mail@monday",
        "--state /x mark ls mail --json",
        "--state /x view create look mail@monday",
        "--state /x view rm look",
        "--state /x rollback mail@monday",
        "--state /x undo mail",
        "--state /x scrub mail",
        "--state /x status",
        "volume rm mail --yes --state /x",
        "attach mail@monday --mount /mnt/x",
        "detach view/look",
        "export ls",
        "alert channel add ops --secret-file s mail --host h --user u --from a@b.c --to d@e.f,g@h.i",
        "alert channel add hook --least critical webhook https://example.org/x --authority ca.pem",
        "alert channel set log --paused true --tcp log.example.org:601",
        "alert silence 3 --until 2027-03-01",
        "alert set --mark-age-factor 3 --repeat-hours 0",
        "target create mail --iqn iqn.2026-11.org.example:mail --auth chap --chap-md5 on",
        "target set mail --alias Mail",
        "target rm mail --force",
        "lun map mail mail@monday --lun 5 --only iqn.2026-11.org.example:a --only chap:anna",
        "lun map mail view/look --read-only --removable --block-size 4096",
        "lun unmap mail 0 --force",
        "lun ls",
        "lun set mail 3 --read-only on --only chap:anna",
        "lun set mail 3 --everyone",
        "attachment ls",
        "api openapi",
        "events --json",
        "initiator allow mail any",
        "initiator deny mail iqn.2026-11.org.example:a",
        "chap set mail anna --secret-file /x --mutual",
        "chap set --discovery anna",
        "chap rm mail anna",
        "chap ls mail",
        "chap ls --discovery",
        "portal set 2 non-optimized",
        "capacity show",
        "traffic",
        "traffic mail --json",
        "capacity history --days 7",
        "capacity history mail",
        "capacity set volume mail --grow-at 85% --by 10G --up-to 500G",
        "capacity unset volume mail",
        "capacity set preserved --limit 50G",
        "capacity set preserved --limit 50G --grow-at 85% --by 10G --up-to 200G",
        "capacity unset preserved",
    ] {
        let parsed = parse(line);
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error_that_names_it() {
    for (line, named) in [
        ("volume create mail", "--size"),
        ("volume create a/b --size 4G", "a/b"),
        ("volume create mail --size 4X", "4X"),
        ("volume create mail --size 10", "10G"),
        ("mark take", "VOLUME"),
        ("mark take mail,,logs", "name is needed"),
        ("mark rm mail", "VOLUME@MARK"),
        ("volume set mail", "--sync"),
        ("volume set mail --sync sometimes", "always"),
        ("attach mail --partition 1", "--mount"),
        ("target create mail --iqn mail", "iSCSI name"),
        ("target set mail", "--alias"),
        ("lun set mail 3", "--read-only"),
        ("lun set mail 3 --everyone --only chap:anna", "--only"),
        ("lun map mail mail --block-size 1024", "1024"),
        ("initiator allow mail all", "all"),
        ("chap set mail anna --secret opensesame", "--secret"),
        ("chap ls", "TARGET"),
        ("portal set 2 best", "best"),
        ("capacity set volume mail --grow-at 100% --by 1G --up-to 2G", "85%"),
        ("capacity set volume mail --grow-at 85% --by 1G", "--up-to"),
        ("capacity history --days 731", "731"),
        ("capacity set preserved --limit 50G --grow-at 85%", "--by"),
        ("capacity set preserved --limit 50G --by 1G", "--grow-at"),
        ("wat", "wat"),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(crate::failure::USAGE), "{line}");
        assert!(error.to_string().contains(named), "{line}: {error}");
    }
}

#[test]
fn several_volumes_may_be_named_with_commas_or_apart() {
    for line in ["mark take a,b,c", "mark take a b c", "mark take a,b c"] {
        let Command::Mark(MarkCommand::Take { volumes, name, .. }) = parse(line).unwrap().command
        else {
            panic!("{line}");
        };
        assert_eq!(volumes.len(), 3, "{line}");
        assert_eq!(name, None);
    }
}

#[test]
fn a_view_may_be_called_as_its_export_is() {
    for line in ["view rm look", "view rm view/look"] {
        let Command::View(ViewCommand::Rm { view, .. }) = parse(line).unwrap().command else {
            panic!("{line}");
        };
        assert_eq!(view.as_str(), "look");
    }
}

#[test]
fn every_operation_of_the_api_has_a_command_that_exists() {
    for operation in api::operations::OPERATIONS {
        if operation.command.is_empty() {
            assert!(operation.role.is_none(), "{operation:?}: only ways in may be without one");
            continue;
        }
        let mut command = Cli::command();
        let mut words = operation.command.split(' ').peekable();
        assert_eq!(words.next(), Some("tidemark"), "{operation:?}");
        while let Some(word) = words.next_if(|word| !word.starts_with("--")) {
            let found = command.find_subcommand(word).cloned();
            command = found.unwrap_or_else(|| panic!("{operation:?}: there is no {word}"));
        }
        assert!(!command.has_subcommands(), "{operation:?}: the verb is missing");
        for option in words {
            let name = option.trim_start_matches("--");
            let is_known = command.get_arguments().any(|one| one.get_long() == Some(name));
            assert!(is_known, "{operation:?}: there is no {option}");
        }
    }
}
