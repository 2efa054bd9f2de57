//! Installs the TLS provider.

/// Makes ring the TLS provider for all libraries. Must be called first, because otherwise the first connection panics.
pub fn install_tls() {
    // This fails if a provider is already installed, which is then the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
