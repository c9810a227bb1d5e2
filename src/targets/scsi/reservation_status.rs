//! The reservations of a unit, for people to read.

use super::registrations::Registrant;
use super::unit::Reservations;

/// The reservations of a logical unit, for people to read.
#[derive(
    Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct ReservationStatus {
    /// The type of the persistent reservation that is held, in the words of the standard.
    pub kind: Option<String>,
    /// Who holds it: the initiator ports' names. Empty where all registrants do.
    pub holders: Vec<String>,
    /// All that are registered.
    pub registrations: Vec<RegistrationStatus>,
    /// The PRgeneration counter.
    pub generation: u32,
    /// Whether they are kept over a restart.
    pub is_kept: bool,
    /// Who holds the unit by RESERVE(6) or RESERVE(10).
    pub reserved_by: Option<String>,
}

/// One registration.
#[derive(
    Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct RegistrationStatus {
    /// The initiator port: its name, `,i,0x` and its ISID.
    pub initiator: String,
    /// The relative target port identifier that it came through.
    pub port: u16,
    /// The reservation key, as 16 hexadecimal digits.
    pub key: String,
}

/// What is to be told of these.
pub(super) fn of(all: &Reservations) -> ReservationStatus {
    let name = |who: &Registrant| who.initiator.port_name();
    let registry = &all.registry;
    let holding = registry.holding();
    ReservationStatus {
        kind: holding.map(|holding| holding.kind.name().to_owned()),
        holders: holding
            .and_then(|holding| holding.holder.as_ref())
            .map(name)
            .into_iter()
            .collect(),
        registrations: registry
            .registrations()
            .iter()
            .map(|registration| RegistrationStatus {
                initiator: name(&registration.who),
                port: registration.who.relative_id,
                key: format!("{:016x}", registration.key),
            })
            .collect(),
        generation: registry.generation,
        is_kept: registry.is_kept,
        reserved_by: all.reserved.as_ref().map(|reserved| reserved.name.clone()),
    }
}
