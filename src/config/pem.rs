//! Certificates in files.

use std::{io::ErrorKind, path::PathBuf};

use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{environment::FileRead, fault::Wrong, meaning::Resolver, report::At};

/// The certificates of the PEM file (RFC 7468) that `at` names, at least one, and its whole path; `None` where something
/// is wrong, which is noted. The parser's own errors are not repeated: they show lines of the file, which may be a key by
/// mistake.
pub(super) fn certificates(
    at: &At<PathBuf>,
    resolver: &Resolver<'_>,
) -> Option<(PathBuf, Vec<CertificateDer<'static>>)> {
    let path = resolver.path(&at.value, at.spot.place);
    let what = match resolver.environment.read(&path) {
        Ok(FileRead { bytes, .. }) => match CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>() {
            Ok(certificates) if !certificates.is_empty() => return Some((path, certificates)),
            Ok(_) => "holds no certificate in PEM".to_owned(),
            Err(_) => "is not PEM".to_owned(),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => format!("cannot be read: {}", error.kind()),
    };
    resolver.fault(&at.spot, Wrong::new(format!("{} {what}", path.display())));
    None
}
