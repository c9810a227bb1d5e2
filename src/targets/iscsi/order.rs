//! Which command of a logical unit may start, by the attributes of those that are older.
//!
//! Source: SAM-5 8.

/// How a command stands to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It starts beside others, once no older one waits for its turn.
    Any,
    /// It starts when all older ones have ended, and younger ones wait for it.
    AfterOlder,
    /// It starts at once.
    Head,
}

/// A command in the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Which logical unit.
    pub lun: u64,
    /// Larger than that of all commands that came before.
    pub age: u64,
    /// How it stands to others.
    pub turn: Turn,
}

/// Whether `one` may start beside `others`, which have not ended; it may be among them.
pub fn may_start(one: &Place, others: impl IntoIterator<Item = Place>) -> bool {
    let mut older = others.into_iter().filter(|other| other.lun == one.lun && other.age < one.age);
    match one.turn {
        Turn::Head => true,
        Turn::Any => !older.any(|other| other.turn == Turn::AfterOlder),
        Turn::AfterOlder => older.next().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(age: u64, turn: Turn) -> Place {
        Place { lun: 0, age, turn }
    }

    #[test]
    fn an_ordered_command_stands_between_older_and_younger_ones() {
        let all = [
            place(1, Turn::Any),
            place(2, Turn::AfterOlder),
            place(3, Turn::Any),
            place(4, Turn::Head),
        ];
        let starts = |others: &[Place]| -> Vec<u64> {
            let may = |one: &&Place| may_start(one, others.iter().copied());
            others.iter().filter(may).map(|one| one.age).collect()
        };
        assert_eq!(starts(&all), [1, 4]);
        assert_eq!(starts(&all[1..]), [2, 4]);
        assert_eq!(starts(&all[2..]), [3, 4]);
    }

    #[test]
    fn other_units_are_no_concern() {
        let ordered = Place { lun: 1, ..place(2, Turn::AfterOlder) };
        assert!(may_start(&ordered, [place(1, Turn::Any), ordered]));
        assert!(may_start(&place(3, Turn::Any), [ordered]));
    }
}
