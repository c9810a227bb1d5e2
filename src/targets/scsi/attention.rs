//! Unit attentions: what has happened to a logical unit, told once to each nexus that should know.
//!
//! Source: SAM-5 5.14.

use super::sense::{Key, Sense};

/// Something that has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attention {
    /// POWER ON, RESET, OR BUS DEVICE RESET OCCURRED: the nexus is new.
    PowerOn,
    /// BUS DEVICE RESET FUNCTION OCCURRED: the logical unit was reset.
    Reset,
    /// NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED.
    MediumChanged,
    /// MODE PARAMETERS CHANGED.
    ModeChanged,
    /// RESERVATIONS PREEMPTED.
    ReservationsPreempted,
    /// RESERVATIONS RELEASED.
    ReservationsReleased,
    /// REGISTRATIONS PREEMPTED.
    RegistrationsPreempted,
    /// ASYMMETRIC ACCESS STATE CHANGED.
    AccessStateChanged,
    /// CAPACITY DATA HAS CHANGED.
    CapacityChanged,
    /// COMMANDS CLEARED BY ANOTHER INITIATOR.
    CommandsCleared,
    /// REPORTED LUNS DATA HAS CHANGED.
    LunsChanged,
}

impl Attention {
    /// How it is told.
    pub const fn sense(self) -> Sense {
        let (asc, ascq) = match self {
            Self::PowerOn => (0x29, 0x00),
            Self::Reset => (0x29, 0x03),
            Self::MediumChanged => (0x28, 0x00),
            Self::ModeChanged => (0x2a, 0x01),
            Self::ReservationsPreempted => (0x2a, 0x03),
            Self::ReservationsReleased => (0x2a, 0x04),
            Self::RegistrationsPreempted => (0x2a, 0x05),
            Self::AccessStateChanged => (0x2a, 0x06),
            Self::CapacityChanged => (0x2a, 0x09),
            Self::CommandsCleared => (0x2f, 0x00),
            Self::LunsChanged => (0x3f, 0x0e),
        };
        Sense::new(Key::UnitAttention, asc, ascq)
    }
}

/// What a nexus has yet to be told of a logical unit: each thing once, in the order of happening, but
/// that the end of everything before goes first and takes its place. Never longer than there are things.
#[derive(Debug, Default)]
pub struct Attentions {
    waiting: Vec<Attention>,
}

impl Attentions {
    /// Something has happened.
    pub fn raise(&mut self, attention: Attention) {
        match attention {
            Attention::PowerOn => self.waiting = vec![Attention::PowerOn],
            Attention::Reset => self
                .waiting
                .retain(|waiting| matches!(waiting, Attention::PowerOn | Attention::LunsChanged)),
            _ => {}
        }
        if !self.waiting.contains(&attention) {
            self.waiting.push(attention);
        }
    }

    /// What is to be told next.
    pub fn take(&mut self) -> Option<Attention> {
        (!self.waiting.is_empty()).then(|| self.waiting.remove(0))
    }

    /// This need not be told any more.
    pub fn forget(&mut self, attention: Attention) {
        self.waiting.retain(|waiting| *waiting != attention);
    }

    /// Whether nothing is to be told.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_told_once_and_in_order() {
        let mut attentions = Attentions::default();
        attentions.raise(Attention::ModeChanged);
        attentions.raise(Attention::CapacityChanged);
        attentions.raise(Attention::ModeChanged);
        assert_eq!(attentions.take(), Some(Attention::ModeChanged));
        assert_eq!(attentions.take(), Some(Attention::CapacityChanged));
        assert_eq!(attentions.take(), None);
    }

    #[test]
    fn a_reset_takes_the_place_of_what_was_before() {
        let mut attentions = Attentions::default();
        attentions.raise(Attention::ModeChanged);
        attentions.raise(Attention::LunsChanged);
        attentions.raise(Attention::Reset);
        assert_eq!(attentions.take(), Some(Attention::LunsChanged));
        assert_eq!(attentions.take(), Some(Attention::Reset));
        assert!(attentions.is_empty());
    }
}
