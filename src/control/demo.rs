//! What a demo needs besides an appliance: clients that read and write a little, and disks to adopt.
//!
//! The load comes in through the NBD door like any other, so that sessions, charts and marks show what really happens.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::name::Name;
use base::rng::Rng;
use base::size::ByteSize;
use targets::nbd::client::Client;
use tokio::task::JoinSet;

use crate::appliance::Appliance;
use crate::error::ControlError;

/// Bytes of a volume that the load touches: small, so that what marks preserve of it stays small for days.
const WORKING_SET_LEN: u64 = 8 << 20;
/// Bytes of one write: a message of a mailbox.
const MESSAGE_LEN: usize = 16 << 10;
/// How often a client that goes on does something.
const TICK: Duration = Duration::from_millis(250);
/// Ticks from one height of the load to the next: half a minute, so that a chart of a minute shows waves.
const WAVE_TICKS: u64 = 120;
/// Messages of a tick at the height of the load: 1 MiB/s written, and four times that read.
const MESSAGES_MAX: u64 = 16;
/// Messages that are read for each one that is written.
const READS_PER_WRITE: u64 = 4;
/// How long a client that was sent away waits before it comes back.
const RETURN_WAIT: Duration = Duration::from_secs(3);

/// Clients of the NBD door.
#[derive(Clone)]
pub struct Load {
    address: String,
    rng: Arc<dyn Rng>,
}

/// One of them, inside a volume.
pub struct LoadClient {
    client: Client,
    rng: Arc<dyn Rng>,
}

impl Load {
    /// Clients of this appliance.
    ///
    /// # Errors
    /// `Invalid` where it has no NBD door over TCP.
    pub fn of(appliance: &Appliance, rng: Arc<dyn Rng>) -> Result<Self, ControlError> {
        let doors = appliance.status().doors.into_iter();
        let mut nbd = doors.filter(|door| door.protocol == "nbd" && !door.address.contains('/'));
        let door = nbd.next().ok_or_else(|| ControlError::Invalid {
            why: "there is no NBD door for the demo's load to come in".into(),
            way_out: "let it listen on 127.0.0.1".into(),
        })?;
        Ok(Self { address: door.address, rng })
    }

    /// A client inside a volume.
    ///
    /// # Errors
    /// `State`, with what the connection says.
    pub async fn enter(&self, volume: &Name) -> Result<LoadClient, ControlError> {
        let client = Client::open(&self.address, volume.as_str()).await;
        let client =
            client.map_err(|error| ControlError::state(format!("open volume {volume}"), &error))?;
        Ok(LoadClient { client, rng: Arc::clone(&self.rng) })
    }

    /// Reads and writes these volumes in waves, until the tasks are dropped. A client that is sent away comes back.
    pub fn go_on(&self, volumes: Vec<Name>) -> JoinSet<()> {
        let clients = volumes.into_iter().enumerate();
        clients.map(|(index, volume)| self.clone().waves(volume, index as u64)).collect()
    }

    async fn waves(self, volume: Name, index: u64) {
        let mut clock = tokio::time::interval(TICK);
        // Each volume has its height a little after the one before it.
        let mut tick = WAVE_TICKS - index * WAVE_TICKS / 12;
        loop {
            if let Ok(mut client) = self.enter(&volume).await {
                loop {
                    clock.tick().await;
                    tick += 1;
                    if client.write_messages(height(tick)).await.is_err() {
                        break;
                    }
                }
            }
            tokio::time::sleep(RETURN_WAIT).await;
        }
    }
}

impl LoadClient {
    /// Writes so many messages at random places and reads some, then makes them durable.
    ///
    /// # Errors
    /// `State`, with what the connection or the server says.
    pub async fn write_messages(&mut self, messages: u64) -> Result<(), ControlError> {
        let done = self.try_write(messages).await;
        done.map_err(|error| ControlError::state("write some mail", &error))
    }

    async fn try_write(&mut self, messages: u64) -> std::io::Result<()> {
        let len = u32::try_from(MESSAGE_LEN).map_err(std::io::Error::other)?;
        for _ in 0..messages {
            let offset = self.place();
            self.client.write(offset, &message(&*self.rng)).await?;
            for _ in 0..READS_PER_WRITE {
                let offset = self.place();
                self.client.read(offset, len).await?;
            }
        }
        self.client.flush().await
    }

    fn place(&self) -> u64 {
        let len = self.client.len().min(WORKING_SET_LEN);
        let places = (len / MESSAGE_LEN as u64).max(1);
        self.rng.below(places) * MESSAGE_LEN as u64
    }

    /// Leaves.
    pub async fn leave(self) {
        // One that is gone already is as good.
        let _ = self.client.leave().await;
    }
}

/// How many messages are written in a tick: up to the height, down again, and a moment of rest.
fn height(tick: u64) -> u64 {
    let half = WAVE_TICKS / 2;
    let at = tick % WAVE_TICKS;
    MESSAGES_MAX * at.min(WAVE_TICKS - at) / half
}

/// Text like mail: no two are alike, and they compress.
fn message(rng: &dyn Rng) -> Vec<u8> {
    let mut text = format!(
        "Message-ID: <{:016x}@mail.example.org>\r\nSubject: Minutes {}\r\n\r\n",
        rng.next_u64(),
        rng.below(10_000)
    );
    while text.len() < MESSAGE_LEN {
        text.push_str("As we said on Monday, the boats go out with the tide. ");
        text.push_str(&format!("{:x}\r\n", rng.next_u64()));
    }
    text.truncate(MESSAGE_LEN);
    text.into_bytes()
}

/// Makes an empty image of a disk, which takes no space.
///
/// # Errors
/// `State`, with what the operating system says; also where the file is there.
pub fn make_image(path: &Path, len: ByteSize) -> Result<(), ControlError> {
    let made = std::fs::File::create_new(path).and_then(|file| file.set_len(len.0));
    made.map_err(|error| ControlError::state(format!("make {}", path.display()), &error))
}

#[cfg(test)]
mod tests {
    use base::rng::SeededRng;

    use super::*;

    #[test]
    fn the_load_rises_and_falls_and_rests() {
        let wave: Vec<_> = (0..WAVE_TICKS).map(height).collect();
        assert_eq!((wave[0], wave.iter().max()), (0, Some(&MESSAGES_MAX)));
        assert_eq!(height(WAVE_TICKS + 7), height(7));
    }

    #[test]
    fn messages_have_one_length_and_differ() {
        let rng = SeededRng::new(1);
        let (one, other) = (message(&rng), message(&rng));
        assert_eq!((one.len(), other.len()), (MESSAGE_LEN, MESSAGE_LEN));
        assert_ne!(one, other);
    }
}
