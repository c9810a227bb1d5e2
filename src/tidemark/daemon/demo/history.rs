//! How a month passes in seconds: the clock is moved from one moment at which something happens to the next.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::{Inside, Problem};
use base::clock::LateClock;
use base::name::Name;
use base::size::ByteSize;
use control::demo::{Load, LoadClient, make_image};
use control::{Appliance, ControlError};
use hyper::Method;

use super::scene::{self, Deed, People};

/// Bytes of the disks that can be adopted: they take no space.
const IMAGE_LEN: ByteSize = ByteSize(4 << 30);
/// Messages that are written into each of these volumes between two marks.
const MESSAGES: u64 = 3;
/// How soon it is looked again whether jobs have ended, and how often.
const JOB_WAIT: Duration = Duration::from_millis(10);
const JOB_LOOKS_MAX: usize = 1000;
const MINUTE_MS: u64 = 60_000;

/// What takes part.
pub(super) struct Stage<'a> {
    pub office: &'a Arc<Appliance>,
    pub clock: &'a LateClock,
    pub people: &'a People,
    pub load: &'a Load,
    pub place: &'a Path,
}

/// Lets everything happen, in order, until the present.
///
/// # Errors
/// What the API says where it refuses what it should not, or what a client says that cannot write.
pub(super) async fn happen(stage: &Stage<'_>) -> Result<(), ControlError> {
    let adopted = stage.place.join("old-server.img");
    make_image(&adopted, IMAGE_LEN)?;
    // One more lies there for whoever wants to try.
    make_image(&stage.place.join("spare.img"), IMAGE_LEN)?;
    let mut clients = Vec::new();
    for deed in scene::deeds(&adopted) {
        let at_ms = stage.clock.present_ms() - deed.ago * MINUTE_MS;
        pass(stage, at_ms, &mut clients).await?;
        do_it(stage, &deed).await?;
    }
    pass(stage, stage.clock.present_ms(), &mut clients).await?;
    for (_, client) in clients {
        client.leave().await;
    }
    People::rest(stage.office).await
}

/// Moves the clock to a moment, with everything that policies do until then, and some mail between.
async fn pass(
    stage: &Stage<'_>,
    until_ms: u64,
    clients: &mut Vec<(Name, LoadClient)>,
) -> Result<(), ControlError> {
    for volume in stage.office.status().volumes {
        let is_in = clients.iter().any(|(name, _)| *name == volume.name);
        if !is_in && scene::written_volumes().contains(&volume.name) {
            clients.push((volume.name.clone(), stage.load.enter(&volume.name).await?));
        }
    }
    loop {
        let next = stage.office.policies()?.into_iter().filter_map(|policy| policy.next_ms).min();
        let Some(next_ms) = next.filter(|next| *next <= until_ms) else { break };
        for (_, client) in clients.iter_mut() {
            client.write_messages(MESSAGES).await?;
        }
        stage.clock.move_to(next_ms);
        stage.office.run_due().await;
    }
    stage.clock.move_to(until_ms);
    Ok(())
}

async fn do_it(stage: &Stage<'_>, deed: &Deed) -> Result<(), ControlError> {
    let owner = Inside::owner(stage.office);
    let who = stage.people.named(deed.who).unwrap_or(&owner);
    let body = (!deed.body.is_null()).then_some(&deed.body);
    let answer = who.ask(deed.method.clone(), deed.path, body).await;
    match (answer, deed.is_refused) {
        (Ok(_), false) | (Err(_), true) => {}
        (Ok(_), true) => {
            return Err(ControlError::State {
                what: format!("{} {}", deed.method, deed.path),
                why: format!("{} should not have been let", deed.who),
            });
        }
        (Err(problem), false) => return Err(told(problem)),
    }
    // The next one may need what a job makes.
    for _ in 0..JOB_LOOKS_MAX {
        if deed.method == Method::PATCH || stage.office.jobs().running() == 0 {
            break;
        }
        tokio::time::sleep(JOB_WAIT).await;
    }
    Ok(())
}

/// What the API said, as the daemon tells why it does not start.
pub(super) fn told(problem: Problem) -> ControlError {
    ControlError::State { what: "set the demo up".into(), why: problem.failure.detail }
}
