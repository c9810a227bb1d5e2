//! Letting a device go: not while it is used, and not called busy for a passing look.

use std::path::Path;
use std::time::Duration;

use super::blocking;
use crate::error::AttachError;
use crate::mount_table;
use crate::process;

/// How often a device that somebody has open is looked at again before it is called busy, and how often
/// it is when it was let go: 2 s in steps of `STEP`.
const ATTEMPTS_MAX: usize = 40;
const STEP: Duration = Duration::from_millis(50);

/// Runs `release` when nobody uses `device`.
///
/// # Errors
/// `Busy` where somebody still does after a while; what `release` says.
pub async fn when_unused(
    device: &Path,
    release: fn(&Path) -> Result<(), AttachError>,
) -> Result<(), AttachError> {
    let mut attempt = 1;
    loop {
        let path = device.to_owned();
        let released =
            blocking("detach", move || check_unused(&path).and_then(|()| release(&path)));
        match released.await {
            // A look by udev or its like is soon over.
            Err(AttachError::Busy { .. }) if attempt < ATTEMPTS_MAX => {
                attempt += 1;
                tokio::time::sleep(STEP).await;
            }
            done => return done,
        }
    }
}

/// Waits until a device that was told to go has gone, which is when the last who had it open closes it:
/// not for long, since only udev and its like are expected.
///
/// # Errors
/// `Busy` where it is still there after a while.
pub async fn until_gone(
    device: &Path,
    is_there: impl Fn(&Path) -> bool,
) -> Result<(), AttachError> {
    for _ in 0..ATTEMPTS_MAX {
        if !is_there(device) {
            return Ok(());
        }
        tokio::time::sleep(STEP).await;
    }
    let users = process::users_of_device(device);
    Err(AttachError::Busy { what: device.display().to_string(), users })
}

fn check_unused(device: &Path) -> Result<(), AttachError> {
    let mounts = mount_table::of_device(device)?;
    if let Some(dir) = mounts.first() {
        let what = format!("{}, mounted on {},", device.display(), dir.display());
        return Err(AttachError::Busy { what, users: process::users_of_tree(dir) });
    }
    let users = process::users_of_device(device);
    if users.is_empty() {
        return Ok(());
    }
    Err(AttachError::Busy { what: device.display().to_string(), users })
}
