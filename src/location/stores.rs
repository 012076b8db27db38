//! The object stores of a session, each made when it is first asked for, with what the environment says: the variables and
//! chains that the providers' own tools know.
//!
//! DataFusion reads through the same stores. Theirs are told apart by their whole authority, since two containers of one
//! account differ in nothing else. A store cannot be printed: its client knows credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::{Position, Url};

use super::profile::AwsProfile;
use super::{Remote, is_this_machine};
use crate::error::{Error, Result};

/// The stores of a session.
pub type Stores = Arc<dyn ObjectStoreRegistry>;

/// The store that has an object.
///
/// # Errors
/// `Storage` where the environment does not say enough to reach it.
pub fn store_of(stores: &Stores, remote: &Remote) -> Result<Arc<dyn ObjectStore>> {
    stores.get_store(&remote.store_url()?).map_err(|error| match error {
        DataFusionError::External(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => cannot_open(remote, &error.to_string()),
        },
        other => cannot_open(remote, &other.strip_backtrace()),
    })
}

fn cannot_open(place: impl fmt::Display, reason: &str) -> Error {
    Error::storage(format!("`{place}` cannot be opened: {reason}"))
}

/// Stores with the credentials of the environment.
#[derive(Default)]
pub struct EnvironmentStores {
    made: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
}

/// The stores of what has no files.
pub fn no_stores() -> Stores {
    Arc::new(EnvironmentStores::default())
}

impl EnvironmentStores {
    fn made(&self) -> MutexGuard<'_, BTreeMap<String, Arc<dyn ObjectStore>>> {
        // Stores are put in as a whole, so a thread that panicked left nothing half done.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for EnvironmentStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.made().keys()).finish()
    }
}

impl ObjectStoreRegistry for EnvironmentStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.made().insert(name_of(url), store)
    }

    fn deregister_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        let store = self.made().remove(&name_of(url));
        store.ok_or_else(|| DataFusionError::Execution(format!("`{}` is not open", name_of(url))))
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        let name = name_of(url);
        if let Some(store) = self.made().get(&name) {
            return Ok(store.clone());
        }
        let store = make(url, &name).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(self.made().entry(name).or_insert(store).clone())
    }
}

/// Scheme and authority; a password has no place in a URL and is left out.
fn name_of(url: &Url) -> String {
    let container = if url.username().is_empty() { String::new() } else { format!("{}@", url.username()) };
    format!("{}://{container}{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort])
}

fn make(url: &Url, name: &str) -> Result<Arc<dyn ObjectStore>> {
    let made: object_store::Result<Arc<dyn ObjectStore>> = match url.scheme() {
        "file" => Ok(Arc::new(LocalFileSystem::new())),
        "s3" | "s3a" => s3(name)?.build().map(|store| Arc::new(store) as _),
        "gs" => google(name)?.build().map(|store| Arc::new(store) as _),
        "az" | "abfs" | "abfss" => azure(name)?.build().map(|store| Arc::new(store) as _),
        "http" | "https" => {
            let options = client().with_allow_http(url.scheme() == "http");
            let builder = HttpBuilder::new().with_url(name).with_client_options(options).with_retry(retry());
            builder.build().map(|store| Arc::new(store) as _)
        }
        other => return Err(Error::storage(format!("`{other}://` is no place that kpi knows"))),
    };
    made.map_err(|source| {
        let hint = match url.scheme() {
            "s3" | "s3a" => S3_HINT,
            "gs" => GOOGLE_HINT,
            "az" | "abfs" | "abfss" => AZURE_HINT,
            _ => "check the address",
        };
        cannot_open(name, &source.to_string()).with_hint(hint)
    })
}

const S3_HINT: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and AWS_REGION";
const GOOGLE_HINT: &str =
    "set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run `gcloud auth application-default login`";
const AZURE_HINT: &str = "set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or the three \
                          AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and AZURE_TENANT_ID";

/// A minute is enough for a store that is there; one that is not should be told soon.
fn retry() -> RetryConfig {
    RetryConfig { max_retries: 5, retry_timeout: Duration::from_secs(60), ..RetryConfig::default() }
}

fn client() -> ClientOptions {
    ClientOptions::new().with_connect_timeout(Duration::from_secs(5)).with_timeout(Duration::from_secs(60))
}

/// Values that a client cannot even send, or not to anybody.
fn refuse_unusable_variables(beginning: &str) -> Result<()> {
    for (name, value) in
        std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()))
    {
        if !name.starts_with(beginning) {
            continue;
        }
        if value.contains(char::is_control) {
            return Err(Error::storage(format!("`{name}` holds a line break or another control character"))
                .with_hint("set it again, without what came along with a copy"));
        }
        let is_address = name.contains("ENDPOINT") && !name.contains("METADATA") && !value.is_empty();
        let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
        if is_address && value.parse::<bool>().is_err() && !Url::parse(&value).is_ok_and(|url| is_web(&url)) {
            return Err(Error::storage(format!("`{name}` is `{value}`, which is no address"))
                .with_hint("write it with its beginning, such as https://s3.example.com"));
        }
    }
    Ok(())
}

fn s3(name: &str) -> Result<AmazonS3Builder> {
    refuse_unusable_variables("AWS_")?;
    let mut builder = AmazonS3Builder::from_env();
    let is_set = |builder: &AmazonS3Builder, key| builder.get_config_value(&key).is_some_and(|value| !value.is_empty());
    let has_credentials = [
        AmazonS3ConfigKey::AccessKeyId,
        AmazonS3ConfigKey::WebIdentityTokenFile,
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ];
    let needs_none = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature).is_some_and(|value| is_true(&value));
    let profile = AwsProfile::of_environment()?;
    if !needs_none && !has_credentials.into_iter().any(|key| is_set(&builder, key)) {
        match &profile.credentials {
            Some((id, secret)) => builder = builder.with_access_key_id(id).with_secret_access_key(secret.reveal()),
            None if is_variable_true("AWS_EC2_METADATA_DISABLED") => {
                let reason = "there are no credentials, and AWS_EC2_METADATA_DISABLED forbids to ask the machine";
                return Err(cannot_open(name, reason).with_hint(S3_HINT));
            }
            // What the machine itself is allowed to.
            None => {}
        }
        if let Some(token) = profile.token.as_ref().filter(|_| profile.credentials.is_some()) {
            builder = builder.with_token(token.reveal());
        }
    }
    if !is_set(&builder, AmazonS3ConfigKey::Region)
        && !is_set(&builder, AmazonS3ConfigKey::DefaultRegion)
        && let Some(region) = &profile.region
    {
        builder = builder.with_region(region);
    }
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .into_iter()
        .find_map(|key| builder.get_config_value(&key).filter(|value| !value.is_empty()));
    let mut options = client();
    if let Some(endpoint) = endpoint.filter(|endpoint| endpoint.starts_with("http://")) {
        if !is_here(&endpoint) && !is_variable_true("AWS_ALLOW_HTTP") {
            let reason = format!("`{endpoint}` sends what it holds unencrypted");
            return Err(cannot_open(name, &reason).with_hint("name an https:// endpoint, or set AWS_ALLOW_HTTP=true"));
        }
        options = options.with_allow_http(true);
    }
    Ok(builder.with_url(name).with_client_options(options).with_retry(retry()))
}

fn google(name: &str) -> Result<GoogleCloudStorageBuilder> {
    refuse_unusable_variables("GOOGLE_")?;
    // Where the key names a server of its own, it is one for trials.
    let key = std::env::var("GOOGLE_SERVICE_ACCOUNT_KEY").unwrap_or_default();
    let is_here = ["http://127.0.0.1", "http://localhost"].iter().any(|here| key.contains(here));
    let options = client().with_allow_http(is_here);
    let builder = GoogleCloudStorageBuilder::from_env().with_url(name);
    let credentials =
        [GoogleConfigKey::ServiceAccount, GoogleConfigKey::ServiceAccountKey, GoogleConfigKey::ApplicationCredentials];
    let is_set = |key| builder.get_config_value(&key).is_some_and(|value| !value.is_empty());
    let needs_none = builder.get_config_value(&GoogleConfigKey::SkipSignature).is_some_and(|value| is_true(&value));
    let has_credentials = needs_none || credentials.into_iter().any(is_set);
    // The word of Google's own libraries.
    if !has_credentials && !has_default_credentials() && is_variable_true("NO_GCE_CHECK") {
        let reason = "there are no credentials, and NO_GCE_CHECK forbids to ask the machine";
        return Err(cannot_open(name, reason).with_hint(GOOGLE_HINT));
    }
    Ok(builder.with_client_options(options).with_retry(retry()))
}

/// Whether there is the file that `gcloud auth application-default login` leaves.
fn has_default_credentials() -> bool {
    const FILE: &str = "gcloud/application_default_credentials.json";
    let folders = [("APPDATA", ""), ("HOME", ".config")];
    let files = folders
        .into_iter()
        .filter_map(|(name, below)| Some(PathBuf::from(std::env::var_os(name)?).join(below).join(FILE)));
    files.into_iter().any(|file| file.exists())
}

fn azure(name: &str) -> Result<MicrosoftAzureBuilder> {
    refuse_unusable_variables("AZURE_")?;
    let endpoint = std::env::var("AZURE_STORAGE_ENDPOINT").or_else(|_| std::env::var("AZURE_ENDPOINT"));
    let is_emulator = is_variable_true("AZURE_STORAGE_USE_EMULATOR");
    let options = client().with_allow_http(is_emulator || endpoint.is_ok_and(|endpoint| is_here(&endpoint)));
    Ok(MicrosoftAzureBuilder::from_env().with_url(name).with_client_options(options).with_retry(retry()))
}

fn is_variable_true(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| is_true(&value))
}

fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on")
}

/// Whether a URL leads to this machine.
fn is_here(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.host_str().is_some_and(is_this_machine))
}

/// What a store's answer means, and what to do about it.
pub fn explain_store_error(action: &str, place: impl fmt::Display, source: object_store::Error) -> Error {
    use object_store::Error as Answer;
    let hint = match &source {
        Answer::PermissionDenied { .. } => Some("it may not be read or written without other credentials"),
        Answer::Unauthenticated { .. } => Some("check the credentials; the store knows none such"),
        Answer::NotFound { .. } => Some("check the names of the bucket or container and of what should lie in it"),
        Answer::NotImplemented { .. } | Answer::NotSupported { .. } => Some("the store cannot do what kpi needs of it"),
        Answer::Generic { source, .. } => {
            let text = format!("{source} {}", why_not_sent(source.as_ref()).unwrap_or_default());
            match () {
                () if text.contains("certificate") => Some(
                    "the server's certificate is not trusted here; name a file with its authority in SSL_CERT_FILE",
                ),
                () if text.contains("NoSuchBucket") || text.contains("ContainerNotFound") => {
                    Some("there is no such bucket or container")
                }
                () if text.contains("169.254.") || text.contains("metadata") => {
                    Some("no credentials were found; set those of the provider in the environment")
                }
                () if text.contains("redirect") => Some("the bucket lies in another region; set AWS_REGION"),
                () if text.contains("HTTP error") => Some("check the address, the network and any proxy"),
                () => None,
            }
        }
        _ => None,
    };
    let reason = answer_in_xml(&source.to_string()).or_else(|| why_not_sent(&source));
    let error = match reason {
        Some(reason) => Error::storage(format!("cannot {action} `{place}`: {reason}")),
        None => Error::storage(format!("cannot {action} `{place}`")).with_source(source),
    };
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Why a request did not even reach a server: the innermost cause, which the client leaves out.
fn why_not_sent(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if !error.to_string().contains("error sending request") {
        return None;
    }
    let innermost = std::iter::successors(error.source(), |error| error.source()).last()?;
    Some(innermost.to_string())
}

/// The code and the words of an answer, without the XML around them.
fn answer_in_xml(text: &str) -> Option<String> {
    let between = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        let (inside, _) = rest.split_once(&format!("</{tag}>"))?;
        Some(inside.lines().next().unwrap_or_default().trim().to_owned()).filter(|inside| !inside.is_empty())
    };
    let code = between("Code")?;
    Some(match between("Message").filter(|message| *message != code) {
        Some(message) => format!("{code}, {}", message.trim_end_matches('.')),
        None => code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_without_its_xml() {
        let text = "Error performing GET http://127.0.0.1/lake in 2ms - Server returned non-2xx status code: 404 Not Found: \
                    <?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Error>\n<Code>NoSuchBucket</Code>\n\
                    <Message>The specified bucket does not exist.\nRequestId:1</Message></Error>";
        assert_eq!(answer_in_xml(text).as_deref(), Some("NoSuchBucket, The specified bucket does not exist"));
        assert_eq!(answer_in_xml("<Error><Code>SlowDown</Code></Error>").as_deref(), Some("SlowDown"));
        assert_eq!(answer_in_xml("connection refused"), None);
    }

    #[test]
    fn containers_of_one_account_are_two_stores() {
        let name = |url: &str| name_of(&Url::parse(url).unwrap());
        assert_eq!(name("abfss://c1@a.dfs.core.windows.net/x"), "abfss://c1@a.dfs.core.windows.net");
        assert_ne!(name("abfss://c1@a.dfs.core.windows.net"), name("abfss://c2@a.dfs.core.windows.net"));
        assert_eq!(name("s3://bucket/x"), "s3://bucket");
        assert_eq!(name("https://user:secret@example.com:8443/x"), "https://user@example.com:8443");
    }

    #[test]
    fn a_store_is_made_once_and_prints_its_place_only() {
        let stores = EnvironmentStores::default();
        let url = Url::parse("https://example.com/").unwrap();
        let first = stores.get_store(&url).unwrap();
        assert!(Arc::ptr_eq(&first, &stores.get_store(&url).unwrap()));
        assert_eq!(format!("{stores:?}"), r#"{"https://example.com"}"#);
        assert!(stores.get_store(&Url::parse("ftp://example.com").unwrap()).is_err());
    }
}
