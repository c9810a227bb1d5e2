//! The first minutes: a volume to begin with, and what to type next.

use base::name::Name;
use base::size::ByteSize;

use crate::appliance::Appliance;
use crate::config::ListenAddress;
use crate::error::ControlError;

/// The first volume's size: thin, so it takes no space until it is written.
const FIRST_VOLUME_LEN: ByteSize = ByteSize(4 << 30);
const FIRST_VOLUME_NAME: &str = "first";

/// A volume to show, and the door to reach it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Begun {
    /// The volume's name.
    pub volume: Name,
    /// Whether it was made now.
    pub is_new: bool,
    /// Its address for NBD clients, where a door is open.
    pub uri: Option<String>,
    /// Where iSCSI initiators come in, where that is open.
    pub portal: Option<String>,
}

impl Appliance {
    /// Makes a first volume where there is none.
    ///
    /// # Errors
    /// What the store says.
    ///
    /// # Panics
    /// Never: the first volume's name is a name.
    pub async fn begin(&self) -> Result<Begun, ControlError> {
        let volumes = self.pool().volumes();
        let (volume, is_new) = match volumes.first() {
            Some(volume) => (volume.name.clone(), false),
            None => {
                let name: Name = FIRST_VOLUME_NAME.parse().expect("a name");
                (self.create_volume(&name, FIRST_VOLUME_LEN).await?.name, true)
            }
        };
        let doors = self.status().doors;
        let of = |protocol| doors.iter().find(|door| door.protocol == protocol);
        let address = of("nbd").and_then(|door| door.address.parse().ok());
        let uri = address.map(|address| uri(&address, volume.as_str()));
        let portal = of("iscsi").map(|door| door.address.clone());
        Ok(Begun { volume, is_new, uri, portal })
    }
}

/// The address of an export in the form that NBD clients understand.
pub fn uri(door: &ListenAddress, export: &str) -> String {
    match door {
        ListenAddress::Tcp(address) => format!("nbd://{address}/{export}"),
        ListenAddress::Unix(path) => format!("nbd+unix:///{export}?socket={}", path.display()),
    }
}

/// What to type next, a line each, with `tidemark` as the way to call the command line.
pub fn next_steps(begun: &Begun, tidemark: &str) -> Vec<String> {
    let volume = &begun.volume;
    let mut lines = vec![match begun.is_new {
        true => format!(
            "Made a first volume, {volume}, of {FIRST_VOLUME_LEN}; it is thin and takes no space yet."
        ),
        false => format!("Serving the volumes that are there, {volume} among them."),
    }];
    if let Some(uri) = &begun.uri {
        lines.push(format!("NBD clients reach it at {uri}"));
    }
    if let Some(portal) = &begun.portal {
        lines.push(format!(
            "iSCSI initiators come in at {portal} and find nothing yet; to let one in:"
        ));
        lines.push(format!(
            "  {tidemark} target create {volume} && {tidemark} lun map {volume} {volume}"
        ));
        lines.push(format!(
            "  {tidemark} initiator allow {volume} IQN   # as in /etc/iscsi/initiatorname.iscsi"
        ));
    }
    lines.push("In another terminal:".into());
    let steps = [
        ("status", "how it is".to_owned()),
        (&format!("mark take {volume} --name before"), "remember this moment".into()),
        (&format!("view create look {volume}@before"), "a writable copy of it, at once".into()),
        (&format!("rollback {volume}@before"), "back to it; `undo` takes that back".into()),
        ("--help", "everything else".into()),
    ];
    let width = steps.iter().map(|(step, _)| step.len()).max().unwrap_or(0);
    lines.extend(steps.iter().map(|(step, why)| format!("  {tidemark} {step:width$}   # {why}")));
    lines.push("Ctrl-C stops it; everything stays.".into());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_steps_name_the_volume_and_its_address() {
        let door = "unix:/run/t/nbd.sock".parse().unwrap();
        let begun = Begun {
            volume: "mail".parse().unwrap(),
            is_new: true,
            uri: Some(uri(&door, "mail")),
            portal: Some("127.0.0.1:3260".into()),
        };
        let text = next_steps(&begun, "tidemark").join("\n");
        assert!(text.contains("nbd+unix:///mail?socket=/run/t/nbd.sock"), "{text}");
        assert!(text.contains("tidemark initiator allow mail IQN"), "{text}");
        assert!(text.contains("tidemark mark take mail --name before"), "{text}");
        let door = "127.0.0.1:10809".parse().unwrap();
        assert_eq!(uri(&door, "view/x"), "nbd://127.0.0.1:10809/view/x");
    }
}
