//! qsse endpoints on a simulated network, seeded from its seed.

use qsse_transport::{
    BindError, ClientEndpoint, ConnectError, Connection, ServerEndpoint, TransportConfig,
};

use crate::fixtures;
use crate::net::Network;

/// The server of `network`, with the fixture's certificate and default settings.
///
/// # Errors
/// Outside a tokio runtime.
///
/// # Panics
/// While the network's server address is taken.
pub fn server(network: &Network) -> Result<ServerEndpoint, BindError> {
    server_with(network, &TransportConfig::server())
}

/// The server of `network`, with the fixture's certificate and these settings.
///
/// # Errors
/// Outside a tokio runtime.
///
/// # Panics
/// While the network's server address is taken.
pub fn server_with(
    network: &Network,
    config: &TransportConfig,
) -> Result<ServerEndpoint, BindError> {
    let seed = fixtures::rng_seed(network.seed(), 0);
    let socket = network.server_socket();
    ServerEndpoint::on_socket(socket, &fixtures::server_tls(), config, Some(seed))
}

/// Client number `n` of `network`.
///
/// # Errors
/// Outside a tokio runtime.
///
/// # Panics
/// While the address of that client is taken.
pub fn client(network: &Network, n: u16) -> Result<ClientEndpoint, BindError> {
    let seed = fixtures::rng_seed(network.seed(), 1 + u64::from(n));
    ClientEndpoint::on_socket(network.client_socket(n), Some(seed))
}

/// Connects `client` to the network's server with default settings.
///
/// # Errors
/// As [`ClientEndpoint::connect`].
pub async fn connect(client: &ClientEndpoint) -> Result<Connection, ConnectError> {
    let config = TransportConfig::client();
    client
        .connect(
            crate::net::SERVER_ADDRESS,
            fixtures::SERVER_NAME,
            &fixtures::client_tls(),
            &config,
        )
        .await
}
