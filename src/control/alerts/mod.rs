//! Alerts: what a person must know without looking, told in time by e-mail, webhook and syslog.
//!
//! `rules` says what is wrong, from values alone; `life` makes one alert of it that fires, lasts and resolves;
//! `message` puts it in words. All three are pure. `courier` carries messages to channels, each through a bounded
//! queue of its own; `mail`, `webhook` and `syslog` speak to the other side. `look` asks the appliance, `office` is
//! what may be done to alerts, `kept` and `record` are where they are: channels in a file, so that they are told of
//! also where the catalogue is the trouble, and history in the catalogue.

pub mod channel;
mod courier;
mod kept;
pub mod life;
mod look;
mod mail;
pub mod message;
mod office;
mod record;
pub mod rule;
mod rules;
pub mod settings;
mod syslog;
mod trust;
mod webhook;

pub(crate) use kept::Place;
pub use office::Alerts;
