//! The one provider of TLS.

/// Makes ring the provider of TLS for all libraries. To be called first: without it the first connection panics.
pub fn install_tls() {
    // It fails when one is installed already, which is then the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
