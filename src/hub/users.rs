//! Who is connected: the devices of each visitor and agent.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use kefu_proto::CloseCode;

use super::outbox::{Out, Outbox};
use crate::chat::party::{Party, Side};

/// Most devices of one user at a time; the oldest goes.
const MAX_DEVICES: usize = 16;

/// All connected users.
#[derive(Debug, Default)]
pub(super) struct Users {
    devices: DashMap<Party, Vec<Device>>,
}

#[derive(Debug)]
struct Device {
    client_id: String,
    outbox: Arc<Outbox>,
}

impl Users {
    /// Adds a device. An older connection of the same device ends.
    pub(super) fn join(&self, user: &Party, client_id: &str, outbox: &Arc<Outbox>) {
        let mut devices = self.devices.entry(user.clone()).or_default();
        if let Some(at) = devices.iter().position(|device| device.client_id == client_id) {
            devices.remove(at).outbox.end(CloseCode::Fenced);
        } else if devices.len() >= MAX_DEVICES {
            devices.remove(0).outbox.end(CloseCode::Busy);
        }
        // Most have one device.
        devices.reserve_exact(1);
        devices.push(Device { client_id: client_id.to_owned(), outbox: Arc::clone(outbox) });
    }

    /// Removes the connection; true if it was the user's last.
    pub(super) fn leave(&self, user: &Party, outbox: &Arc<Outbox>) -> bool {
        let Entry::Occupied(mut devices) = self.devices.entry(user.clone()) else { return false };
        let before = devices.get().len();
        devices.get_mut().retain(|device| !Arc::ptr_eq(&device.outbox, outbox));
        let left = before > devices.get().len() && devices.get().is_empty();
        if left {
            devices.remove();
        }
        left
    }

    /// Adds the connections of `user` to `outboxes`.
    pub(super) fn collect(&self, user: &Party, outboxes: &mut Vec<Arc<Outbox>>) {
        if let Some(devices) = self.devices.get(user) {
            outboxes.extend(devices.iter().map(|device| Arc::clone(&device.outbox)));
        }
    }

    /// Sends to all devices of `user` but `except`.
    pub(super) fn send(&self, user: &Party, out: &Out, except: Option<&Arc<Outbox>>) {
        let Some(devices) = self.devices.get(user) else { return };
        for device in devices.iter() {
            if except.is_none_or(|except| !Arc::ptr_eq(except, &device.outbox)) {
                device.outbox.push(out.clone());
            }
        }
    }

    /// Sends to all agents.
    pub(super) fn send_to_agents(&self, out: &Out) {
        for user in &self.devices {
            if user.key().side == Side::Agent {
                user.value().iter().for_each(|device| device.outbox.push(out.clone()));
            }
        }
    }

    /// Whether a device of `user` is connected.
    pub(super) fn is_connected(&self, user: &Party) -> bool {
        self.devices.contains_key(user)
    }
}
