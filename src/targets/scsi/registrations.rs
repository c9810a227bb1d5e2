//! Persistent reservations: who is registered, who holds, and what each service action makes of it.
//!
//! Pure: a registry goes in, a changed registry and what is to be told come out. Reading parameter lists is
//! in `reserve_out`, keeping over a restart in `kept`, what a reservation allows in `rights`.
//!
//! Invariants: a holder is registered; one of the all-registrants kinds has no holder of its own and is held as
//! long as anybody is registered.
//!
//! Source: SPC-4 5.9 and 6.16.

use super::attention::Attention;
use super::limits::REGISTRATIONS_MAX;
use super::path::Ends;
use super::port::InitiatorPort;
use super::sense::Sense;

/// A nexus, by the names of its ends: the same after the session has ended and begun again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Registrant {
    /// The initiator port.
    pub initiator: InitiatorPort,
    /// The target port's name.
    pub port: String,
    /// Its relative identifier.
    pub relative_id: u16,
}

impl Registrant {
    /// The one of these ends.
    pub fn of(ends: &Ends) -> Self {
        Self {
            initiator: ends.initiator.clone(),
            port: ends.port.name.clone(),
            relative_id: ends.port.relative_id,
        }
    }
}

/// The type of a persistent reservation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The holder writes, everyone reads.
    WriteExclusive = 1,
    /// The holder does everything.
    ExclusiveAccess = 3,
    /// Who is registered writes, everyone reads.
    WriteExclusiveRegistrants = 5,
    /// Who is registered does everything.
    ExclusiveAccessRegistrants = 6,
    /// The same as 5, and all who are registered hold it.
    WriteExclusiveAll = 7,
    /// The same as 6, and all who are registered hold it.
    ExclusiveAccessAll = 8,
}

impl Kind {
    /// The kind with this code.
    pub const fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::WriteExclusive,
            3 => Self::ExclusiveAccess,
            5 => Self::WriteExclusiveRegistrants,
            6 => Self::ExclusiveAccessRegistrants,
            7 => Self::WriteExclusiveAll,
            8 => Self::ExclusiveAccessAll,
            _ => return None,
        })
    }

    /// Whether all who are registered hold it.
    pub const fn is_of_all(self) -> bool {
        matches!(self, Self::WriteExclusiveAll | Self::ExclusiveAccessAll)
    }

    /// Whether it matters to those who are registered but do not hold it.
    const fn is_shared(self) -> bool {
        !matches!(self, Self::WriteExclusive | Self::ExclusiveAccess)
    }

    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WriteExclusive => "write exclusive",
            Self::ExclusiveAccess => "exclusive access",
            Self::WriteExclusiveRegistrants => "write exclusive, registrants only",
            Self::ExclusiveAccessRegistrants => "exclusive access, registrants only",
            Self::WriteExclusiveAll => "write exclusive, all registrants",
            Self::ExclusiveAccessAll => "exclusive access, all registrants",
        }
    }
}

/// A registration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// Whose.
    pub who: Registrant,
    /// The reservation key.
    pub key: u64,
}

/// A persistent reservation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holding {
    /// Of which type.
    pub kind: Kind,
    /// Who holds it; `None` where all who are registered do.
    pub holder: Option<Registrant>,
}

/// All registrations of a unit, and the reservation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registry {
    /// Rises with each change of the registrations.
    pub generation: u32,
    /// Whether they outlive a restart.
    pub is_kept: bool,
    pub(super) registrations: Vec<Registration>,
    pub(super) holding: Option<Holding>,
}

/// Why nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unchanged {
    /// RESERVATION CONFLICT.
    Conflict,
    /// For another reason.
    Sense(Sense),
}

impl From<Sense> for Unchanged {
    fn from(sense: Sense) -> Self {
        Self::Sense(sense)
    }
}

/// What is to be told to whom, and whose commands are to be aborted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effects {
    /// Unit attentions.
    pub told: Vec<(Registrant, Attention)>,
    /// Those who were preempted.
    pub preempted: Vec<Registrant>,
}

type Changed = Result<Effects, Unchanged>;

impl Registry {
    /// The reservation, if there is one.
    pub const fn holding(&self) -> Option<&Holding> {
        self.holding.as_ref()
    }

    /// All registrations.
    pub fn registrations(&self) -> &[Registration] {
        &self.registrations
    }

    /// The key of somebody.
    pub fn key(&self, who: &Registrant) -> Option<u64> {
        self.registrations.iter().find(|known| known.who == *who).map(|known| known.key)
    }

    /// Whether somebody is registered.
    pub fn is_registered(&self, who: &Registrant) -> bool {
        self.key(who).is_some()
    }

    /// Whether somebody holds the reservation, alone or with others.
    pub fn is_holder(&self, who: &Registrant) -> bool {
        self.holding.as_ref().is_some_and(|holding| match &holding.holder {
            Some(holder) => holder == who,
            None => self.is_registered(who),
        })
    }

    fn admit(&self, who: &Registrant, key: u64) -> Result<(), Unchanged> {
        if self.key(who) == Some(key) { Ok(()) } else { Err(Unchanged::Conflict) }
    }

    fn rise(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    fn put(&mut self, who: &Registrant, key: u64) -> Result<(), Unchanged> {
        if let Some(known) = self.registrations.iter_mut().find(|known| known.who == *who) {
            known.key = key;
        } else if self.registrations.len() >= REGISTRATIONS_MAX {
            // INSUFFICIENT REGISTRATION RESOURCES
            return Err(Sense::new(super::sense::Key::IllegalRequest, 0x55, 0x04).into());
        } else {
            self.registrations.push(Registration { who: who.clone(), key });
        }
        Ok(())
    }

    /// REGISTER, and with `ignores_key` REGISTER AND IGNORE EXISTING KEY: `others` are registered with it.
    ///
    /// # Errors
    /// A conflict where `key` is not the one that is registered.
    pub fn register(
        &mut self,
        who: &Registrant,
        (key, new_key): (Option<u64>, u64),
        others: &[Registrant],
    ) -> Changed {
        let known = self.key(who);
        if key.is_some_and(|key| key != known.unwrap_or(0)) {
            return Err(Unchanged::Conflict);
        }
        if new_key == 0 {
            return Ok(if known.is_some() { self.unregister(who) } else { Effects::default() });
        }
        self.put(who, new_key)?;
        for other in others {
            self.put(other, new_key)?;
        }
        self.rise();
        Ok(Effects::default())
    }

    /// A registration ends, and with it the reservation that only it held.
    fn unregister(&mut self, who: &Registrant) -> Effects {
        let was_holder = self.is_holder(who);
        self.registrations.retain(|known| known.who != *who);
        self.rise();
        let Some(holding) = self.holding.as_ref().filter(|_| was_holder) else {
            return Effects::default();
        };
        if holding.holder.is_none() && !self.registrations.is_empty() {
            return Effects::default();
        }
        let is_told = holding.kind.is_shared();
        self.holding = None;
        Effects {
            told: self.tell(is_told, who, Attention::ReservationsReleased),
            ..Effects::default()
        }
    }

    fn tell(
        &self,
        is_told: bool,
        except: &Registrant,
        attention: Attention,
    ) -> Vec<(Registrant, Attention)> {
        let others = self.registrations.iter().filter(|known| is_told && known.who != *except);
        others.map(|known| (known.who.clone(), attention)).collect()
    }

    /// RESERVE.
    ///
    /// # Errors
    /// A conflict where `who` is not registered with `key`, or somebody holds it already.
    pub fn reserve(&mut self, who: &Registrant, key: u64, kind: Kind) -> Changed {
        self.admit(who, key)?;
        match &self.holding {
            Some(holding) if holding.kind != kind || !self.is_holder(who) => {
                return Err(Unchanged::Conflict);
            }
            Some(_) => {}
            None => self.hold(who, kind),
        }
        Ok(Effects::default())
    }

    fn hold(&mut self, who: &Registrant, kind: Kind) {
        self.holding = Some(Holding { kind, holder: (!kind.is_of_all()).then(|| who.clone()) });
    }

    /// RELEASE.
    ///
    /// # Errors
    /// A conflict where `who` is not registered with `key`; INVALID RELEASE OF PERSISTENT RESERVATION where
    /// it holds one of another type.
    pub fn release(&mut self, who: &Registrant, key: u64, kind: Kind) -> Changed {
        self.admit(who, key)?;
        if !self.is_holder(who) {
            return Ok(Effects::default());
        }
        if self.holding.as_ref().is_some_and(|holding| holding.kind != kind) {
            return Err(Sense::new(super::sense::Key::IllegalRequest, 0x26, 0x04).into());
        }
        self.holding = None;
        let told = self.tell(kind.is_shared(), who, Attention::ReservationsReleased);
        Ok(Effects { told, ..Effects::default() })
    }

    /// CLEAR.
    ///
    /// # Errors
    /// A conflict where `who` is not registered with `key`.
    pub fn clear(&mut self, who: &Registrant, key: u64) -> Changed {
        self.admit(who, key)?;
        let told = self.tell(true, who, Attention::ReservationsPreempted);
        self.registrations.clear();
        self.holding = None;
        self.rise();
        Ok(Effects { told, ..Effects::default() })
    }

    /// PREEMPT, and the first half of PREEMPT AND ABORT.
    ///
    /// # Errors
    /// A conflict where `who` is not registered with `key`, or nobody is with `victim`; INVALID FIELD IN
    /// PARAMETER LIST for no victim where not everybody can be meant.
    pub fn preempt(&mut self, who: &Registrant, (key, victim): (u64, u64), kind: Kind) -> Changed {
        self.admit(who, key)?;
        let before = self.holding.clone();
        let takes_over = before.as_ref().is_some_and(|holding| match &holding.holder {
            Some(holder) => self.key(holder) == Some(victim),
            None => victim == 0,
        });
        if !takes_over && victim == 0 {
            return Err(Sense::list_byte(8).into());
        }
        let takes_all = takes_over && victim == 0;
        let is_victim =
            |known: &Registration| known.who != *who && (takes_all || known.key == victim);
        let preempted: Vec<Registrant> =
            self.registrations.iter().filter(|k| is_victim(k)).map(|k| k.who.clone()).collect();
        if !takes_over && !self.registrations.iter().any(|known| known.key == victim) {
            return Err(Unchanged::Conflict);
        }
        self.registrations.retain(|known| !is_victim(known));
        let mut told: Vec<_> = preempted
            .iter()
            .map(|victim| (victim.clone(), Attention::RegistrationsPreempted))
            .collect();
        if takes_over {
            self.hold(who, kind);
            let is_other = before.is_some_and(|holding| holding.kind != kind);
            told.extend(self.tell(is_other, who, Attention::ReservationsReleased));
        }
        self.rise();
        Ok(Effects { told, preempted })
    }

    /// REGISTER AND MOVE: `to` is registered with `new_key` and holds the reservation; with `is_leaving`, `who`
    /// is not registered any more.
    ///
    /// # Errors
    /// A conflict where `who` does not hold it alone with `key`; INVALID FIELD IN PARAMETER LIST for no key or
    /// nobody else.
    pub fn register_and_move(
        &mut self,
        who: &Registrant,
        (key, new_key): (u64, u64),
        to: &Registrant,
        leaving: Leaving,
    ) -> Changed {
        self.admit(who, key)?;
        let Some(holding) =
            self.holding.clone().filter(|holding| holding.holder.as_ref() == Some(who))
        else {
            return Err(Unchanged::Conflict);
        };
        if new_key == 0 {
            return Err(Sense::list_byte(8).into());
        }
        if to == who {
            return Err(Sense::list_byte(24).into());
        }
        self.put(to, new_key)?;
        self.holding = Some(Holding { holder: Some(to.clone()), ..holding });
        if leaving == Leaving::Unregisters {
            self.registrations.retain(|known| known.who != *who);
        }
        self.rise();
        Ok(Effects::default())
    }
}

/// Whether who moves a reservation away stays registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaving {
    /// It does.
    Stays,
    /// It does not.
    Unregisters,
}
