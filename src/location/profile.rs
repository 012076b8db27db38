//! The keys that `aws configure` leaves in `~/.aws`, which the store's client does not read itself.
//!
//! It knows keys that stand in the files, and regions. Single sign-on, roles and programs that hand out keys are not followed:
//! `aws configure export-credentials --format env` prints what they would give.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::secrets::Secret;

/// What the files say of the profile in use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AwsProfile {
    /// The id of the key and the key.
    pub credentials: Option<(String, Secret)>,
    pub token: Option<Secret>,
    pub region: Option<String>,
}

impl AwsProfile {
    /// The profile that AWS_PROFILE names, or `default`.
    ///
    /// # Errors
    /// `Config` where a profile is asked for by name and has no keys.
    pub fn of_environment() -> Result<AwsProfile> {
        let asked = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
        let in_home = |name: &str| std::env::home_dir().map(|home| home.join(".aws").join(name));
        let file = |variable: &str, name: &str| {
            let path = std::env::var_os(variable).map(PathBuf::from).or_else(|| in_home(name));
            path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
        };
        let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let config = file("AWS_CONFIG_FILE", "config");
        let profile = AwsProfile::read(asked.as_deref().unwrap_or("default"), &credentials, &config);
        match asked {
            Some(name) if profile.credentials.is_none() => {
                let hint =
                    "`aws configure export-credentials --format env` prints the keys of roles and single sign-on";
                Err(Error::config(format!("the AWS profile `{name}` has no keys in its file")).with_hint(hint))
            }
            _ => Ok(profile),
        }
    }

    fn read(name: &str, credentials: &str, config: &str) -> AwsProfile {
        let in_config = if name == "default" { name.to_owned() } else { format!("profile {name}") };
        let mut values = section(config, &in_config);
        values.extend(section(credentials, name));
        let mut take = |key: &str| values.remove(key).filter(|value| !value.is_empty());
        let credentials = take("aws_access_key_id").zip(take("aws_secret_access_key").map(Secret::new));
        AwsProfile { credentials, token: take("aws_session_token").map(Secret::new), region: take("region") }
    }
}

/// The values of a section.
fn section(text: &str, name: &str) -> BTreeMap<String, String> {
    let mut is_inside = false;
    let mut values = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_inside = section.trim() == name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| is_inside) {
            values.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_the_section_of_the_profile() {
        let credentials = "[default]\naws_access_key_id = A\naws_secret_access_key=one\n\n# comment\n[work]\n\
                           aws_access_key_id = B\naws_secret_access_key = two=2\naws_session_token = t\n";
        let config = "[default]\nregion = eu-west-1\n[profile work]\nregion = us-east-2\n";
        let read = |name: &str| AwsProfile::read(name, credentials, config);
        let default = read("default");
        assert_eq!(default.credentials, Some(("A".into(), Secret::new("one".into()))));
        assert_eq!((default.token, default.region.as_deref()), (None, Some("eu-west-1")));
        let work = read("work");
        assert_eq!(work.credentials, Some(("B".into(), Secret::new("two=2".into()))));
        assert_eq!((work.token, work.region.as_deref()), (Some(Secret::new("t".into())), Some("us-east-2")));
        assert_eq!(read("absent"), AwsProfile::default());
        assert!(!format!("{:?}", read("work")).contains("two"));
    }
}
