//! The signals that ask the program to stop. What stopping means is the affair of whoever waits for one.

/// Waits for a signal, and gives its exit code. From the first call on SIGTERM no longer ends the program by itself.
pub async fn signal() -> u8 {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            return tokio::select! {
                _ = tokio::signal::ctrl_c() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
            };
        }
    }
    interrupt().await
}

/// Waits for Ctrl-C alone, and gives its exit code.
pub async fn interrupt() -> u8 {
    // Without a handler the system's own way of ending the program stays.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    INTERRUPTED
}

const INTERRUPTED: u8 = 130;
/// What `kill` asks for.
pub const TERMINATED: u8 = 143;
