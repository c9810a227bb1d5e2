//! PERSISTENT RESERVE IN: keys, the reservation, what is supported, everything.
//!
//! Source: SPC-4 6.15.

use super::command::Plan;
use super::judge::Asked;
use super::registrations::Registry;
use super::sense::Sense;

/// All types, as REPORT CAPABILITIES tells them.
const TYPE_MASK: [u8; 2] = [0xea, 0x01];

/// PERSISTENT RESERVE IN.
///
/// # Errors
/// None: the table lets only known service actions through.
#[expect(clippy::unnecessary_wraps, reason = "one signature for all commands")]
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let action = asked.cdb.byte(1) & 0x1f;
    Ok(Plan::answer(u64::from(asked.cdb.u16(7)), move |run| {
        let unit = &run.path.unit;
        Ok(unit.see_reservations(|all| match action {
            0 => keys(&all.registry),
            1 => reservation(&all.registry),
            2 => capabilities(&all.registry, unit.keeper.can_keep()),
            _ => full_status(&all.registry),
        }))
    }))
}

fn with_len(registry: &Registry, list: &[u8]) -> Vec<u8> {
    let mut bytes = registry.generation.to_be_bytes().to_vec();
    bytes.extend_from_slice(&u32::try_from(list.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(list);
    bytes
}

fn keys(registry: &Registry) -> Vec<u8> {
    let keys: Vec<u8> =
        registry.registrations().iter().flat_map(|known| known.key.to_be_bytes()).collect();
    with_len(registry, &keys)
}

fn reservation(registry: &Registry) -> Vec<u8> {
    let Some(holding) = registry.holding() else { return with_len(registry, &[]) };
    let key = holding.holder.as_ref().and_then(|holder| registry.key(holder)).unwrap_or(0);
    let mut list = key.to_be_bytes().to_vec();
    list.extend_from_slice(&[0, 0, 0, 0, 0, holding.kind as u8, 0, 0]);
    with_len(registry, &list)
}

fn capabilities(registry: &Registry, can_keep: bool) -> Vec<u8> {
    // SPEC_I_PT, ALL_TG_PT, and APTPL where it can be kept; then the mask is valid, ALLOW COMMANDS says
    // nothing, and APTPL is active.
    let second = 0x0c | u8::from(can_keep);
    let third = 0x80 | u8::from(registry.is_kept);
    vec![0, 8, second, third, TYPE_MASK[0], TYPE_MASK[1], 0, 0]
}

fn full_status(registry: &Registry) -> Vec<u8> {
    let mut list = Vec::new();
    for known in registry.registrations() {
        let is_holder = registry.is_holder(&known.who);
        let kind = registry.holding().filter(|_| is_holder).map_or(0, |holding| holding.kind as u8);
        let id = known.who.initiator.transport_id();
        list.extend_from_slice(&known.key.to_be_bytes());
        list.extend_from_slice(&[0, 0, 0, 0, u8::from(is_holder), kind, 0, 0, 0, 0]);
        list.extend_from_slice(&known.who.relative_id.to_be_bytes());
        list.extend_from_slice(&u32::try_from(id.len()).unwrap_or(0).to_be_bytes());
        list.extend_from_slice(&id);
    }
    with_len(registry, &list)
}
