//! What a unit that is not there answers: who it is not, which ones there are, and that it is not there.
//!
//! Source: SPC-4 6.6.1 (peripheral qualifiers), SAM-5 5.11 (incorrect logical unit numbers).

use std::sync::Arc;

use super::cdb::Cdb;
use super::command::{Begun, Command, Plan};
use super::identity::Identity;
use super::lun;
use super::nexus::Nexus;
use super::path::Path;
use super::response::Response;
use super::sense::{Format, Sense};
use super::unit::{LogicalUnit, NoKeeper, UnitSettings};
use super::{command_table, inquiry, report_luns, request_sense};

/// Judges a command to a unit that is not there.
pub(super) fn begin(nexus: &Nexus, field: u64, cdb: &Cdb) -> Begun {
    match plan(nexus, field, cdb) {
        Ok(plan) => Begun::Ready(Command::new(nobody(nexus), plan, false)),
        Err(sense) => Begun::Ended(Response::check(sense.encode(Format::Fixed))),
    }
}

fn plan(nexus: &Nexus, field: u64, cdb: &Cdb) -> Result<Plan, Sense> {
    let is_where_luns_are_told = lun::decode(field) == Some(0) || field == lun::REPORT_LUNS;
    match cdb.code() {
        inquiry::CODE => {
            command_table::find(cdb)?.check(cdb)?;
            inquiry::of_absent(cdb, lun::decode(field) == Some(0), field == lun::REPORT_LUNS)
        }
        report_luns::CODE if is_where_luns_are_told => {
            command_table::find(cdb)?.check(cdb)?;
            report_luns::plan(nexus, cdb)
        }
        request_sense::CODE => {
            command_table::find(cdb)?.check(cdb)?;
            Ok(request_sense::of_absent(cdb))
        }
        _ => Err(Sense::no_such_unit()),
    }
}

/// A path that leads nowhere.
fn nobody(nexus: &Nexus) -> Arc<Path> {
    let settings = UnitSettings {
        identity: Identity { id: base::id::Id(0), product: String::new() },
        logical_block_len: 512,
        is_removable: false,
    };
    let unit = LogicalUnit::new(settings, None, Arc::new(NoKeeper));
    Path::new(Arc::clone(&nexus.ends), unit, true)
}
