//! API keys: `kefu_<id>_<secret>`. The id finds the record, the record holds a fingerprint only.

use super::records::ApiKey;
use super::secrets::{Fingerprint, Secret, random_id};

const KEY_PREFIX: &str = "kefu_";

/// A new key, and its text: the only time that anybody sees it.
pub(super) fn make(app: &str, name: &str, now_ms: u64) -> (ApiKey, Secret) {
    let id = random_id()[..16].to_owned();
    let secret = Secret::random(&format!("{KEY_PREFIX}{id}_"));
    let fingerprint = Fingerprint::of(secret.reveal());
    let (name, app) = (name.to_owned(), app.to_owned());
    (ApiKey { id, name, fingerprint, app, created_ms: now_ms }, secret)
}

/// The id in a key; the secret may itself contain `_`.
pub(super) fn id_of(key: &str) -> Option<&str> {
    key.strip_prefix(KEY_PREFIX)?.split_once('_').map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_record() {
        let (key, secret) = make("shop", "crm", 1);
        assert_eq!(id_of(secret.reveal()), Some(key.id.as_str()));
        assert!(key.fingerprint.matches(secret.reveal()));
        for wrong in ["", "kefu_", "kefu_1234", "kfs_12_34", "KEFU_1_2"] {
            assert_eq!(id_of(wrong), None, "{wrong}");
        }
    }
}
