//! Where what was typed is kept for the next session, and what is not kept.

use std::path::PathBuf;

/// `$XDG_STATE_HOME/kpi/history`, or the same below the home folder. Never the folder that one happens to be in.
pub fn file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").or_else(|| std::env::var_os("LOCALAPPDATA")).map(PathBuf::from);
    let folder = state.or_else(|| Some(home()?.join(".local/state")))?.join("kpi");
    make(&folder)?;
    Some(folder.join("history"))
}

/// A folder that nobody else can look into.
fn make(folder: &std::path::Path) -> Option<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).ok()
}

/// Whether a text may hold what nobody else should know: words for keys, or a password in an address.
pub fn has_secret(text: &str) -> bool {
    const WORDS: [&str; 16] = [
        "api_key",
        "apikey",
        "pwd",
        "bearer",
        "secret",
        "password",
        "passwd",
        "token",
        "access_key",
        "accesskey",
        "account_key",
        "accountkey",
        "credential",
        "sas_",
        "sig=",
        "private_key",
    ];
    let lower = text.to_lowercase();
    let in_address = lower.match_indices("://").any(|(at, _)| {
        let rest = &lower[at + 3..];
        let address = &rest[..rest.find(['\'', '"', ' ', ';']).unwrap_or(rest.len())];
        address.split_once('@').is_some_and(|(user, _)| user.contains(':'))
    });
    in_address || WORDS.iter().any(|word| lower.contains(word))
}

/// What a session does before its first prompt: `$XDG_CONFIG_HOME/kpi/replrc`, or the same below the home folder.
pub fn beginning() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))?;
    Some(folder.join("kpi/replrc")).filter(|file| file.is_file())
}
