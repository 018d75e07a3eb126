//! The master key: 32 random bytes in a file that only its owner can read. It wraps the vault's keys and nothing else.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::vault::VaultError;
use crate::vault::keyring::{KEY_LENGTH, SealKey};

/// The master key.
#[derive(Debug)]
pub struct MasterKey(SealKey);

/// Why there is no master key to work with.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The vault has keys, and the file that opens them is not there: making a new one would not open anything.
    #[error("the master key file {0} is missing, and the vault already has keys that only it can open")]
    Missing(String),
    /// The file's mode lets everybody on the machine read, write or run it.
    #[error(
        "the master key file {0} is open to every user of this machine; at most its owner and its group may have it (chmod 600, or 640)"
    )]
    TooOpen(String),
    /// The file is not a master key.
    #[error("the master key file {0} does not hold a master key")]
    Malformed(String),
    /// The file cannot be read or made.
    #[error("the master key file {0} cannot be used: {1}")]
    Io(String, std::io::Error),
}

impl MasterKey {
    /// Reads the key from `path`; makes one there, with mode 0600, only where `may_make` (the vault has no keys yet).
    ///
    /// # Errors
    /// It is missing, too open, malformed, or cannot be read or made.
    pub fn load_or_make(path: &Path, may_make: bool) -> Result<Self, MasterKeyError> {
        let name = path.display().to_string();
        match std::fs::metadata(path) {
            Ok(facts) => {
                // A mounted secret is often 0440 for the service's group; what others can read is refused.
                if facts.permissions().mode() & 0o007 != 0 {
                    return Err(MasterKeyError::TooOpen(name));
                }
                let text = Zeroizing::new(
                    std::fs::read_to_string(path).map_err(|error| MasterKeyError::Io(name.clone(), error))?,
                );
                Self::parse(&text).ok_or(MasterKeyError::Malformed(name))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_make => {
                Self::make(path).map_err(|error| MasterKeyError::Io(name, error))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(MasterKeyError::Missing(name)),
            Err(error) => Err(MasterKeyError::Io(name, error)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?);
        let bytes: [u8; KEY_LENGTH] = bytes.as_slice().try_into().ok()?;
        Some(Self(SealKey::new(Zeroizing::new(bytes), "master")))
    }

    fn make(path: &Path) -> std::io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let key = crate::vault::keyring::random_key();
        let text = Zeroizing::new(data_encoding::HEXLOWER.encode(&*key));
        // Written whole and durable before it gets its name: a torn master key would lose everything sealed under it.
        // Linking, unlike renaming, fails when another process was first.
        let draft = path.with_extension(format!("new-{}", std::process::id()));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&draft, path);
        std::fs::remove_file(&draft)?;
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let text = Zeroizing::new(std::fs::read_to_string(path)?);
                return Self::parse(&text).ok_or_else(|| std::io::Error::other("not a master key"));
            }
            Err(error) => return Err(error),
        }
        if let Some(folder) = path.parent() {
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            std::fs::File::open(folder)?.sync_all()?;
        }
        Ok(Self(SealKey::new(key, "master")))
    }

    /// A new random key, wrapped for the vault.
    pub fn wrap_new(&self, purpose: &str, id: i64) -> Vec<u8> {
        self.wrap(purpose, id, &crate::vault::keyring::random_key())
    }

    /// A key, wrapped for its place in the vault.
    pub fn wrap(&self, purpose: &str, id: i64, key: &Zeroizing<[u8; KEY_LENGTH]>) -> Vec<u8> {
        self.0.seal(&place(purpose, id), &**key)
    }

    /// The key that was wrapped.
    ///
    /// # Errors
    /// It was wrapped by another master key, or for another place.
    pub fn unwrap(&self, purpose: &str, id: i64, wrapped: &[u8]) -> Result<Zeroizing<[u8; KEY_LENGTH]>, VaultError> {
        let opened = self
            .0
            .open(&place(purpose, id), wrapped)
            .ok_or(VaultError::WrongMaster)?;
        let key: [u8; KEY_LENGTH] = opened.as_slice().try_into().map_err(|_| VaultError::WrongMaster)?;
        Ok(Zeroizing::new(key))
    }
}

fn place(purpose: &str, id: i64) -> String {
    format!("vault_keys|{purpose}|{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_is_made_once_readable_by_its_owner_alone_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault/master.key");
        let first = MasterKey::load_or_make(&path, true).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let wrapped = first.wrap_new("epoch", 1);
        let again = MasterKey::load_or_make(&path, false).unwrap();
        assert_eq!(
            *first.unwrap("epoch", 1, &wrapped).unwrap(),
            *again.unwrap("epoch", 1, &wrapped).unwrap()
        );
    }

    #[test]
    fn a_missing_master_key_is_not_replaced_where_the_vault_has_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        assert!(matches!(
            MasterKey::load_or_make(&path, false),
            Err(MasterKeyError::Missing(_))
        ));
        assert!(!path.exists());
    }

    #[test]
    fn a_master_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::load_or_make(&path, true).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            MasterKey::load_or_make(&path, false),
            Err(MasterKeyError::TooOpen(_))
        ));
    }

    #[test]
    fn a_wrapped_key_opens_only_in_its_place_and_under_its_master() {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::load_or_make(&folder.path().join("a"), true).unwrap();
        let other = MasterKey::load_or_make(&folder.path().join("b"), true).unwrap();
        let wrapped = master.wrap_new("epoch", 1);
        assert!(master.unwrap("epoch", 1, &wrapped).is_ok());
        assert!(master.unwrap("epoch", 2, &wrapped).is_err());
        assert!(master.unwrap("idempotency", 1, &wrapped).is_err());
        assert!(other.unwrap("epoch", 1, &wrapped).is_err());
    }
}
