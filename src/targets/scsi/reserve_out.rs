//! PERSISTENT RESERVE OUT: reads the parameter list, has the registry changed, keeps it, tells the others.
//!
//! Changes of one unit follow one another: the next begins when the last one has been kept. Nothing is
//! answered before it is durable, where it is to outlive a restart.
//!
//! Source: SPC-4 6.16.

use std::sync::Arc;

use super::attention::Attention;
use super::command::{Other, Plan, Run};
use super::judge::Asked;
use super::kept;
use super::limits::RESERVE_LIST_LEN_MAX;
use super::path::{Ends, Path};
use super::port::{InitiatorPort, TargetPort};
use super::registrations::{Effects, Kind, Leaving, Registrant, Registry, Unchanged};
use super::response::{Response, Status};
use super::sense::{Key, Sense};
use super::unit::LogicalUnit;

const LIST_LEN: u32 = 24;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Register,
    Reserve,
    Release,
    Clear,
    Preempt,
    PreemptAndAbort,
    RegisterAndIgnore,
    RegisterAndMove,
}

impl Action {
    const fn of(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Register,
            1 => Self::Reserve,
            2 => Self::Release,
            3 => Self::Clear,
            4 => Self::Preempt,
            5 => Self::PreemptAndAbort,
            6 => Self::RegisterAndIgnore,
            7 => Self::RegisterAndMove,
            _ => return None,
        })
    }

    const fn has_kind(self) -> bool {
        matches!(self, Self::Reserve | Self::Release | Self::Preempt | Self::PreemptAndAbort)
    }
}

/// What a parameter list asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Wish {
    key: u64,
    service_key: u64,
    is_kept: bool,
    is_for_all_ports: bool,
    others: Vec<InitiatorPort>,
    to: Option<(InitiatorPort, u16)>,
    leaving: Leaving,
}

/// PERSISTENT RESERVE OUT.
///
/// # Errors
/// INVALID FIELD IN CDB for a type or scope that is not there, PARAMETER LIST LENGTH ERROR for a list that
/// cannot be right.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let action = Action::of(asked.cdb.byte(1) & 0x1f).ok_or_else(|| Sense::cdb_bit(1, 4))?;
    let (scope, kind) = (asked.cdb.byte(2) >> 4, Kind::of(asked.cdb.byte(2) & 0x0f));
    if action.has_kind() && scope != 0 {
        return Err(Sense::cdb_bit(2, 7));
    }
    if action.has_kind() && kind.is_none() {
        return Err(Sense::cdb_bit(2, 3));
    }
    let kind = kind.unwrap_or(Kind::WriteExclusive);
    let len = asked.cdb.u32(5);
    if !(LIST_LEN..=RESERVE_LIST_LEN_MAX).contains(&len) {
        return Err(Sense::list_len());
    }
    let data_out = u64::from(len);
    let run =
        Box::new(move |run: Run| run.answering(move |run| carry_out(run, action, kind, data_out)));
    Ok(Plan::Other(Other { data_out, data_in: 0, run }))
}

async fn carry_out(run: Run, action: Action, kind: Kind, len: u64) -> Response {
    let path = &run.path;
    let wish = match run.list(len).and_then(|list| decode(action, &list)) {
        Ok(wish) => wish,
        Err(sense) => return path.refuse(sense),
    };
    match change(path, action, kind, &wish).await {
        Ok(effects) => {
            take_effect(path, action, &effects).await;
            Response::good()
        }
        Err(Unchanged::Conflict) => Response::of(Status::ReservationConflict),
        Err(Unchanged::Sense(sense)) => path.refuse(sense),
    }
}

async fn change(
    path: &Arc<Path>,
    action: Action,
    kind: Kind,
    wish: &Wish,
) -> Result<Effects, Unchanged> {
    let unit = &path.unit;
    let _gate = unit.gate.lock().await;
    let (was_reserved, before) =
        unit.see_reservations(|all| (all.reserved.is_some(), all.registry.clone()));
    if was_reserved {
        return Err(Unchanged::Conflict);
    }
    let mut registry = before.clone();
    let effects = apply(&mut registry, &path.ends, (action, kind), wish)?;
    let registers =
        matches!(action, Action::Register | Action::RegisterAndIgnore | Action::RegisterAndMove);
    // Who goes away says nothing about those who stay.
    if registers && wish.service_key != 0 {
        if wish.is_kept && !unit.keeper.can_keep() {
            return Err(Sense::list_byte(20).into());
        }
        registry.is_kept = wish.is_kept;
    }
    if registry != before {
        keep(unit, &before, &registry).await?;
    }
    unit.change_reservations(|all| all.registry = registry);
    Ok(effects)
}

/// Makes what is to outlive a restart durable.
async fn keep(unit: &LogicalUnit, before: &Registry, now: &Registry) -> Result<(), Unchanged> {
    let is_worth = now.is_kept && !now.registrations().is_empty();
    if !is_worth && !before.is_kept {
        return Ok(());
    }
    let bytes = is_worth.then(|| kept::encode(now));
    unit.keeper.keep(bytes).await.map_err(|error| {
        tracing::error!(unit = %unit.settings().identity.id, %error, "keep reservations");
        Unchanged::Sense(Sense::new(Key::HardwareError, 0x44, 0))
    })
}

fn apply(
    registry: &mut Registry,
    ends: &Ends,
    (action, kind): (Action, Kind),
    wish: &Wish,
) -> Result<Effects, Unchanged> {
    let who = Registrant::of(ends);
    let keys = (wish.key, wish.service_key);
    match action {
        Action::Register => {
            if !wish.others.is_empty() && registry.is_registered(&who) {
                return Err(Sense::list_byte(20).into());
            }
            registry.register(&who, (Some(wish.key), wish.service_key), &others(ends, wish))
        }
        Action::RegisterAndIgnore => {
            registry.register(&who, (None, wish.service_key), &others(ends, wish))
        }
        Action::Reserve => registry.reserve(&who, wish.key, kind),
        Action::Release => registry.release(&who, wish.key, kind),
        Action::Clear => registry.clear(&who, wish.key),
        Action::Preempt | Action::PreemptAndAbort => registry.preempt(&who, keys, kind),
        Action::RegisterAndMove => {
            let Some((initiator, relative_id)) = &wish.to else {
                return Err(Sense::list_byte(24).into());
            };
            if !ports(ends).contains(relative_id) {
                return Err(Sense::list_byte(18).into());
            }
            let to = at(ends, initiator.clone(), *relative_id);
            registry.register_and_move(&who, keys, &to, wish.leaving)
        }
    }
}

/// The relative identifiers of all ports of the target.
fn ports(ends: &Ends) -> Vec<u16> {
    let mut ports: Vec<u16> = ends.groups.list().iter().map(|(group, _)| *group).collect();
    if !ports.contains(&ends.port.relative_id) {
        ports.push(ends.port.relative_id);
    }
    ports
}

fn at(ends: &Ends, initiator: InitiatorPort, relative_id: u16) -> Registrant {
    let port = if relative_id == ends.port.relative_id {
        ends.port.name.clone()
    } else {
        TargetPort::of(&ends.target, relative_id).name
    };
    Registrant { initiator, port, relative_id }
}

/// All that are registered with the one that asks: other initiator ports, other target ports.
fn others(ends: &Ends, wish: &Wish) -> Vec<Registrant> {
    let own = ends.port.relative_id;
    let ports = if wish.is_for_all_ports { ports(ends) } else { vec![own] };
    let initiators = wish.others.iter().chain([&ends.initiator]);
    let all = initiators
        .flat_map(|initiator| ports.iter().map(|port| at(ends, initiator.clone(), *port)));
    let who = Registrant::of(ends);
    all.filter(|other| *other != who).collect()
}

fn decode(action: Action, list: &[u8]) -> Result<Wish, Sense> {
    let u64_at = |at: usize| list[at..at + 8].iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let mut wish = Wish {
        key: u64_at(0),
        service_key: u64_at(8),
        is_kept: list[20] & 0x01 != 0,
        is_for_all_ports: list[20] & 0x04 != 0,
        others: Vec::new(),
        to: None,
        leaving: Leaving::Stays,
    };
    if action == Action::RegisterAndMove {
        wish.is_kept = list[17] & 0x01 != 0;
        wish.is_for_all_ports = false;
        if list[17] & 0x02 != 0 {
            wish.leaving = Leaving::Unregisters;
        }
        let relative_id = u16::from_be_bytes([list[18], list[19]]);
        let (initiator, len) =
            InitiatorPort::of_transport_id(&list[24..]).ok_or_else(|| Sense::list_byte(24))?;
        if u32_at(list, 20) != u64::try_from(len).unwrap_or(u64::MAX) || list.len() != 24 + len {
            return Err(Sense::list_len());
        }
        wish.to = Some((initiator, relative_id));
        return Ok(wish);
    }
    let registers = matches!(action, Action::Register | Action::RegisterAndIgnore);
    if list[20] & 0x08 == 0 {
        return if list.len() == 24 { Ok(wish) } else { Err(Sense::list_len()) };
    }
    if action != Action::Register {
        return if registers || list.len() != 24 { Err(Sense::list_byte(20)) } else { Ok(wish) };
    }
    wish.others = transport_ids(list)?;
    Ok(wish)
}

fn u32_at(list: &[u8], at: usize) -> u64 {
    list[at..at + 4].iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// The TransportIDs of a REGISTER with SPEC_I_PT.
fn transport_ids(list: &[u8]) -> Result<Vec<InitiatorPort>, Sense> {
    let Some(mut rest) = list.get(28..) else { return Err(Sense::list_len()) };
    if u32_at(list, 24) != rest.len() as u64 {
        return Err(Sense::list_len());
    }
    let mut all = Vec::new();
    while !rest.is_empty() {
        let at = list.len() - rest.len();
        let (initiator, len) =
            InitiatorPort::of_transport_id(rest).ok_or_else(|| Sense::list_byte(at))?;
        all.push(initiator);
        rest = &rest[len..];
    }
    Ok(all)
}

/// Tells those whom it concerns, and aborts the commands of those who were preempted.
async fn take_effect(own: &Arc<Path>, action: Action, effects: &Effects) {
    let paths = own.unit.paths();
    let of = |who: &Registrant| {
        let who = who.clone();
        paths.iter().filter(move |path| Registrant::of(&path.ends) == who)
    };
    let mut settling = Vec::new();
    if action == Action::PreemptAndAbort {
        for path in effects.preempted.iter().flat_map(of) {
            path.abort_all();
            path.raise(Attention::CommandsCleared);
            let nexus = path.ends.id;
            path.unit.with_loading(|loading| loading.preventing.retain(|other| *other != nexus));
            settling.push(Arc::clone(path));
        }
    }
    for (who, attention) in &effects.told {
        for path in of(who) {
            path.raise(*attention);
        }
    }
    for path in settling {
        path.settled().await;
    }
}

/// Reads any bytes as parameter lists of all service actions.
pub(super) fn read_any(list: &[u8]) {
    if list.len() >= 24 {
        for action in (0..8).filter_map(Action::of) {
            let _ = decode(action, list);
        }
    }
}
