//! The book of targets: what there is to log in to, who may, and which disks lie under which LUNs.
//!
//! Plain values and the rules about them: no file, no session, no disk is touched here. A disk is known by
//! its identity, so that a rename or a restart changes nothing. Invariants: iSCSI names are unique; LUNs are
//! unique in their target; all LUNs that lead to one disk agree on what the disk looks like; nobody is let
//! in who was not named.

use std::collections::{BTreeMap, BTreeSet};

use base::id::Id;
use base::name::Name;
use serde::{Deserialize, Serialize};
use targets::scsi::AccessState;

use super::names::{Initiator, IscsiName, Viewer};

/// Targets of an appliance: more than a list on a screen shows.
pub const TARGETS_MAX: usize = 256;
/// LUNs of a target: a volume and all its marks, four times.
pub const LUNS_PER_TARGET_MAX: usize = 1024;
/// The highest LUN: what one level of addressing can say.
///
/// Source: SAM-5 4.7.7.
pub const LUN_MAX: u16 = 16_383;
/// Initiators that a target or a LUN names.
pub const INITIATORS_MAX: usize = 1024;
/// Bytes of an alias.
///
/// Source: RFC 7143 13.6 (TargetAlias is at most 255 bytes).
const ALIAS_LEN_MAX: usize = 255;
/// Port groups with a state: what a pair of appliances with many portals needs.
const GROUPS_MAX: usize = 64;
/// The version of the file.
const VERSION: u32 = 1;

/// What is wrong with a change of the book, and the way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BookError {
    /// What is wrong.
    pub why: String,
    /// What to do.
    pub way_out: String,
    /// What kind of problem it is.
    pub kind: BookErrorKind,
}

/// What kind of problem it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BookErrorKind {
    /// What was named is not there.
    NotFound,
    /// Something else is in the way.
    Conflict,
}

pub(super) fn problem(why: String, way_out: &str) -> BookError {
    BookError { why, way_out: way_out.into(), kind: BookErrorKind::Conflict }
}

fn missing(why: String, way_out: &str) -> BookError {
    BookError { why, way_out: way_out.into(), kind: BookErrorKind::NotFound }
}

/// How initiators show who they are.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// By their name alone.
    #[default]
    None,
    /// By CHAP.
    Chap,
}

/// A target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetEntry {
    /// Its iSCSI name.
    pub iqn: IscsiName,
    /// What people call it.
    #[serde(default)]
    pub alias: String,
    /// How initiators show who they are.
    #[serde(default)]
    pub auth: Auth,
    /// Whether CHAP with MD5 will do.
    #[serde(default)]
    pub is_md5_allowed: bool,
    /// Who may log in.
    #[serde(default)]
    pub initiators: BTreeSet<Initiator>,
    /// What they find.
    #[serde(default)]
    pub luns: Vec<LunEntry>,
}

/// A disk under a LUN.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LunEntry {
    /// Its number.
    pub lun: u16,
    /// The disk's identity.
    pub id: Id,
    /// What the disk was called when it was mapped, for when it is not there.
    pub disk: String,
    /// Whether it takes no changes here.
    #[serde(default)]
    pub is_read_only: bool,
    /// Whether it looks like one whose medium can be taken out.
    #[serde(default)]
    pub is_removable: bool,
    /// Bytes of a logical block.
    pub block_size: u32,
    /// Who sees it; everyone who is let in, where nobody is named.
    #[serde(default)]
    pub only: BTreeSet<Viewer>,
}

/// The access state of a port group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupEntry {
    /// Which group.
    pub group: u16,
    /// Its state.
    pub state: AccessState,
}

/// The book.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    version: u32,
    /// Port groups that are not as groups are at first.
    #[serde(default)]
    pub groups: Vec<GroupEntry>,
    /// The targets, by their short names.
    #[serde(default)]
    pub targets: BTreeMap<Name, TargetEntry>,
}

impl Default for Book {
    fn default() -> Self {
        Self { version: VERSION, groups: Vec::new(), targets: BTreeMap::new() }
    }
}

impl Book {
    /// Says what makes no sense, naming the key.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("version is {}, and this program knows {VERSION}", self.version));
        }
        let mut names = BTreeSet::new();
        let mut looks = BTreeMap::new();
        for (name, target) in &self.targets {
            if !names.insert(&target.iqn) {
                return Err(format!("targets.{name}.iqn: {} is there twice", target.iqn));
            }
            check_alias(&target.alias).map_err(|why| format!("targets.{name}.alias: {why}"))?;
            let mut luns = BTreeSet::new();
            for entry in &target.luns {
                let at = format!("targets.{name}.luns, LUN {}", entry.lun);
                check_lun(entry).map_err(|why| format!("{at}: {why}"))?;
                if !luns.insert(entry.lun) {
                    return Err(format!("{at}: it is there twice"));
                }
                let look = (entry.block_size, entry.is_removable);
                if *looks.entry(entry.id).or_insert(look) != look {
                    return Err(format!("{at}: another LUN shows the same disk otherwise"));
                }
            }
        }
        let groups: BTreeSet<_> = self.groups.iter().map(|entry| entry.group).collect();
        if groups.len() < self.groups.len() || groups.contains(&0) || groups.len() > GROUPS_MAX {
            return Err("groups: a group is there twice, is 0, or there are too many".into());
        }
        Ok(())
    }

    /// A target.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn target(&self, name: &Name) -> Result<&TargetEntry, BookError> {
        self.targets.get(name).ok_or_else(|| unknown_target(name))
    }

    /// A target to be changed.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn target_mut(&mut self, name: &Name) -> Result<&mut TargetEntry, BookError> {
        self.targets.get_mut(name).ok_or_else(|| unknown_target(name))
    }

    /// The target of this iSCSI name.
    pub fn of_iqn(&self, iqn: &str) -> Option<(&Name, &TargetEntry)> {
        self.targets.iter().find(|(_, target)| target.iqn.as_str() == iqn)
    }

    /// Adds a target that lets nobody in.
    ///
    /// # Errors
    /// Where a name is taken, the alias is too long, or there are as many as there may be.
    pub fn add_target(&mut self, name: &Name, target: TargetEntry) -> Result<(), BookError> {
        if self.targets.contains_key(name) {
            let why = format!("there is a target {name} already");
            return Err(problem(why, "choose another name, or `target set` changes that one"));
        }
        if let Some((other, _)) = self.of_iqn(target.iqn.as_str()) {
            let why = format!("the target {other} has the name {}", target.iqn);
            return Err(problem(why, "choose another with --iqn"));
        }
        if self.targets.len() >= TARGETS_MAX {
            let why = format!("there are {TARGETS_MAX} targets, which is the most");
            return Err(problem(why, "remove one first, or map more LUNs to one target"));
        }
        check_alias(&target.alias).map_err(|why| problem(why, "choose a shorter one"))?;
        self.targets.insert(name.clone(), target);
        Ok(())
    }

    /// Maps a disk under a LUN, the lowest free one where none is asked for.
    ///
    /// # Errors
    /// Where the LUN is taken or none is free, or another LUN shows the same disk otherwise.
    pub fn map(
        &mut self,
        name: &Name,
        lun: Option<u16>,
        mut entry: LunEntry,
    ) -> Result<LunEntry, BookError> {
        self.check_look(&entry)?;
        let target = self.target_mut(name)?;
        let is_taken = |lun: u16| target.luns.iter().any(|there| there.lun == lun);
        if let Some(lun) = lun.filter(|lun| is_taken(*lun)) {
            let why = format!("LUN {lun} of the target {name} is taken");
            return Err(problem(
                why,
                &format!("choose another, or `lun unmap {name} {lun}` first"),
            ));
        }
        if target.luns.len() >= LUNS_PER_TARGET_MAX {
            let why = format!("{name} has {LUNS_PER_TARGET_MAX} LUNs, which is the most");
            return Err(problem(why, "unmap one first, or make another target"));
        }
        let lowest = || (0..=LUN_MAX).find(|lun| !is_taken(*lun));
        entry.lun = lun.or_else(lowest).unwrap_or(LUN_MAX);
        check_lun(&entry).map_err(|why| problem(why, "`lun map --help` says what may be"))?;
        target.luns.push(entry.clone());
        target.luns.sort_by_key(|entry| entry.lun);
        Ok(entry)
    }

    fn check_look(&self, new: &LunEntry) -> Result<(), BookError> {
        for (name, target) in &self.targets {
            for there in target.luns.iter().filter(|there| there.id == new.id) {
                let at = format!("{} is LUN {} of the target {name}", new.disk, there.lun);
                let way_out = "map it the same way, or unmap it there first";
                if there.block_size != new.block_size {
                    let why = format!("{at}, with blocks of {} bytes", there.block_size);
                    return Err(problem(why + ", and a disk has one block size", way_out));
                }
                if there.is_removable != new.is_removable {
                    let word = if there.is_removable { "removable" } else { "not removable" };
                    let why = format!("{at}, {word}, and a disk is one of the two");
                    return Err(problem(why, way_out));
                }
            }
        }
        Ok(())
    }

    /// Takes a LUN away.
    ///
    /// # Errors
    /// Where there is none of this number.
    pub fn unmap(&mut self, name: &Name, lun: u16) -> Result<LunEntry, BookError> {
        let target = self.target_mut(name)?;
        match target.luns.iter().position(|there| there.lun == lun) {
            Some(at) => Ok(target.luns.remove(at)),
            None => Err(unknown_lun(name, lun)),
        }
    }

    /// A LUN to be changed.
    ///
    /// # Errors
    /// Where there is none of this number.
    pub fn lun_mut(&mut self, name: &Name, lun: u16) -> Result<&mut LunEntry, BookError> {
        let found = self.target_mut(name)?.luns.iter_mut().find(|there| there.lun == lun);
        found.ok_or_else(|| unknown_lun(name, lun))
    }

    /// Where disks with these identities are mapped: target, LUN, and the disk's identity.
    pub fn mappings_of(&self, is_meant: impl Fn(Id) -> bool) -> Vec<(Name, u16, Id)> {
        let luns = self.targets.iter().flat_map(|(name, target)| {
            target.luns.iter().map(move |entry| (name.clone(), entry.lun, entry.id))
        });
        luns.filter(|(_, _, id)| is_meant(*id)).collect()
    }

    /// The state of a port group.
    pub fn group_state(&self, group: u16) -> AccessState {
        let found = self.groups.iter().find(|entry| entry.group == group);
        found.map_or(AccessState::Optimized, |entry| entry.state)
    }

    /// Sets the state of a port group.
    pub fn set_group(&mut self, group: u16, state: AccessState) {
        self.groups.retain(|entry| entry.group != group);
        if state != AccessState::Optimized {
            self.groups.push(GroupEntry { group, state });
        }
    }
}

impl TargetEntry {
    /// Whether this initiator may log in.
    pub fn lets_in(&self, initiator: &str) -> bool {
        self.initiators.iter().any(|who| match who {
            Initiator::Any => true,
            Initiator::Named(name) => name.as_str().eq_ignore_ascii_case(initiator),
        })
    }

    /// Lets an initiator in.
    ///
    /// # Errors
    /// Where as many are named as may be.
    pub fn allow(&mut self, who: Initiator) -> Result<(), BookError> {
        if self.initiators.len() >= INITIATORS_MAX && !self.initiators.contains(&who) {
            let why = format!("{INITIATORS_MAX} initiators are let in, which is the most");
            return Err(problem(why, "`initiator deny` one first"));
        }
        self.initiators.insert(who);
        Ok(())
    }
}

/// Whether this can be an alias.
///
/// # Errors
/// In words.
pub fn check_alias(alias: &str) -> Result<(), String> {
    if alias.len() > ALIAS_LEN_MAX {
        return Err(format!("an alias has at most {ALIAS_LEN_MAX} bytes"));
    }
    if alias.chars().any(char::is_control) {
        return Err("an alias has no control characters".into());
    }
    Ok(())
}

fn check_lun(entry: &LunEntry) -> Result<(), String> {
    if entry.lun > LUN_MAX {
        return Err(format!("{} is no LUN: they go from 0 to {LUN_MAX}", entry.lun));
    }
    if entry.only.len() > INITIATORS_MAX {
        return Err(format!("at most {INITIATORS_MAX} initiators can be named for one LUN"));
    }
    match entry.block_size {
        512 | 4096 => Ok(()),
        other => Err(format!("{other} is no block size: it is 512 or 4096")),
    }
}

pub(super) fn unknown_target(name: &Name) -> BookError {
    missing(format!("there is no target {name}"), "`target ls` shows those that are there")
}

pub(super) fn unknown_lun(name: &Name, lun: u16) -> BookError {
    let way_out = format!("`lun ls {name}` shows those that are there");
    missing(format!("the target {name} has no LUN {lun}"), &way_out)
}

pub(super) fn unknown(what: String, way_out: &str) -> BookError {
    missing(what, way_out)
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
