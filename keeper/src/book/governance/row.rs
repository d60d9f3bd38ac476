//! The state of governance as bytes of a checkpoint: JSON, since it is small and changes rarely.

use super::GovernanceState;
use crate::book::row::Field;

impl Field for GovernanceState {
    fn write(&self, bytes: &mut Vec<u8>) {
        // Maps with hashes and addresses as keys, and integers: nothing that JSON cannot hold.
        bytes.extend(serde_json::to_vec(self).unwrap_or_default());
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        serde_json::from_slice(std::mem::take(bytes)).ok()
    }
}
