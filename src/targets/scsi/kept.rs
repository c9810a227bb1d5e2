//! The bytes in which persistent reservations outlive a restart.
//!
//! | field | bytes | what |
//! |---|---|---|
//! | magic | 4 | `TMPR` |
//! | version | 2 | 1 |
//! | generation | 4 | PRgeneration |
//! | kind | 1 | the type of the reservation, 0 for none |
//! | holder | 2 | the index of the holder's registration, 65535 for none or all |
//! | count | 2 | how many registrations follow |
//! | each: key | 8 | the reservation key |
//! | each: ISID | 6 | of the initiator port |
//! | each: initiator | 2 and more | its name, a text |
//! | each: relative identifier | 2 | of the target port |
//! | each: port | 2 and more | its name, a text |
//!
//! Nothing follows the last one. Who keeps the bytes guards them against rot.

use base::codec::{CodecError, Reader, Writer};

use super::limits::REGISTRATIONS_MAX;
use super::port::InitiatorPort;
use super::registrations::{Holding, Kind, Registrant, Registration, Registry};

const MAGIC: u32 = u32::from_le_bytes(*b"TMPR");
const VERSION: u16 = 1;
const NOBODY: u16 = u16::MAX;

/// The bytes of a registry that is kept.
pub(super) fn encode(registry: &Registry) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u32(MAGIC).u16(VERSION).u32(registry.generation);
    let holding = registry.holding.as_ref();
    writer.u8(holding.map_or(0, |holding| holding.kind as u8));
    let holder = holding.and_then(|holding| holding.holder.as_ref());
    let at = holder.and_then(|who| registry.registrations.iter().position(|r| r.who == *who));
    writer.u16(at.and_then(|at| u16::try_from(at).ok()).unwrap_or(NOBODY));
    writer.u16(u16::try_from(registry.registrations.len()).unwrap_or(0));
    for Registration { who, key } in &registry.registrations {
        writer.u64(*key).bytes(&who.initiator.isid).text(&who.initiator.name);
        writer.u16(who.relative_id).text(&who.port);
    }
    writer.into_bytes()
}

fn invalid(field: &'static str, value: impl Into<u64>) -> CodecError {
    CodecError::Invalid { field, value: value.into() }
}

/// The registry in such bytes.
///
/// # Errors
/// `Short` where they end too early, `Invalid` where a field cannot be so.
pub(super) fn decode(bytes: &[u8]) -> Result<Registry, CodecError> {
    let mut reader = Reader::new(bytes);
    let magic = reader.u32()?;
    if magic != MAGIC {
        return Err(invalid("magic", magic));
    }
    let version = reader.u16()?;
    if version != VERSION {
        return Err(invalid("version", version));
    }
    let generation = reader.u32()?;
    let (kind, holder, count) = (reader.u8()?, reader.u16()?, reader.u16()?);
    if usize::from(count) > REGISTRATIONS_MAX {
        return Err(invalid("count", count));
    }
    let mut registrations: Vec<Registration> = Vec::new();
    for _ in 0..count {
        let registration = registration(&mut reader)?;
        if registrations.iter().any(|known| known.who == registration.who) {
            return Err(invalid("registration", registration.key));
        }
        registrations.push(registration);
    }
    if reader.left() > 0 {
        return Err(invalid("rest", reader.left() as u64));
    }
    let holding = holding(kind, holder, &registrations)?;
    Ok(Registry { generation, is_kept: true, registrations, holding })
}

fn registration(reader: &mut Reader) -> Result<Registration, CodecError> {
    let key = reader.u64()?;
    if key == 0 {
        return Err(invalid("key", key));
    }
    let mut isid = [0; 6];
    isid.copy_from_slice(reader.bytes(6)?);
    let initiator = InitiatorPort { name: reader.text()?.to_owned(), isid };
    let relative_id = reader.u16()?;
    let port = reader.text()?.to_owned();
    Ok(Registration { who: Registrant { initiator, port, relative_id }, key })
}

fn holding(
    code: u8,
    holder: u16,
    registrations: &[Registration],
) -> Result<Option<Holding>, CodecError> {
    if code == 0 {
        return if holder == NOBODY { Ok(None) } else { Err(invalid("holder", holder)) };
    }
    let kind = Kind::of(code).ok_or_else(|| invalid("kind", code))?;
    let who = registrations.get(usize::from(holder)).map(|registration| registration.who.clone());
    let is_held = if kind.is_of_all() {
        holder == NOBODY && !registrations.is_empty()
    } else {
        who.is_some()
    };
    if is_held { Ok(Some(Holding { kind, holder: who })) } else { Err(invalid("holder", holder)) }
}
