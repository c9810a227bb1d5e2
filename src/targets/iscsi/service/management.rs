//! Task management: which commands it ends here, what the nexus does, and when it is answered.
//!
//! An answer comes when no command that was aborted changes anything any more.
//!
//! Source: RFC 7143 11.5, 11.6.

use std::sync::Arc;

use super::super::limits::IMMEDIATE_MAX;
use super::super::outcome::Outcome;
use super::super::pdu::request::Management;
use super::super::pdu::wire::{managed, reject};
use super::super::pdu::{Head, response};
use super::super::tasks::Task;
use super::super::window::Numbering;
use super::{Fate, HeldBack, Service};
use crate::scsi::{ManagementOutcome, TaskManagement};

/// Set in the tickets of functions.
const TICKET: u64 = 1 << 63;

/// Numbers of functions.
mod function {
    pub const ABORT_TASK: u8 = 1;
    pub const ABORT_TASK_SET: u8 = 2;
    pub const CLEAR_ACA: u8 = 3;
    pub const CLEAR_TASK_SET: u8 = 4;
    pub const LUN_RESET: u8 = 5;
    pub const WARM_RESET: u8 = 6;
    pub const COLD_RESET: u8 = 7;
    pub const REASSIGN: u8 = 8;
}

/// A function under way.
pub(super) struct Managing {
    itt: u32,
    ticket: u64,
    /// What the nexus says, once it does.
    answer: Option<u8>,
    /// The commands that still have to end.
    ages: Vec<u64>,
    /// Whether all sessions of the target end with it.
    is_cold: bool,
}

impl Service {
    /// Carries a function out.
    pub(super) fn manage(&mut self, head: &Head, asked: &Management) -> Fate {
        if self.managing.len() >= IMMEDIATE_MAX {
            self.reject(reject::IMMEDIATE, head);
            return Fate::Goes;
        }
        let function = match asked.function {
            function::ABORT_TASK => return self.abort_task(asked, head.cmd_sn()),
            function::ABORT_TASK_SET => TaskManagement::AbortTaskSet,
            function::CLEAR_ACA => TaskManagement::ClearAca,
            function::CLEAR_TASK_SET => TaskManagement::ClearTaskSet,
            function::LUN_RESET => TaskManagement::LunReset,
            function::WARM_RESET => TaskManagement::TargetWarmReset,
            function::COLD_RESET => TaskManagement::TargetColdReset,
            function::REASSIGN => return self.say_managed(asked.itt, managed::NO_REASSIGN),
            _ => return self.say_managed(asked.itt, managed::UNSUPPORTED),
        };
        let is_cold = matches!(function, TaskManagement::TargetColdReset);
        let is_wide = is_cold || matches!(function, TaskManagement::TargetWarmReset);
        let lun = asked.lun;
        let Some(nexus) = self.premises.nexus.clone() else { return Fate::Goes };
        self.ages += 1;
        let ticket = TICKET | self.ages;
        let work = nexus.manage(function, lun);
        let ages = match function {
            TaskManagement::ClearAca => Vec::new(),
            _ => self.abort_where(|task| is_wide || task.place.lun == lun),
        };
        self.managing.push(Managing { itt: asked.itt, ticket, answer: None, ages, is_cold });
        let completions = Arc::clone(&self.shared.completions);
        tokio::spawn(async move {
            // The nexus stays until its function is done.
            let _nexus = nexus;
            completions.end(ticket, Outcome::Managed(work.await));
        });
        Fate::Goes
    }

    fn abort_task(&mut self, asked: &Management, cmd_sn: u32) -> Fate {
        let found = self.tasks.find(asked.referenced);
        let found = found
            .filter(|slot| self.tasks.get(*slot).is_some_and(|task| task.place.lun == asked.lun));
        if let Some(slot) = found {
            let running = self.tasks.get(slot).filter(|task| task.is_running());
            let ages: Vec<u64> = running.map(|task| task.place.age).into_iter().collect();
            self.let_go(slot);
            self.ages += 1;
            let ticket = TICKET | self.ages;
            let answer = Some(managed::COMPLETE);
            self.managing.push(Managing { itt: asked.itt, ticket, answer, ages, is_cold: false });
            self.answer_managed();
            return Fate::Goes;
        }
        // A command that has not come yet counts as come and aborted.
        if self.sender.window.is_missing_before(asked.ref_cmd_sn, cmd_sn) {
            self.held_back.insert(asked.ref_cmd_sn, HeldBack::Aborted);
            self.say_managed(asked.itt, managed::COMPLETE);
            return self.catch_up(Fate::Goes);
        }
        self.say_managed(asked.itt, managed::NO_TASK)
    }

    /// Aborts commands; gives the ages of those that are carried out and have to end by themselves.
    pub(super) fn abort_where(&mut self, which: impl Fn(&Task) -> bool) -> Vec<u64> {
        let found = self.tasks.iter().filter(|(_, task)| which(task));
        let found: Vec<(usize, Option<u64>)> =
            found.map(|(slot, task)| (slot, task.is_running().then_some(task.place.age))).collect();
        found.iter().for_each(|(slot, _)| self.let_go(*slot));
        found.into_iter().filter_map(|(_, age)| age).collect()
    }

    /// A command has ended.
    pub(super) fn drained(&mut self, age: u64) {
        if self.managing.is_empty() {
            return;
        }
        for managing in &mut self.managing {
            managing.ages.retain(|one| *one != age);
        }
        self.answer_managed();
    }

    /// The nexus has carried a function out.
    pub(super) fn end_managing(&mut self, ticket: u64, outcome: ManagementOutcome) {
        let found = self.managing.iter_mut().find(|managing| managing.ticket == ticket);
        if let Some(managing) = found {
            managing.answer = Some(match outcome {
                ManagementOutcome::Complete => managed::COMPLETE,
                ManagementOutcome::NoSuchLun => managed::NO_LUN,
                ManagementOutcome::Unsupported => managed::UNSUPPORTED,
                ManagementOutcome::Rejected => managed::REJECTED,
            });
        }
        self.answer_managed();
    }

    fn answer_managed(&mut self) {
        while let Some(at) =
            self.managing.iter().position(|m| m.answer.is_some() && m.ages.is_empty())
        {
            let managing = self.managing.remove(at);
            let answer = managing.answer.unwrap_or(managed::REJECTED);
            self.say_managed(managing.itt, answer);
            if managing.is_cold && answer == managed::COMPLETE {
                (self.premises.reset)();
                self.is_over = true;
            }
        }
    }

    fn say_managed(&mut self, itt: u32, answer: u8) -> Fate {
        self.say(response::managed(itt, answer), Numbering::Counted, &[]);
        Fate::Goes
    }
}
