//! The registration files of appservices: YAML, as in the specification.
//!
//! A file is for one homeserver. Which one is never guessed: a token of one company must not open
//! another's door.
//!
//! <https://spec.matrix.org/v1.19/application-service-api/#registration>

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use model::namespaces::{InvalidNamespace, Namespace, Namespaces};
use ruma::{OwnedServerName, ServerName, UserId, api::appservice};
use services::appservices::Registration;

use crate::config::Config;

#[cfg(test)]
mod tests;

/// The appservices of all homeservers of the process.
#[derive(Debug, Default)]
pub(crate) struct Appservices(HashMap<OwnedServerName, Vec<Registration>>);

/// Why the appservices are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppservicesError {
    #[error("appservices.directory {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{}: {cause}", file.display())]
    Yaml { file: PathBuf, cause: Box<serde_saphyr::Error> },
    #[error("{}: {cause}", file.display())]
    Namespace { file: PathBuf, cause: InvalidNamespace },
    #[error("{}: {what}", file.display())]
    Invalid { file: PathBuf, what: &'static str },
    #[error(
        "{}: there is not exactly one [[homeserver]]: put the file into a folder that has the name \
         of the homeserver that it is for",
        file.display()
    )]
    WhoseIsIt { file: PathBuf },
}

impl Appservices {
    /// Reads every `*.yaml` of the directory for the only homeserver of the configuration, and every
    /// `NAME/*.yaml` for the homeserver of that name, in the order of their names.
    pub(crate) fn load(config: &Config) -> Result<Self, AppservicesError> {
        let mut appservices = Self::default();
        let Some(directory) = &config.appservices.directory else { return Ok(appservices) };
        for path in entries(directory)? {
            if path.is_dir() {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let name = OwnedServerName::try_from(name.to_owned());
                let what = "the folder is not called like a homeserver";
                let name =
                    name.map_err(|_| AppservicesError::Invalid { file: path.clone(), what })?;
                for file in entries(&path)?.into_iter().filter(|file| is_yaml(file)) {
                    appservices.add(&name, &file)?;
                }
            } else if is_yaml(&path) {
                let [only] = &config.homeservers[..] else {
                    return Err(AppservicesError::WhoseIsIt { file: path });
                };
                appservices.add(&only.server_name, &path)?;
            }
        }
        Ok(appservices)
    }

    /// Those of one homeserver.
    pub(crate) fn of(&self, name: &ServerName) -> Vec<Registration> {
        self.0.get(name).cloned().unwrap_or_default()
    }

    fn add(&mut self, name: &OwnedServerName, file: &Path) -> Result<(), AppservicesError> {
        let registration = read(name, file)?;
        let known = self.0.entry(name.clone()).or_default();
        known.push(registration);
        let mut seen = HashSet::new();
        let twice = known.iter().any(|one| !seen.insert(&one.id) || !seen.insert(&one.as_token));
        if twice {
            let what = "another appservice of the homeserver has the same id or as_token";
            return Err(AppservicesError::Invalid { file: file.to_owned(), what });
        }
        Ok(())
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, AppservicesError> {
    let read = || fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect();
    let found: io::Result<Vec<PathBuf>> = read();
    let path = directory.to_owned();
    let mut found = found.map_err(|cause| AppservicesError::Unreadable { path, cause })?;
    found.sort();
    Ok(found)
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn read(name: &ServerName, file: &Path) -> Result<Registration, AppservicesError> {
    let text = fs::read_to_string(file).map_err(|cause| {
        let path = file.to_owned();
        AppservicesError::Unreadable { path, cause }
    })?;
    let written: appservice::Registration = serde_saphyr::from_str(&text).map_err(|cause| {
        let (file, cause) = (file.to_owned(), Box::new(cause));
        AppservicesError::Yaml { file, cause }
    })?;
    let invalid = |what| Err(AppservicesError::Invalid { file: file.to_owned(), what });
    if written.as_token.is_empty() || written.hs_token.is_empty() {
        return invalid("as_token and hs_token must not be empty");
    }
    if UserId::parse(format!("@{}:{name}", written.sender_localpart)).is_err() {
        return invalid("sender_localpart is not a valid user name");
    }
    let all = |list: &[appservice::Namespace]| {
        let one = |one: &appservice::Namespace| Namespace::new(one.exclusive, &one.regex);
        let all: Result<Vec<_>, _> = list.iter().map(one).collect();
        all.map_err(|cause| AppservicesError::Namespace { file: file.to_owned(), cause })
    };
    if written.url.is_some() {
        tracing::warn!(id = written.id, "the appservice may act, but is not told of events yet");
    }
    Ok(Registration {
        namespaces: Namespaces {
            users: all(&written.namespaces.users)?,
            aliases: all(&written.namespaces.aliases)?,
            rooms: all(&written.namespaces.rooms)?,
        },
        id: written.id,
        as_token: written.as_token,
        sender: written.sender_localpart,
        rate_limited: written.rate_limited.unwrap_or(true),
    })
}
