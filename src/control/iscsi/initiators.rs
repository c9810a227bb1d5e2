//! Who may log in to a target.

use base::name::Name;

use super::book::unknown;
use super::names::Initiator;
use super::status::InitiatorStatus;
use crate::appliance::Appliance;
use crate::error::ControlError;

impl Appliance {
    /// Who is let in to a target.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn initiators(&self, target: &Name) -> Result<Vec<InitiatorStatus>, ControlError> {
        let sessions = self.sessions();
        let current = self.iscsi().read();
        let entry = current.book.target(target)?;
        let of_target: Vec<_> =
            sessions.iter().filter(|session| session.is_of(entry.iqn.as_str())).collect();
        let count = |who: &Initiator| match who {
            Initiator::Any => of_target.len(),
            Initiator::Named(name) => {
                of_target.iter().filter(|one| one.is_from(name.as_str())).count()
            }
        };
        let all = entry.initiators.iter().map(|who| InitiatorStatus {
            target: target.clone(),
            initiator: who.clone(),
            sessions: count(who),
        });
        Ok(all.collect())
    }

    /// Lets an initiator in.
    ///
    /// # Errors
    /// `Unknown`, `Conflict`; `Book`, `State`.
    pub async fn allow_initiator(
        &self,
        target: &Name,
        who: Initiator,
    ) -> Result<Vec<InitiatorStatus>, ControlError> {
        let let_in = who.clone();
        self.iscsi().change(move |book, _| book.target_mut(target)?.allow(let_in)).await?;
        tracing::info!(%target, initiator = %who, "initiator let in");
        self.initiators(target)
    }

    /// Lets an initiator in no more, and ends its sessions.
    ///
    /// # Errors
    /// `Unknown`; `Book`, `State`.
    pub async fn deny_initiator(
        &self,
        target: &Name,
        who: &Initiator,
    ) -> Result<Vec<InitiatorStatus>, ControlError> {
        self.iscsi()
            .change(|book, _| {
                if book.target_mut(target)?.initiators.remove(who) {
                    return Ok(());
                }
                let way_out = format!("`initiator ls {target}` shows who is");
                Err(unknown(format!("{who} is not let in to the target {target}"), &way_out))
            })
            .await?;
        self.end_forbidden_sessions();
        tracing::info!(%target, initiator = %who, "initiator let in no more");
        self.initiators(target)
    }
}
